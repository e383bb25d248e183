"""Decide which days an ingest takes in: its own, earlier ones for which rows came late, and later ones whose state changes.

The table ingested_files keeps, for each day and source, which files an ingest has read and what they held for the day.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import Scope
from churnwatch.core.job import Frames
from churnwatch.events.columns import note_columns
from churnwatch.events.counts import Counted
from churnwatch.events.mapping import OUTSIDE, UNDATED, SourcePort, file_days
from churnwatch.events.sources import all_sources, state_sources
from churnwatch.settings import Settings, Source

UNKNOWN = ""  # the state of a table's files, which only its rows show
NO_FILES = "none"
EVENTS = "events"  # the kind of all event sources together
LOW_BITS = 0xFFFFFFFF
Key = tuple[date, str, date]  # business day, source, day of the file
Rows = dict[Key, tuple[int, str]]  # number of rows, and hash of their contents


@dataclass(frozen=True)
class Taken:
    """What an ingest has taken from the files of a day of a source for a business day.

    ``files``: number, bytes and hash of the files. ``content``: hash of the rows, whatever their order. ``late_rows``: rows that
    came after the first ingest of the business day. ``waiting_rows``: rows that were found later and are not taken in; None:
    files came later that no ingest has read.
    """

    files: str
    rows: int = 0
    content: str = ""
    late_rows: int = 0
    waiting_rows: int | None = 0


@dataclass(frozen=True)
class Intake(Scope):
    """The days of an ingest. ``days`` are those of events; ``own`` those that were asked for.

    - ``state_days``: kind of state -> days whose changes are found anew; ``written``: those among them that are written, where
      known.
    - ``files``: source -> day of a file -> state of its files, as they are now.
    - ``known``: what earlier ingests have taken.
    - ``unread``: source -> days of files that hold nothing for ``days``.
    - ``taken``: what this ingest takes, known once its rows are counted.
    - ``refused``: kind (``events``, ``users``, ...) -> late days that are not taken in, and what is wrong with their rows.
    - ``counted``: numbers of rows by which days are judged.
    """

    own: tuple[date, ...] = ()
    state_days: Mapping[str, tuple[date, ...]] = field(default_factory=dict)
    written: Mapping[str, tuple[date, ...]] = field(default_factory=dict)
    files: Mapping[str, Mapping[date, str]] = field(default_factory=dict)
    known: Mapping[Key, Taken] = field(default_factory=dict)
    unread: Mapping[str, frozenset[date]] = field(default_factory=dict)
    taken: Mapping[Key, Taken] = field(default_factory=dict)
    refused: Mapping[str, Mapping[date, Sequence[str]]] = field(default_factory=dict)
    counted: Counted | None = None

    def written_days(self, kind: str) -> tuple[date, ...]:
        """Days of state that are written."""
        return self.written.get(kind, self.state_days[kind])

    def kept_days(self, kind: str, source: Source) -> tuple[date, ...]:
        """Days of state whose stored changes count beside what their files hold now: not all of their files can be read again,
        nobody noted which they were, or their rows are refused."""
        others = [day for day in self.state_days[kind] if day not in self.own]
        refused = self.refused.get(kind, ())
        if not source.daily:
            return tuple(others)
        there = self.files.get(source.name, {})
        return tuple(
            day
            for day in others
            if day in refused or not _there(there, source, day) or day not in self.noted_days or _lacks_files(self, source, day)
        )

    @property
    def noted_days(self) -> frozenset[date]:
        """Days for which an earlier ingest noted the files that it read. Versions before 0.3.0 noted none."""
        return frozenset(day for day, _, _ in self.known)


def only_days_of(days: Sequence[date], settings: Settings) -> Intake:
    """Return the intake of ``days`` alone, whatever came late for others."""
    return Intake(tuple(days), own=tuple(days), state_days=dict.fromkeys(state_sources(settings), tuple(days)))


def find_intake(
    inputs: Frames,
    days: Sequence[date],
    sources: SourcePort,
    settings: Settings,
    earlier: Sequence[date] = (),
    later: Sequence[date] = (),
    before: Sequence[str] = (),
) -> Intake:
    """Choose the days of an ingest of ``days`` by a look at the files, before any row is read.

    ``earlier``: ingested days before ``days``; the last ``clock.settle_days`` of them are read again when files of theirs are new
    or changed. ``later``: ingested days after the first of ``days``: a change of users, consents or context reaches them.
    ``before``: messages of earlier ingests, oldest first, by which columns that a source has gained are noticed.
    """
    looked_at = sorted({*days, *earlier})
    files = {source.name: sources.list_files(source, looked_at) for source in all_sources(settings)}
    known = _recorded(inputs)
    intake = Intake(tuple(days), own=tuple(days), files=files, known=known)
    since = min(days) - timedelta(days=settings.clock.settle_days)
    settling = [day for day in earlier if day >= since and day in intake.noted_days]
    events = settings.sources.events
    late = [day for day in settling if any(is_touched(intake, s, day) for s in events) and not _has_gone(intake, events, day)]
    every = tuple(sorted({*days, *late}))
    state = {kind: _state_days(intake, source, earlier, later) for kind, source in state_sources(settings).items()}
    unread = {source.name: _unread(intake, source, every) for source in events if source.daily}
    note = note_columns(files, {source.name: source for source in all_sources(settings)}, days, sources, before)
    return replace(intake, days=every, state_days=state, unread=unread, note=note)


def changed_days(intake: Intake, inside: Rows, settings: Settings) -> list[date]:
    """Return the late days whose rows of events differ from those of their last ingest."""
    return [day for day in intake.days if day not in intake.own and _changed_keys(intake, inside, settings, day)]


def with_taken(
    intake: Intake, days: Sequence[date], inside: Rows, outside: Rows, earlier: Sequence[date], settings: Settings
) -> Intake:
    """Keep the ``days`` of events, and note what was taken and what waits. ``inside``, ``outside``: of ``count_rows``."""
    refused = intake.refused.get(EVENTS, {})
    taken = {
        key: one
        for source in settings.sources.events
        for day in intake.days
        if day not in refused
        for key, one in _taken(intake, inside, source, day)
    }
    waiting = {
        key: one
        for source in settings.sources.events
        for day in earlier
        if day not in intake.days
        for key, one in _waiting(intake, outside, source, day)
    }
    for day in refused:
        for key in _changed_keys(intake, inside, settings, day):
            was, rows = intake.known.get(key, Taken(UNKNOWN)), inside.get(key, (0, ""))[0]
            # of a file that was written anew without more rows, all of its rows wait
            waiting[key] = replace(was, waiting_rows=rows - was.rows if rows > was.rows else rows or None)
    for kind, source in state_sources(settings).items():
        there = intake.files.get(source.name, {})
        for day in intake.state_days[kind]:
            found = _there(there, source, day)
            if day not in intake.refused.get(kind, ()):
                taken |= {(day, source.name, f): Taken(there[f]) for f in found} or {_no_files(source, day): Taken(NO_FILES)}
                continue
            for f in found:
                was = intake.known.get((day, source.name, f), Taken(UNKNOWN))
                if was.files != there[f]:
                    waiting[day, source.name, f] = replace(was, waiting_rows=None)
    return replace(intake, days=tuple(days), taken=taken | waiting, note={**intake.note, **_note(intake, taken, waiting)})


def taken_rows(intake: Intake) -> list[dict[str, Any]]:
    """Return the rows of ingested_files that an ingest writes."""
    return [
        {"day": day, "source": source, "file_day": file_day, **vars(one)} for (day, source, file_day), one in intake.taken.items()
    ]


def _recorded(inputs: Frames) -> dict[Key, Taken]:
    rows = inputs["ingested"].collect() if "ingested" in inputs else []
    names = ("files", "rows", "content", "late_rows", "waiting_rows")
    return {(r["day"], r["source"], r["file_day"]): Taken(*(r[name] for name in names)) for r in rows}


def is_touched(intake: Intake, source: Source, day: date) -> bool:
    """Whether files that may hold rows of ``day`` are new or other ones than at its last ingest."""
    there = intake.files[source.name]
    return any(
        there[f] == UNKNOWN or (was := intake.known.get((day, source.name, f))) is None or was.files != there[f]
        for f in _there(there, source, day)
    )


def _there(there: Mapping[date, str], source: Source, day: date) -> list[date]:
    return [f for f in file_days(source, day) if f in there]


def _has_gone(intake: Intake, sources: Iterable[Source], day: date) -> bool:
    """Whether files from which rows of ``day`` came are no longer there: what is stored of the day then stays."""
    return any(
        (was := intake.known.get((day, source.name, f))) is not None and was.rows > 0 and f not in intake.files[source.name]
        for source in sources
        for f in file_days(source, day)
    )


def _lacks_files(intake: Intake, source: Source, day: date) -> bool:
    """Whether a file that was read for ``day`` is no longer there."""
    return any(
        (was := intake.known.get((day, source.name, f))) is not None
        and was.files != NO_FILES
        and f not in intake.files[source.name]
        for f in file_days(source, day)
    )


def _unread(intake: Intake, source: Source, days: Sequence[date]) -> frozenset[date]:
    """Days of files that are as they were when they held no row of any of ``days``."""
    there, useful = intake.files[source.name], set()
    for day in days:
        for f in file_days(source, day):
            was = intake.known.get((day, source.name, f))
            if day in intake.own or was is None or was.rows or was.files != there.get(f):
                useful.add(f)
    return frozenset(f for day in days for f in file_days(source, day)) - useful


def _state_days(intake: Intake, source: Source, earlier: Sequence[date], later: Sequence[date]) -> tuple[date, ...]:
    """The own days; those from the first on that has new files of its own; and later ones where own files are new."""
    touched = [day for day in intake.own if is_touched(intake, source, day)]
    if source.daily:
        touched += [day for day in earlier if day in intake.noted_days and is_touched(intake, source, day)]
    if not touched:
        return intake.own
    first = min(*touched, *intake.own) if source.daily else min(intake.own)
    reached = {day for day in (*earlier, *later) if day >= first} if source.daily or touched else set()
    return tuple(sorted({*intake.own, *reached}))


def count_rows(events: DataFrame) -> tuple[Rows, Rows]:
    """Count the staged ``events`` and hash their contents: of the days that are looked at, and of others. One aggregate over
    narrow columns."""
    low, high = F.col("content").bitwiseAND(F.lit(LOW_BITS)), F.shiftrightunsigned("content", 32)
    inside = (F.col("verdict") != OUTSIDE).alias("inside")
    grouped = events.where("event_day IS NOT NULL").groupBy(inside, "event_day", "source", "file_day")
    found: dict[bool, Rows] = {True: {}, False: {}}
    for row in grouped.agg(F.count("*").alias("n"), F.sum(low).alias("low"), F.sum(high).alias("high")).collect():
        key = (row["event_day"], row["source"], row["file_day"] or UNDATED)
        found[row["inside"]][key] = (row["n"], f"{row['high'] or 0:x}-{row['low'] or 0:x}")
    return found[True], found[False]


def _changed_keys(intake: Intake, inside: Rows, settings: Settings, day: date) -> list[Key]:
    """Files from which rows of ``day`` come that differ from those of its last ingest."""
    found = []
    for source in settings.sources.events:
        for f in _there(intake.files[source.name], source, day):
            if f in intake.unread.get(source.name, ()):
                continue
            key = (day, source.name, f)
            was = intake.known.get(key, Taken(UNKNOWN))
            if (was.rows, was.content if was.rows else "") != inside.get(key, (0, "")):
                found.append(key)
    return found


def _taken(intake: Intake, inside: Rows, source: Source, day: date) -> Iterable[tuple[Key, Taken]]:
    before = [one for f in file_days(source, day) if (one := intake.known.get((day, source.name, f)))]
    if not _there(intake.files.get(source.name, {}), source, day):
        yield _no_files(source, day), Taken(NO_FILES)
    for f in _there(intake.files.get(source.name, {}), source, day):
        key = (day, source.name, f)
        was = intake.known.get(key)
        if was and f in intake.unread.get(source.name, ()):
            yield key, was
            continue
        rows, content = inside.get(key, (0, ""))
        more = max(0, rows - (was.rows if was else 0)) if before else 0
        yield key, Taken(intake.files[source.name][f], rows, content, (was.late_rows if was else 0) + more)


def _no_files(source: Source, day: date) -> Key:
    """Key of the note that a day was ingested without a file of the source."""
    return day, source.name, file_days(source, day)[0]


def _waiting(intake: Intake, outside: Rows, source: Source, day: date) -> Iterable[tuple[Key, Taken]]:
    """Rows of a day that is not taken in again: those that were read beyond the ones taken, and files that were not read."""
    if not any((day, source.name, f) in intake.known for f in file_days(source, day)):
        return  # the day was ingested before files were noted
    for f in _there(intake.files[source.name], source, day):
        key = (day, source.name, f)
        was = intake.known.get(key, Taken(UNKNOWN))
        if key in outside:
            waiting: int | None = max(0, outside[key][0] - was.rows)
            if not waiting and was.files != intake.files[source.name][f]:
                waiting = was.waiting_rows  # rows of other content that were refused, as many as were taken
        else:
            read = any(f in file_days(source, d) for d in intake.days)
            # of the days that may have rows in a file, the one whose rows it mainly holds
            own = f == day + timedelta(days=min(source.file_days, key=lambda offset: (abs(offset), offset), default=0))
            waiting = None if own and not read and was.files != intake.files[source.name][f] else was.waiting_rows
        if waiting != was.waiting_rows and (waiting != 0 or key in intake.known):
            yield key, replace(was, waiting_rows=waiting)


def _note(intake: Intake, taken: Mapping[Key, Taken], waiting: Mapping[Key, Taken]) -> dict[str, dict[str, Any]]:
    """Rows that came late, and rows that wait, by day; -1 for files that were not read. Late days that are refused, and why."""
    late: dict[str, int] = {}
    for (day, source, f), one in sorted(taken.items()):
        was = intake.known.get((day, source, f))
        if more := one.late_rows - (was.late_rows if was else 0):
            late[str(day)] = late.get(str(day), 0) + more
    # what waited and is taken in now waits no longer
    waits = {str(key[0]): 0 for key in taken if key in intake.known and intake.known[key].waiting_rows != 0}
    for (day, _, _), one in sorted(waiting.items()):
        before = waits.get(str(day), 0)
        waits[str(day)] = -1 if one.waiting_rows is None or before < 0 else before + one.waiting_rows
    refused: dict[str, list[str]] = {}
    for days in intake.refused.values():
        for day, faults in days.items():
            refused.setdefault(str(day), []).extend(faults)
    notes: dict[str, dict[str, Any]] = {"late_rows": late, "waiting_rows": waits, "refused_days": refused}
    return {name: found for name, found in notes.items() if found}
