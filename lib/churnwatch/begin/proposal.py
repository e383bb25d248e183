"""Propose a domain for the files of an unknown log: look at files, guess columns, count rows, propose."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce
from math import ceil
from typing import Any, Protocol

from pyspark.sql import DataFrame

from churnwatch.begin import counting, return_curve
from churnwatch.begin.act_kinds import guess_acts
from churnwatch.begin.columns import Layout, from_records, literal, slug
from churnwatch.begin.domain_files import Domain, ProposedSource
from churnwatch.begin.guesses import Guess, Guesses, NoLog, rank
from churnwatch.begin.key_fields import guess_fields, id_candidates, time_candidates
from churnwatch.begin.measuring import MOST_TYPES, Kind, is_purchase, is_return, proposed
from churnwatch.begin.other_fields import FEW_TYPES
from churnwatch.begin.texts import day_pattern, text_layout
from churnwatch.core import ConfigError, DataQualityError, NoEventLog
from churnwatch.settings import NOBODY, Ids, Source

MOST_GROUPS = 20  # layouts of files that are looked at
MOST_COLUMNS = 100
MISSED_USERS = 0.01  # where at least this share of rows has no user, such rows are left out instead of refused
WORD_IDS, WHOLE_IDS = 0.05, 0.95  # shares of whole numbers among ids that are words, and among ids that are numbers
RARE = 0.0005  # share of events below which a distance in days between file and event is taken for a fault


class Port(Protocol):
    """Access to files: listings, first rows, frames, and the rows of small frames."""

    def files(self, place: str) -> list[tuple[str, list[str]]]:
        """List the files of a place by format."""
        ...

    def lines(self, file: str) -> tuple[list[str], str | None]:
        """Return the first lines and the encoding of a text file."""
        ...

    def records(self, format_: str, file: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """Return the first rows and the column types of a file whose format has types."""
        ...

    def rows(self, source: Source) -> DataFrame:
        """Return all rows of a source."""
        ...

    def collect_small(self, frame: DataFrame) -> list[dict[str, Any]]:
        """Collect a frame of few rows."""
        ...


@dataclass(frozen=True)
class Group:
    """Files of one layout."""

    layout: Layout
    files: tuple[str, ...]


@dataclass(frozen=True)
class Inspected:
    """Files of one layout, the path that matches them, and the guesses about their columns."""

    group: Group
    path: str
    path_reason: str
    found: Guesses | NoLog


def propose_domain(places: Sequence[str], name: str, port: Port) -> tuple[Domain, str]:
    """Propose the domain ``name`` for the logs at ``places``; also return the folder that holds them.

    Raises ConfigError where there is no file to read, NoEventLog where no file has a column of users and one of times.
    """
    groups, unread = _groups(places, port)
    looked = [_inspect(group, port) for group in groups]
    logs = [one for one in looked if isinstance(one.found, Guesses)]
    if not logs:
        refused = [line for one in looked for line in (f"{one.path}:", *(f"  {line}" for line in _why_not(one)))]
        raise NoEventLog("\n".join(["this is no log of events, nothing was written:", *refused, *unread]))
    root = _root(groups)
    # beside a log, a file without a user's name or without a column of what was done is probably a list of something else
    named = [one for one in logs if _names_user(one)] or logs
    telling = [one for one in named if _says_what(one)] or named
    left_out = [*unread, *(f"{one.path}: {_why_not(one)[0].partition(';')[0]}" for one in looked if one not in telling)]
    sources: list[ProposedSource] = []
    counted: list[Mapping[str, int]] = []
    frames: list[DataFrame] = []
    for one in telling:
        if not isinstance(one.found, Guesses):
            continue
        path = "{storage.input}" + one.path.removeprefix(root) if one.path.startswith(root) else one.path
        called = _source_name(one.path, name, [source.name for source in sources])
        source = ProposedSource(called, one.group.layout, path, one.path_reason, one.found, "", "")
        source, events, counts = _with_kinds(source, _read(one.group.layout, one.path, port), port)
        sources.append(source)
        counted.append(counts)
        frames.append(events)
    return _domain(name, sources, counted, frames, left_out, port), root


def _names_user(one: "Inspected") -> bool:
    column = one.found.fields["user_id"].column if isinstance(one.found, Guesses) else None
    return column is not None and rank("user_id", column.name) is not None


def _says_what(one: "Inspected") -> bool:
    return isinstance(one.found, Guesses) and bool({"event_type", "amount", "item_id", "duration_s"} & set(one.found.fields))


def _why_not(one: "Inspected") -> list[str]:
    if isinstance(one.found, NoLog):
        return one.found.lines()
    lacks = "says what somebody did" if _names_user(one) else "has a user's name"
    return [f"no column {lacks}, as those of other files do"]


def _source_name(path: str, domain: str, taken: Sequence[str]) -> str:
    """Name a source after its file, or after the nearest folder whose name is more than a day or a part number."""
    parts = [re.sub(r"[.].*|[{]day[}]|[*]", "", part) for part in reversed(path.split("/"))]
    said = (part for part in parts if re.sub(r"[^a-z]", "", part.lower()) not in ("", "day", "date", "dt", "part"))
    return slug(next(said, domain), "log", taken)


# --- look -------------------------------------------------------------------------------------------------------------


def _groups(places: Sequence[str], port: Port) -> tuple[list[Group], list[str]]:
    """Group files by layout, and list files that cannot be read. Of files whose names differ in digits only, one is read."""
    shaped: dict[tuple[str, str], list[str]] = {}
    for format_, files in (found for place in places for found in port.files(place)):
        for file in files:
            shaped.setdefault((format_, re.sub(r"[0-9a-f]{8}[-0-9a-f]+|\d+", "#", file)), []).append(file)
    if len(shaped) > MOST_GROUPS:
        raise ConfigError(f"--from: files of {len(shaped)} kinds of names, at most {MOST_GROUPS}: name the files that are events")
    merged: dict[tuple[object, ...], Group] = {}
    unread = []
    for (format_, _), files in shaped.items():
        try:
            layout = _layout(format_, files[0], port)
        except DataQualityError as error:
            unread.append(f"{files[0]}: {error}")
            continue
        same = (layout.format, layout.given, layout.options.get("sep"), *(c.name for c in layout.columns))
        before = merged[same].files if same in merged else ()
        merged[same] = Group(merged[same].layout if before else layout, tuple(sorted({*before, *files})))
    return list(merged.values()), unread


def _layout(format_: str, file: str, port: Port) -> Layout:
    if format_ != "text":
        records, kinds = port.records(format_, file)
        return from_records(records, format_, kinds)
    return text_layout(*port.lines(file))


def _root(groups: Sequence[Group]) -> str:
    """Return the folder that holds all files; where they lie in several stores, the folder of the first file."""
    folders = [file.rpartition("/")[0] for group in groups for file in group.files]
    if all(folder.startswith("/") for folder in folders):
        return os.path.commonpath(folders)
    return folders[0]


def _read(layout: Layout, path: str, port: Port) -> DataFrame:
    """Read all rows with all columns of the layout, as ingest will read them."""
    columns = {f"c{i}": column.sql for i, column in enumerate(layout.columns)}
    given = list(layout.given) if layout.given is not None else None
    options = dict(layout.options)
    where = path.replace("{day}", "*")
    return port.rows(Source.model_validate(_settings(layout.format, where, options, given, columns)))


def _settings(
    format_: str, path: str, options: dict[str, str], given: list[str] | None, columns: dict[str, str]
) -> dict[str, Any]:
    return {"name": "log", "format": format_, "path": path, "options": options, "columns": given, "map": columns}


def _inspect(group: Group, port: Port) -> Inspected:
    """Count the whole log and guess its columns from the counts."""
    path, reason = day_pattern(group.files)
    layout = replace(group.layout, columns=group.layout.columns[:MOST_COLUMNS])
    rows = _read(layout, path, port)
    forms = [form for _, form in time_candidates(layout)]
    [row] = port.collect_small(counting.columns_counted(rows, layout.columns, forms))
    facts = counting.facts(row, layout.columns, forms)
    if names := id_candidates(layout, facts):
        columns = [column for name in names for column in layout.columns if column.name == name]
        [row] = port.collect_small(counting.distinct_counted(rows, columns))
        facts = counting.with_exact(facts, names, row)
    return Inspected(group, path, reason, guess_fields(layout, facts))


# --- count ------------------------------------------------------------------------------------------------------------


def _with_kinds(source: ProposedSource, rows: DataFrame, port: Port) -> tuple[ProposedSource, DataFrame, dict[str, int]]:
    """Return the source with event types, and without rows that have no user; its events; its counts."""
    [counts] = port.collect_small(counting.events_counted(counting.as_events(rows, source.guesses)))
    source = with_ids(source, counts)
    sql, kind_reason = _kind(source.guesses, counts)
    source = replace(source, kind_sql=sql, kind_reason=kind_reason)
    missed = counts["no_user"] / max(counts["rows"], 1)
    if missed >= MISSED_USERS:
        user = source.guesses.fields["user_id"].column
        reason = f"{missed:.1%} of the rows have no user and are left out; without this line they are refused and kept as rejects"
        source = replace(source, where=f"length(trim({user.sql})) > 0" if user else "", where_reason=reason)
    fields = {**source.guesses.fields, "event_type": Guess(sql, kind_reason)}
    nobody = (*NOBODY, *source.nobody)
    events = counting.as_events(rows, replace(source.guesses, fields=fields), source.ids, nobody)
    if "{day}" in source.path:
        late = {row["late"]: row["events"] for row in port.collect_small(counting.lateness_counted(events))}
        source = replace(source, file_days=file_days(late))
    return source, events, counts


def with_ids(source: ProposedSource, counts: Mapping[str, int]) -> ProposedSource:
    """Return the source with the spelling of its ids, and with 0 and -1 among the ids of nobody where other ids show that
    they are none."""
    user = source.guesses.fields["user_id"].column
    known = counts["rows"] - counts["no_user"] - counts["nobody"] - counts["zero_ids"] - counts["minus_one_ids"]
    words = counts["whole_ids"] < WORD_IDS * known
    nobody = []
    if counts["zero_ids"] and words:
        nobody.append("0")
    if counts["minus_one_ids"] and (words or not counts["negative_ids"]):
        nobody.append("-1")
    number = user is not None and user.kind in ("float", "double")
    decimal = number or (counts["decimal_ids"] > 0 and counts["whole_ids"] >= WHOLE_IDS * known)
    return replace(source, ids=Ids(strip_decimal_zero=decimal), decimal_ids=counts["decimal_ids"], nobody=tuple(nobody))


def file_days(late: Mapping[int, int]) -> tuple[int, ...]:
    """Return the days of the files to read for a day, relative to it: from the first to the last that is not rare.

    ``late``: number of events by the distance in days from event to file.
    """
    usual = [days for days, events in late.items() if events >= RARE * sum(late.values())]
    return tuple(range(min(usual), max(usual) + 1)) if usual else (-1, 0, 1)


def _kind(guesses: Guesses, counts: Mapping[str, int]) -> tuple[str, str]:
    """Return the SQL of the event type and the reason: a column, else a constant. Returned goods are a kind of their own."""
    if "event_type" in guesses.fields:
        guess = guesses.fields["event_type"]
        return guess.sql, f"{guess.column.name}: {guess.reason}" if guess.column else guess.reason
    money = "amount" in guesses.fields
    kind, why = ("purchase", "it has money") if money or guesses.quantity else ("event", "it has no money")
    reason = f"no column tells kinds of events: all are called {kind}, for {why if money or kind == 'event' else 'it has pieces'}"
    users = counts["rows"] - counts["no_user"] - counts["nobody"]
    tests = []
    session = guesses.fields.get("session_id")
    if session and 0 < counts["cancelled_sessions"] < 0.3 * users:
        tests.append(f"{session.sql} RLIKE '{counting.CANCELLED}'")
        reason += f"; {counts['cancelled_sessions']:,} rows with C before the number in {_name(session)} are called returns"
    if counts["below_zero"]:
        value = guesses.quantity.sql if guesses.quantity else guesses.fields["amount"].sql
        tests.append(f"coalesce(try_cast({value} AS DOUBLE), 0) < 0")
        reason += f"; {counts['below_zero']:,} rows below zero are called returns"
    if not tests:
        return literal(kind), reason
    return f"CASE WHEN {' OR '.join(tests)} THEN 'return' ELSE {literal(kind)} END", reason


def _name(guess: Guess) -> str:
    return guess.column.name if guess.column else guess.sql


# --- propose ----------------------------------------------------------------------------------------------------------


def _domain(
    name: str,
    sources: Sequence[ProposedSource],
    counted: Sequence[Mapping[str, int]],
    frames: Sequence[DataFrame],
    left_out: Sequence[str],
    port: Port,
) -> Domain:
    kinds = _kinds(frames, port)
    days = Counter[date]()
    for frame in frames:
        days.update({row["day"]: row["events"] for row in port.collect_small(counting.days_counted(frame))})
    if not days:
        raise NoEventLog("this is no log of events, nothing was written: no row has both a user and a time that can be read")
    first, last = counting.main_span(dict(days))
    acts = guess_acts([kind.name for kind in kinds])
    possible = [kind.name for kind in kinds] if acts.kinds is None else acts.kinds
    keeps = [kind for kind in possible if not is_return(kind)]
    backs = len(keeps) < len(possible)
    only = keeps if backs and any(map(is_purchase, keeps)) and len(kinds) <= MOST_TYPES else None
    active = reduce(DataFrame.unionByName, [frame.select("user_id", "day", "kind") for frame in frames])
    if (active_kinds := acts.kinds if only is None else only) is not None:
        active = active.where(active["kind"].isin(list(active_kinds)))
    [row] = port.collect_small(return_curve.count_silences(active, last))
    curve = return_curve.read_curve(row)
    history = (last - first).days + 1
    churn = return_curve.choose_window(curve, history)
    settle, settle_reason = _settle(sources)
    rejected, rejected_reason = _rejected(sources, counted)
    nobody, nobody_reason = _nobody(sources, counted)
    return Domain(
        name=name,
        sources=sources,
        kinds=kinds,
        acts=acts,
        measures=proposed(kinds, {source.name: source.guesses for source in sources}),
        curve=curve,
        churn=churn,
        churn_kinds=only,
        scale=return_curve.fit_scale(churn.days, history, settle),
        first=first,
        last=last,
        users=row["users"],
        settle_days=settle,
        settle_reason=settle_reason,
        rejected_share=rejected,
        rejected_reason=rejected_reason,
        nobody_share=nobody,
        nobody_reason=nobody_reason,
        buckets=4 if row["user_days"] < 20_000_000 else 16 if row["user_days"] < 200_000_000 else 64,
        left_out=left_out,
    )


def _kinds(frames: Sequence[DataFrame], port: Port) -> list[Kind]:
    found: dict[str, Kind] = {}
    for frame in frames:
        for row in port.collect_small(counting.kinds_counted(frame, FEW_TYPES)):
            before = found.get(row["kind"], Kind(row["kind"], 0))
            found[row["kind"]] = Kind(
                row["kind"],
                before.events + row["events"],
                before.amounts + row["amounts"],
                before.durations + row["durations"],
            )
    return sorted(found.values(), key=lambda kind: (-kind.events, kind.name))


def _settle(sources: Sequence[ProposedSource]) -> tuple[int, str]:
    """Return how many days late events are waited for, and why."""
    late = [max(source.file_days) for source in sources if "{day}" in source.path]
    if not late:
        return 0, "the log is taken as finished: nothing comes late; 2 where events of a day still arrive after it"
    if max(late) <= 0:
        return 1, "every file holds events of its own day alone; a day more, for files that come again"
    return max(late), f"events were found in files up to {max(late)} day(s) after their own"


def _rejected(sources: Sequence[ProposedSource], counted: Sequence[Mapping[str, int]]) -> tuple[float, str]:
    worst = 0.0
    for source, counts in zip(sources, counted, strict=True):
        refused = counts["no_time"] + (0 if source.where else counts["no_user"])
        worst = max(worst, refused / max(counts["rows"] - (counts["no_user"] if source.where else 0), 1))
    if worst <= 0.03:
        return 0.05, f"{worst:.2%} of the rows cannot be used: no user, or no time that can be read"
    return min(
        1.0, ceil(worst * 150) / 100
    ), f"{worst:.1%} of the rows cannot be used (see rejected_events); half as much again is let pass"


def _nobody(sources: Sequence[ProposedSource], counted: Sequence[Mapping[str, int]]) -> tuple[float, str]:
    """Return quality.max_nobody_share: its default, or half as much again as the worst source has; and why."""
    worst = 0.0
    for source, counts in zip(sources, counted, strict=True):
        more = sum(counts[f"{name}_ids"] for name, one in (("zero", "0"), ("minus_one", "-1")) if one in source.nobody)
        worst = max(worst, (counts["nobody"] + more) / max(counts["rows"], 1))
    share = max(0.2, min(1.0, ceil(worst * 150) / 100))
    return share, f"{worst:.2%} of the rows have an id that stands for nobody, such as null or guest"
