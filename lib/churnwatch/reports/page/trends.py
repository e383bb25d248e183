"""Churn over time: came-back share, churn rates, cohorts."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup

from churnwatch.reports.page.blocks import Block, Column, Figure, Note, Section, Table, axis_of, interval_cell
from churnwatch.reports.page.charts import Point, Series, day_number, line_chart
from churnwatch.reports.page.facts import PageFacts, Rows
from churnwatch.reports.page.words import day_text, percent, percent_range, plural, points, whole
from churnwatch.settings import Settings
from churnwatch.settings.terms import ALL, DONE

SHADES = 8
SEGMENT_ROWS = 24
STARTS = {"ingest_events": "that was loaded", "raise_alerts": "with warnings", "score_users": "with scores"}
CLASSES = {"short": "short-term", "long": "long-term", "competitor": "to a competitor"}


def first_day(facts: PageFacts, job: str) -> date | None:
    """First output day that the runs of ``job`` in view have done; None where none is in view."""
    firsts = [span["first"] for r in facts.runs if r["job"] == job and r["status"] == DONE for span in r["days"]]
    return min(firsts, default=None)


def from_when(facts: PageFacts, lag_days: int, what: str, job: str = "ingest_events") -> str:
    """A sentence that says from which day on there will be data, counted from the first day of ``job`` that is done."""
    first, start = first_day(facts, job), STARTS[job]
    if first and first + timedelta(days=lag_days) > facts.day:
        return (
            f"{what} from {day_text(first + timedelta(days=lag_days))} on: {plural(lag_days, 'day')} after the first day {start}."
        )
    return f"{what} from {plural(lag_days, 'day')} after the first day {start} on; nothing is stored yet."


def trend_section(facts: PageFacts, settings: Settings) -> Section:
    """Came-back share by day and churn rates of each definition, with intervals; segments of the newest day."""
    base = [r for r in facts.trend if r["segment"] == ALL and r["share"] is not None]
    blocks: list[Block] = []
    lede = ""
    if base:
        last = max(base, key=lambda r: r["day"])
        lede = (
            f"{percent(last['share'])} of last week's {plural(last['active'], 'active user')} came back this week "
            f"(95 % interval {percent_range(last['low'], last['high'])})."
        )
        series = Series("came back", [_point(r, r["share"], f"{whole(r['came_back'])} of {whole(r['active'])}") for r in base])
        text = f"Share of last week's active users who came back, by day; {lede}"
        blocks.append(Figure("Came back this week, share of last week's active users", line_chart([series], text)))
    else:
        blocks.append(Note(from_when(facts, 14, "The share of users who come back is shown"), "empty"))
    blocks += _rate_blocks(facts, settings)
    blocks += _segment_blocks(facts, settings)
    return Section("trend", "Churn trend", lede, blocks, "Trend")


def _point(row: Mapping[str, Any], y: float, counts: str) -> Point:
    text = f"{day_text(row['day'])}: {percent(y)} ({percent_range(row['low'], row['high'])}), {counts}"
    return Point(day_number(row["day"]), y, row["low"], row["high"], text)


def _rate_blocks(facts: PageFacts, settings: Settings) -> list[Block]:
    rates = [r for r in facts.rates if r["segment"] == ALL and r["rate"] is not None]
    blocks: list[Block] = []
    series = []
    for name, definition in settings.churn.definitions.items():
        its = [r for r in rates if r["definition"] == name]
        title = f"{name} ({CLASSES[definition.class_]}, {definition.horizon_days} days ahead)"
        if its:
            series.append(Series(title, [_point(r, r["rate"], f"{whole(r['churned'])} of {whole(r['eligible'])}") for r in its]))
        else:
            lag = settings.label_lag_days(name)
            blocks.append(Note(from_when(facts, lag, f"The churn rate {name} is known"), "empty"))
    if series:
        text = "Churn rate by as-of day, one line a definition of churn"
        note = "A day's rate is known only after its horizon has passed: the lines end before today."
        blocks.insert(0, Figure("Churn rate of eligible users, by as-of day", line_chart(series, text), note))
    return blocks


def _segment_blocks(facts: PageFacts, settings: Settings) -> list[Block]:
    few, primary = settings.privacy.min_group_size, settings.churn.primary
    rates = [r for r in facts.rates if r["definition"] == primary]
    newest = max((r["day"] for r in rates), default=None)
    shown = [r for r in rates if r["day"] == newest and r["eligible"] >= few and r["rate"] is not None]
    if len(shown) < 2:
        return []
    whole_base = next((r["rate"] for r in shown if r["segment"] == ALL), None)
    axis = axis_of([r[k] for r in shown for k in ("low", "high")])
    ordered = sorted(shown, key=lambda r: (r["segment"] != ALL, r["segment"], -r["rate"], r["value"]))[:SEGMENT_ROWS]
    rows = [
        [
            "all users" if r["segment"] == ALL else f"{r['segment']}: {r['value']}",
            whole(r["eligible"]),
            whole(r["churned"]),
            interval_cell(
                r["rate"], r["low"], r["high"], axis, whole_base, f"{percent(r['rate'])} ({percent_range(r['low'], r['high'])})"
            ),
        ]
        for r in ordered
    ]
    columns = [
        Column("Group"),
        Column("Eligible", True, "users"),
        Column("Churned", True, "users"),
        Column("Churn rate", unit="95 % interval"),
    ]
    note = f"Groups under {few} users are not shown; the upright line is the rate of all users."
    return [Table(f"Churn rate {primary} by group, users of {day_text(newest)}", columns, rows, note)]


def cohort_section(facts: PageFacts, settings: Settings) -> Section:
    """The retention triangle by month as a heat map; unfinished periods are marked."""
    rows = [r for r in facts.cohorts if r["size"] >= settings.privacy.min_group_size]
    title = "Cohorts: who stays, month by month"
    if not rows:
        text = from_when(facts, settings.clock.settle_days, "The first cohort is shown")
        return Section("cohorts", title, "", [Note(text, "empty")], "Cohorts")
    blocks: list[Block] = [_heat_map(rows), *_change_notes(rows)]
    lede = (
        "Each row is the users who registered, or were first active, in a month; a cell is the share of them active in a "
        "later month. Users from before the data have a row of their own: only those who stayed so long are seen."
    )
    return Section("cohorts", title, lede, blocks, "Cohorts")


def _heat_map(rows: Rows) -> Table:
    last = max(r["period"] for r in rows)
    by_cell = {(_cohort_name(r), r["period"]): r for r in rows}
    sizes: dict[str, int] = {}
    for r in sorted(rows, key=lambda r: (not r["before_data"], r["cohort"], r["period"])):
        sizes.setdefault(_cohort_name(r), r["size"])
    lines = [[name, whole(size), *(_cell(by_cell.get((name, n))) for n in range(last + 1))] for name, size in sizes.items()]
    columns = [
        Column("Registered or first active in"),
        Column("Users", True),
        *(Column(f"month {n}", True) for n in range(last + 1)),
    ]
    note = "* the month has not ended, or its events are not yet settled: the share can only rise."
    return Table("Share of the cohort that was active, by months since its first", columns, lines, note, classes="heat")


def _cohort_name(row: Mapping[str, Any]) -> str:
    return "before the data" if row["before_data"] else f"{row['cohort']:%b %Y}"


def _cell(row: Mapping[str, Any] | None) -> object:
    if row is None or row["retained"] is None:
        return Markup('<span class="none"></span>')
    shade = min(SHADES, int(row["retained"] * SHADES + 0.999))
    text = f"{row['retained'] * 100:.0f} %" + ("" if row["complete"] else " *")
    title = (
        f"{_cohort_name(row)}, month {row['period']}: {whole(row['active'])} of {whole(row['size'])}, "
        f"95 % interval {percent_range(row['low'], row['high'])}" + ("" if row["complete"] else ", not ended")
    )
    return Markup('<span class="cell s{}{}" title="{}">{}</span>').format(shade, "" if row["complete"] else " open", title, text)


def _change_notes(rows: Rows) -> Sequence[Block]:
    """The newest finished first month against that of the cohort before: the earliest sign that cohorts get worse."""
    known = [r for r in rows if r["period"] == 1 and r["complete"] and r["change"] is not None]
    if not known:
        return []
    r = max(known, key=lambda r: r["cohort"])
    text = (
        f"Of the cohort of {r['cohort']:%B %Y}, {percent(r['retained'])} were active in the month after their first "
        f"(95 % interval {percent_range(r['low'], r['high'])}): {points(r['change'])} against the cohort before."
    )
    return [Note(text)]
