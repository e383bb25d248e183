"""The page's section on data quality: refused rows, rows of the newest loads, and how the day's jobs ended."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from churnwatch.reports.page.blocks import Block, Column, Note, Section, Table, badge
from churnwatch.reports.page.facts import PageFacts
from churnwatch.reports.page.words import NONE, day_text, plural, whole
from churnwatch.settings import Settings
from churnwatch.settings.terms import ABORTED, DONE, FAILED, REFUSED, RUNNING, SKIPPED

TONES = {DONE: "good", FAILED: "red", RUNNING: "yellow", SKIPPED: "plain", REFUSED: "yellow", ABORTED: "red"}
INGESTS = 7
NOT_SHOWN = ("all", "render_report")  # still running while the page is rendered
LONGEST_MESSAGE = 240
LATE = ("late_rows", "waiting_rows")  # rows by business day in the message of an ingest


def data_quality_section(facts: PageFacts, settings: Settings) -> Section:
    """Rejects by source and reason, counts of the newest ingests, how the day's jobs ended."""
    blocks: list[Block] = [*_ingest_blocks(facts), *_reject_blocks(facts), *_job_blocks(facts)]
    return Section("supply", "Data quality", _lede(facts), blocks, "Data")


def _lede(facts: PageFacts) -> str:
    newest = _newest_jobs(facts)
    if not newest and not facts.rejected:
        return ""
    bad = [name for name, r in newest.items() if r["status"] in (FAILED, RUNNING, ABORTED)]
    state = (
        f"Did not end well today: {', '.join(bad)}."
        if bad
        else f"{plural(len(newest), 'job')} of the day ended without an error."
    )
    refused = sum(r["rejected"] for r in facts.rejected)
    return f"{state} Refused in the last 28 days: {plural(refused, 'row')} (a row counts for each of its reasons)."


def _ingest_blocks(facts: PageFacts) -> list[Block]:
    done = [r for r in facts.runs if r["job"] == "ingest_events" and r["status"] == DONE]
    newest: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for r in sorted(done, key=lambda r: r["at"]):
        newest[tuple((s["first"], s["last"]) for s in r["days"])] = r
    chosen = sorted(newest.values(), key=lambda r: r["day"], reverse=True)[:INGESTS]
    counted = [(r, counts) for r in chosen if (counts := _counts(r["message"]))]
    if not counted:
        return [Note("No ingest with counts lies in the last 28 days.", "empty")]
    names = list(dict.fromkeys(name for _, counts in counted for name in counts))
    rows = [[_span(r["days"]), *(_shown(counts.get(name)) for name in names)] for r, counts in counted]
    columns = [Column("Business days"), *(Column(name.replace("_", " "), True, "rows") for name in names)]
    came_in = Table("What came in, newest loads", columns, rows, "read = accepted + duplicate + rejected + outside days")
    return [came_in, *_late_blocks(done)]


def _late_blocks(done: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Rows that came after the first load of their business day, as the loads have counted them."""
    counts: dict[str, dict[str, int]] = {}
    for r in sorted(done, key=lambda r: r["at"]):
        message = _parsed(r["message"])
        for business_day, rows in message.get("late_rows", {}).items():
            count = counts.setdefault(business_day, {})
            count["late_rows"] = count.get("late_rows", 0) + rows
        # the newest look at what waits counts
        for business_day, rows in message.get("waiting_rows", {}).items():
            counts.setdefault(business_day, {})["waiting_rows"] = rows
    counts = {one: count for one, count in counts.items() if any(count.values())}  # what waited may have been taken in since
    if not counts:
        return []
    rows = [
        [day_text(date.fromisoformat(one)), whole(count.get("late_rows", 0)), _waiting(count.get("waiting_rows", 0))]
        for one, count in sorted(counts.items(), reverse=True)
    ]
    columns = [Column("Business day"), Column("Taken in", True, "rows"), Column("Not taken in", True, "rows")]
    note = "rows that came after the first load of their day; take in what is left by a run of ingest_events for the day"
    return [Table("What came late", columns, rows, note)]


def _waiting(rows: int) -> str:
    return whole(rows) if rows >= 0 else "files not read"


def _parsed(message: str | None) -> dict[str, Any]:
    try:
        found = json.loads(message or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _counts(message: str | None) -> dict[str, int]:
    """Counts of an ingest run: the whole numbers of its JSON message, nested ones added up by name."""
    sums: dict[str, int] = {}
    _add({name: counts for name, counts in _parsed(message).items() if name not in LATE}, sums)
    return sums


def _add(value: Any, sums: dict[str, int]) -> None:
    for key, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, bool):
            continue
        if isinstance(inner, int):
            sums[key] = sums.get(key, 0) + inner
        else:
            _add(inner, sums)


def _shown(count: int | None) -> str:
    return NONE if count is None else whole(count)


def _span(spans: list[Mapping[str, date]]) -> str:
    first, last = min(s["first"] for s in spans), max(s["last"] for s in spans)
    return day_text(first) if first == last else f"{day_text(first)} to {day_text(last)}"


def _reject_blocks(facts: PageFacts) -> list[Block]:
    since = facts.day - timedelta(days=27)
    if not facts.rejected:
        return [Note(f"No row of a day since {day_text(since)} was refused.")]
    rows = [[r["source"], r["reason"].replace("_", " "), whole(r["rejected"]), day_text(r["last_day"])] for r in facts.rejected]
    columns = [Column("Source"), Column("Reason", text=True), Column("Refused", True, "rows"), Column("Newest", True)]
    return [Table(f"Rows refused, by reason, since {day_text(since)}", columns, rows)]


def _newest_jobs(facts: PageFacts) -> dict[str, Mapping[str, Any]]:
    """The newest row of each job of the day, in the order in which they were last written."""
    newest: dict[str, Mapping[str, Any]] = {}
    for r in sorted(facts.runs, key=lambda r: (r["at"], r["status"] != RUNNING)):
        if r["day"] == facts.day and r["job"] not in NOT_SHOWN:
            newest[f"{r['job']}:{r['instance']}" if r["instance"] else r["job"]] = r
    return dict(sorted(newest.items()))


def _job_blocks(facts: PageFacts) -> list[Block]:
    rows = [[name, badge(r["status"], TONES.get(r["status"], "plain")), _message(r)] for name, r in _newest_jobs(facts).items()]
    if not rows:
        return [Note("No run of this day is recorded.", "empty")]
    return [Table("Jobs of the day", [Column("Job"), Column("Ended"), Column("Why", text=True)], rows, folded=True)]


def _message(row: Mapping[str, Any]) -> str:
    if row["status"] not in (FAILED, SKIPPED, REFUSED):
        return ""
    text = " ".join((row["message"] or "").split())
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + " …"
