"""Find output days that are older than what they were built from, by the instants that job_runs keeps."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cached_property
from itertools import accumulate
from typing import Any

from pyspark.sql import DataFrame

from churnwatch.core import DataQualityError, Job, Read, Scope, day_range, is_snapshot
from churnwatch.core.days import ONE_DAY
from churnwatch.hashes import meaning_hashes
from churnwatch.io.ledger import Ledger
from churnwatch.reading import Reader, Step, span_text
from churnwatch.settings import Settings

LOOK_BACK_DAYS = 28  # how far before its own days an ingest looks for what came late, and for columns that it noted


class Written:
    """When the output days of a job were last written, for questions about spans of days."""

    def __init__(self, at: Mapping[date, tuple[datetime, datetime]]) -> None:
        self.at = dict(sorted(at.items()))
        self._days = list(self.at)
        self._ended = [ended for _, ended in self.at.values()]

    @cached_property
    def _newest_so_far(self) -> list[datetime]:
        return list(accumulate(self._ended, max))

    def newest(self, first: date | None, last: date) -> datetime | None:
        """The instant of the newest write of a day of ``first`` (None: the beginning) .. ``last``; None when there is none."""
        start, end = 0 if first is None else bisect_left(self._days, first), bisect_right(self._days, last)
        if start >= end:
            return None
        return self._newest_so_far[end - 1] if start == 0 else max(self._ended[start:end])


class Staleness:
    """Compares output days from ``first`` on (None: all) with their inputs.

    A log makes no day stale, because what people do about a day comes after it.
    """

    def __init__(self, jobs: Sequence[Job], ledger: Ledger, first: date | None = None) -> None:
        self._jobs, self._ledger, self._first = jobs, ledger, first
        self._known: dict[str, Written] = {}
        self._restated: dict[str, Written] = {}
        self._old: dict[str, set[date]] = {}

    def _written(self, job: Job) -> Written:
        if job.full_name not in self._known:
            self._known[job.full_name] = Written(self._ledger.written_at(job.full_name, self._first))
        return self._known[job.full_name]

    def _written_again(self, table: str) -> Written:
        if table not in self._restated:
            self._restated[table] = Written(self._ledger.restated_at(table, self._first))
        return self._restated[table]

    def stale_days(self, job: Job, among: Collection[date] | None = None) -> tuple[date, ...]:
        """Output days of ``job`` (those of ``among``) that are older than their inputs or were built when a column meant
        something else, in order.

        A day that reads a stale day is stale too, so ask for the jobs in the order of the flow.
        """
        old = self._old.setdefault(job.full_name, set())
        if job.meaning:
            old |= {day for day in other_meanings(job, self._ledger, self._first) if among is None or day in among}
        for day, (started, _) in self._written(job).at.items():
            if (among is None or day in among) and any(self._is_newer(job, read, day, started) for read in job.reads.values()):
                old.add(day)
        return tuple(sorted(old))

    def _is_newer(self, job: Job, read: Read, day: date, started: datetime) -> bool:
        first, last = (day, day) if read.span.as_of else read.span.days(day, day)
        if read.table.kind == "log":
            return False
        for producer in self._jobs:
            # the output of daily jobs, which are decisions, makes no day stale
            if read.table not in producer.writes or producer.mode == "daily":
                continue
            if producer == job:
                # the state of earlier days: later days are built again after them
                before = self._written(job).at.items()
                if any(d < day and (began > started or d in self._old[job.full_name]) for d, (began, _) in before):
                    return True
                continue
            # rows that were not known when the day was built do not make it stale
            known = last if read.span.as_of else min(last, day + timedelta(days=job.lag_days - producer.lag_days))
            written = [self._written(producer).newest(first, known)]
            if read.table.full_column:  # changes of an earlier day that came late
                written.append(self._written_again(read.table.name).newest(first, known))
            if any(at is not None and at > started for at in written):
                return True
            if any((first is None or first <= d) and d <= known for d in self._old.get(producer.full_name, ())):
                return True
        return False


def other_meanings(job: Job, ledger: Ledger, first: date | None = None) -> dict[date, list[str]]:
    """Output days of ``job`` from ``first`` on that were built when columns meant something else, and these columns.

    A column that is new or was taken out is none of them.
    """
    now = meaning_hashes(job.meaning)
    found = {}
    for day, then in ledger.meanings(job.full_name, first).items():
        if changed := [name for name, text in then.items() if now.get(name, text) != text]:
            found[day] = sorted(changed)
    return found


def stop_on_mixed_meanings(step: Step, jobs: Sequence[Job], ledger: Ledger) -> None:
    """Raise DataQualityError when a span of ``unmixed`` holds days that were built when their columns meant something else."""
    faults = []
    for read in (step.job.reads[alias] for alias in step.job.unmixed):
        first, last = read.span.days(min(step.days), max(step.days))
        for producer in (job for job in jobs if read.table in job.writes):
            others = {day: names for day, names in other_meanings(producer, ledger, first).items() if day <= last}
            if others:
                a, b, names = min(others), max(others), sorted({name for names in others.values() for name in names})
                what = f"{read.table.name} of {len(others)} day(s), {a} .. {b}, was built when {', '.join(names)} meant"
                faults.append(f"{what} something else\n  Hint: churnwatch run {producer.full_name} --from {a} --to {b}")
    if faults:
        what = f"{step.job.full_name} {span_text(step.days)} would mix two meanings of a column, nothing was written"
        raise DataQualityError("\n  ".join([f"{what}:", *faults]))


def with_late_days(step: Step, jobs: Sequence[Job], ledger: Ledger, settings: Settings, every: int | None = None) -> Step:
    """Add to the output days of ``step`` earlier ones whose input came late, as ``late`` of its job says.

    ``daily``: those of the last ``clock.settle_days`` days that are stale. ``settled``: those that have settled by the step's
    days, and with ``snapshots`` snapshot days alone: each ``every``-th, by default each that training reads.
    """
    if step.job.late is None or not step.days:
        return step
    first, settle = min(step.days), timedelta(days=settings.clock.settle_days)
    if step.job.late == "daily":
        among = set(day_range(first - settle, first - ONE_DAY))
    else:
        among = {day - settle for day in step.days}
        if step.job.snapshots:
            among = {day for day in among if is_snapshot(day, every or settings.model.snapshot_every_days)}
    stale = Staleness(jobs, ledger, min(among)).stale_days(step.job, among - set(step.days)) if among else ()
    return replace(step, days=tuple(sorted({*step.days, *stale})))


def done_around(step: Step, ledger: Ledger) -> tuple[tuple[date, ...], tuple[date, ...]]:
    """Days that the job has done: of the LOOK_BACK_DAYS before the step's days, and after the first of these."""
    first, own = min(step.days), set(step.days)
    done = sorted(ledger.done_days(step.job.full_name, first - timedelta(days=LOOK_BACK_DAYS)) - own)
    return tuple(d for d in done if d < first), tuple(d for d in done if d > first)


