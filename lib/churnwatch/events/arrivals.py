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
from churnwatch.events.mapping import OUTSIDE, UNDATED, SourcePort
from churnwatch.events.sources import all_sources, state_sources
from churnwatch.settings import Settings, Source

UNKNOWN = ""  # the state of a table's files, which only its rows show
NO_FILES = "none"
LOW_BITS = 0xFFFFFFFF
Key = tuple[date, str, date]  # business day, source, day of the file


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
    """

    own: tuple[date, ...] = ()
    state_days: Mapping[str, tuple[date, ...]] = field(default_factory=dict)
    written: Mapping[str, tuple[date, ...]] = field(default_factory=dict)
    files: Mapping[str, Mapping[date, str]] = field(default_factory=dict)
    known: Mapping[Key, Taken] = field(default_factory=dict)
    unread: Mapping[str, frozenset[date]] = field(default_factory=dict)
    taken: Mapping[Key, Taken] = field(default_factory=dict)

    def written_days(self, kind: str) -> tuple[date, ...]:
        """Days of state that are written."""
        return self.written.get(kind, self.state_days[kind])

    def kept_days(self, kind: str, source: Source) -> tuple[date, ...]:
        """Days of state whose stored changes count beside what their files hold now: not all of their files can be read again,
        or nobody noted which they were."""
        others = [day for day in self.state_days[kind] if day not in self.own]
        if not source.daily:
            return tuple(others)
        there = self.files.get(source.name, {})
        return tuple(
            day
            for day in others
            if not _there(there, source, day) or day not in self.noted_days or _lacks_files(self, source, day)
        )

    @property
    def noted_days(self) -> frozenset[date]:
        """Days for which an earlier ingest noted the files that it read. Versions before 0.3.0 noted none."""
        return frozenset(day for day, _, _ in self.known)


def only_days_of(days: Sequence[date], settings: Settings) -> Intake:
    """Return the intake of ``days`` alone, whatever came late for others."""
    return Intake(tuple(days), own=tuple(days), state_days=dict.fromkeys(state_sources(settings), tuple(days)))


def file_days(source: Source, day: date) -> list[date]:
    """Return the days of the files that may hold rows of ``day``; 1970-01-01 where files have no day."""
    return [day + timedelta(days=offset) for offset in source.file_days] if source.daily else [UNDATED]


def find_intake(
    inputs: Frames,
    days: Sequence[date],
    sources: SourcePort,
    settings: Settings,
    earlier: Sequence[date] = (),
    later: Sequence[date] = (),
) -> Intake:
    """Choose the days of an ingest of ``days`` by a look at the files, before any row is read.

    ``earlier``: ingested days before ``days``; the last ``clock.settle_days`` of them are read again when files of theirs are new
    or changed. ``later``: ingested days after the first of ``days``: a change of users, consents or context reaches them.
    """
    looked_at = sorted({*days, *earlier})
    files = {source.name: sources.list_files(source, looked_at) for source in all_sources(settings)}
    known = _recorded(inputs)
    intake = Intake(tuple(days), own=tuple(days), files=files, known=known)
    since = min(days) - timedelta(days=settings.clock.settle_days)
    settling = [day for day in earlier if day >= since and day in intake.noted_days]
    events = settings.sources.events
    late = [day for day in settling if any(_is_touched(intake, s, day) for s in events) and not _has_gone(intake, events, day)]
    every = tuple(sorted({*days, *late}))
    state = {kind: _state_days(intake, source, earlier, later) for kind, source in state_sources(settings).items()}
    unread = {source.name: _unread(intake, source, every) for source in events if source.daily}
    return replace(intake, days=every, state_days=state, unread=unread)


def count_taken(inputs: Frames, intake: Intake, earlier: Sequence[date], settings: Settings) -> Intake:
    """Keep the days whose rows differ from those of their last ingest, and note what was taken and what waits.

    ``inputs``: the staged ``events``. One aggregate over narrow columns.
    """
    inside, outside = _counted(inputs["events"])
    dropped = [day for day in intake.days if day not in intake.own and not _differs(intake, inside, settings, day)]
    days = tuple(day for day in intake.days if day not in dropped)
    taken = {
        key: one for source in settings.sources.events for day in intake.days for key, one in _taken(intake, inside, source, day)
    }
    for kind, source in state_sources(settings).items():
        there = intake.files.get(source.name, {})
        for day in intake.state_days[kind]:
            found = _there(there, source, day)
            taken |= {(day, source.name, f): Taken(there[f]) for f in found} or {_no_files(source, day): Taken(NO_FILES)}
    waiting = {
        key: one
        for source in settings.sources.events
        for day in earlier
        if day not in intake.days
        for key, one in _waiting(intake, outside, source, day)
    }
    return replace(intake, days=days, taken=taken | waiting, note=_note(intake, taken, waiting))


def taken_rows(intake: Intake) -> list[dict[str, Any]]:
    """Return the rows of ingested_files that an ingest writes."""
    return [
        {"day": day, "source": source, "file_day": file_day, **vars(one)} for (day, source, file_day), one in intake.taken.items()
    ]


def _recorded(inputs: Frames) -> dict[Key, Taken]:
    rows = inputs["ingested"].collect() if "ingested" in inputs else []
    names = ("files", "rows", "content", "late_rows", "waiting_rows")
    return {(r["day"], r["source"], r["file_day"]): Taken(*(r[name] for name in names)) for r in rows}


def _is_touched(intake: Intake, source: Source, day: date) -> bool:
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
    touched = [day for day in intake.own if _is_touched(intake, source, day)]
    if source.daily:
        touched += [day for day in earlier if day in intake.noted_days and _is_touched(intake, source, day)]
    if not touched:
        return intake.own
    first = min(*touched, *intake.own) if source.daily else min(intake.own)
    reached = {day for day in (*earlier, *later) if day >= first} if source.daily or touched else set()
    return tuple(sorted({*intake.own, *reached}))


def _counted(events: DataFrame) -> tuple[dict[Key, tuple[int, str]], dict[Key, tuple[int, str]]]:
    """Rows and hash of their contents, of the days that are taken in and of others."""
    low, high = F.col("content").bitwiseAND(F.lit(LOW_BITS)), F.shiftrightunsigned("content", 32)
    inside = (F.col("verdict") != OUTSIDE).alias("inside")
    grouped = events.where("event_day IS NOT NULL").groupBy(inside, "event_day", "source", "file_day")
    found: dict[bool, dict[Key, tuple[int, str]]] = {True: {}, False: {}}
    for row in grouped.agg(F.count("*").alias("n"), F.sum(low).alias("low"), F.sum(high).alias("high")).collect():
        key = (row["event_day"], row["source"], row["file_day"] or UNDATED)
        found[row["inside"]][key] = (row["n"], f"{row['high'] or 0:x}-{row['low'] or 0:x}")
    return found[True], found[False]


def _differs(intake: Intake, inside: Mapping[Key, tuple[int, str]], settings: Settings, day: date) -> bool:
    for source in settings.sources.events:
        for f in _there(intake.files[source.name], source, day):
            if f in intake.unread.get(source.name, ()):
                continue
            was = intake.known.get((day, source.name, f), Taken(UNKNOWN))
            rows, content = inside.get((day, source.name, f), (0, ""))
            if (was.rows, was.content if was.rows else "") != (rows, content):
                return True
    return False


def _taken(intake: Intake, inside: Mapping[Key, tuple[int, str]], source: Source, day: date) -> Iterable[tuple[Key, Taken]]:
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


def _waiting(intake: Intake, outside: Mapping[Key, tuple[int, str]], source: Source, day: date) -> Iterable[tuple[Key, Taken]]:
    """Rows of a day that is not taken in again: those that were read beyond the ones taken, and files that were not read."""
    if not any((day, source.name, f) in intake.known for f in file_days(source, day)):
        return  # the day was ingested before files were noted
    for f in _there(intake.files[source.name], source, day):
        key = (day, source.name, f)
        was = intake.known.get(key, Taken(UNKNOWN))
        if key in outside:
            waiting: int | None = max(0, outside[key][0] - was.rows)
        else:
            read = any(f in file_days(source, d) for d in intake.days)
            # of the days that may have rows in a file, the one whose rows it mainly holds
            own = f == day + timedelta(days=min(source.file_days, key=lambda offset: (abs(offset), offset), default=0))
            waiting = None if own and not read and was.files != intake.files[source.name][f] else was.waiting_rows
        if waiting != was.waiting_rows and (waiting != 0 or key in intake.known):
            yield key, replace(was, waiting_rows=waiting)


def _note(intake: Intake, taken: Mapping[Key, Taken], waiting: Mapping[Key, Taken]) -> dict[str, dict[str, int]]:
    """Rows that came late, and rows that wait, by day; -1 for files that were not read."""
    late: dict[str, int] = {}
    for (day, source, f), one in sorted(taken.items()):
        was = intake.known.get((day, source, f))
        if more := one.late_rows - (was.late_rows if was else 0):
            late[str(day)] = late.get(str(day), 0) + more
    waits: dict[str, int] = {}
    for (day, _, _), one in sorted(waiting.items()):
        before = waits.get(str(day), 0)
        waits[str(day)] = -1 if one.waiting_rows is None or before < 0 else before + one.waiting_rows
    return {name: found for name, found in (("late_rows", late), ("waiting_rows", waits)) if found}