def find_scope(
    step: Step, inputs: dict[str, DataFrame], ports: Mapping[str, Any], ledger: Ledger, reader: Reader
) -> tuple[Scope, dict[str, Scope]]:
    """The scope of the step, and the same as an argument for jobs that have one; adds to ``inputs`` the rows of later days of
    the tables that such a job both reads and writes, as ``<alias>_later``."""
    job = step.job
    if job.scope is None:
        return Scope(step.days), {}
    earlier, later = done_around(step, ledger)
    for alias, read in job.reads.items():
        if later and read.span.as_of and read.table in job.writes:
            inputs[f"{alias}_later"] = reader.rows_of(read.table, later)
    before = ledger.messages(job.full_name, step.days[0] - timedelta(days=LOOK_BACK_DAYS))
    scope = job.scope(inputs, step.days, earlier=earlier, later=later, before=before, **ports)
    return scope, {"scope": scope}


def late_lines(note: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What came late, for people: rows that were taken in, rows that wait for a command (-1: files that were not read), and days
    that were left out because their rows fail the quality checks. Columns that a source has gained."""
    late, refused = note.get("late_rows", {}), note.get("refused_days", {})
    waiting = {day: rows for day, rows in note.get("waiting_rows", {}).items() if day not in refused}
    lines = [f"came late and was taken in: {', '.join(f'{day} {rows:,} rows' for day, rows in late.items())}"] if late else []
    if waits := {day: "files" if rows < 0 else f"{rows:,} rows" for day, rows in waiting.items() if rows}:
        lines.append(f"came too late: {', '.join(f'{day} {what}' for day, what in waits.items())}")
        lines.append(f"Hint: take them in by: churnwatch run ingest_events --from {min(waits)} --to {max(waits)}")
    for source, names in note.get("added_columns", {}).items():
        what = f"{source} has columns that it did not have before: {', '.join(names)}"
        lines.append(f"{what}. A column is read when map of the source names it")
    for day, faults in refused.items():
        lines.append(f"came late and was left out: {day}, because its rows fail the quality checks; what is stored of it stays:")
        lines += [f"  {fault}" for fault in faults]
        lines.append(f"Hint: correct its files, then: churnwatch run ingest_events --from {day} --to {day}")
    return lines
