"""Cut the inputs of a step: to the spans that its job declares, and to what was known on the run day D."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.core import (
    SINCE,
    DataQualityError,
    Job,
    MissingDays,
    Read,
    Table,
    contiguous,
    day_range,
    days_predicate,
    first_kept_day,
    to_ranges,
)
from churnwatch.io.ledger import Ledger
from churnwatch.io.store import Store
from churnwatch.versions import complete_version

OPEN_END = date(9999, 12, 31)
INGEST = "ingest_events"
RESTATED_DAYS = 62  # before a day: a first of a month lies there, also where the newest one has failed


@dataclass(frozen=True)
class Step:
    """A job for one run day D, or in one pass for a range of run days that ends with ``day``; ``days`` are its output days."""

    job: Job
    day: date
    days: tuple[date, ...]

    @property
    def title(self) -> str:
        """Name of the step's Spark jobs: ``build_features 2025-03-01 .. 2025-03-07 (7 days)``."""
        return f"{self.job.full_name} {span_text(self.days or (self.day,))}"


class Reader:
    """Cuts the inputs of steps. No other code decides what was known on a day."""

    def __init__(self, store: Store, ledger: Ledger, jobs: Sequence[Job]) -> None:
        self._store, self._ledger, self._jobs = store, ledger, jobs
        self.pinned: Mapping[str, int] = {}  # versions that are read in place of the newest complete ones
        self._producers = {table.name: job for job in jobs for table in job.writes}

    def refresh(self) -> None:
        """Forget the known versions and runs, so that the next reads see what others have written meanwhile."""
        self._store.refresh()
        self._ledger.refresh()

    def cut(self, step: Step, read: Read) -> DataFrame:
        """Rows of ``read`` for the step: those of its span around the output days that were known on D."""
        first, last = read.span.days(step.days[0], step.days[-1])
        last = min(last, self.known(step, read))
        if read.newest:
            return self._as_of(read, OPEN_END, OPEN_END)
        if read.span.as_of:
            # a job that stores changes of its own table compares them with the state before its first day
            own = read.table in step.job.writes
            if read.table.pick == "earliest":
                return self._earliest(read.table, step.days, last, own)
            earlier = max(own, -(read.span.first or 0))
            return self._as_of(read, step.days[0] - timedelta(days=earlier), last)
        where = _between(first, last) if first is None or contiguous(step.days) else _spans_predicate(step.days, read, last)
        where = f"({where}){self._known_by_instance(step, read)}"
        return self._store.read(read.table, where, first, last, self.version(read.table))

    def rows_of(self, table: Table, days: Sequence[date]) -> DataFrame:
        """Stored rows of ``days``, whatever was known on D."""
        return self._store.read(table, days_predicate(days), min(days), max(days), self.version(table))

    def version(self, table: Table) -> int | None:
        """The version that steps read: the pinned one, or the newest that holds no half of a step; None: it is not stored."""
        newest = self._store.version(table)
        if newest is None or table.name in self.pinned:
            return newest if newest is None else self.pinned[table.name]
        return complete_version(self._ledger, self._store, table, newest)

    def rows(self, step: Step) -> float:
        """Rows that the step is expected to read, from what earlier runs have recorded; infinite when none has."""
        read = 0.0
        if "sources" in step.job.ports:
            # what comes in is expected to be as much as on the day before
            day_before = step.days[0] - timedelta(days=1)
            written = sum(self._ledger.rows_between(table.name, day_before, day_before) for table in step.job.writes)
            read += written * len(step.days) or math.inf
        for one in step.job.reads.values():
            if self._store.version(one.table) is None:
                continue
            first, last = one.span.days(step.days[0], step.days[-1])
            first = self._restatement(one, step.days[0]) if one.span.as_of else first
            read += self._ledger.rows_between(one.table.name, first, last)
            if first and one.span.as_of and (copies := one.table.restatement):
                # a run of many days has written it on one of them, and counts as if on each
                read += self._ledger.rows_between(copies.name, first - timedelta(days=27), last)
        return read

    def known(self, step: Step, read: Read) -> date:
        """Newest day of the table that is known on D: D minus the shortest lag of the jobs that write it."""
        lags = [job.lag_days for job in self._jobs if read.table in job.writes]
        return step.day - timedelta(days=min(lags, default=0))

    def _known_by_instance(self, step: Step, read: Read) -> str:
        """SQL that cuts each instance of a table at its own newest known day; empty where all have the same lag."""
        writers = [job for job in self._jobs if read.table in job.writes]
        if not read.table.instance_column or len({job.lag_days for job in writers}) < 2:
            return ""
        known = [
            f"{read.table.instance_column} = '{job.instance}' AND day <= DATE'{step.day - timedelta(days=job.lag_days)}'"
            for job in writers
        ]
        return f" AND (({') OR ('.join(known)}))"

    def _as_of(self, read: Read, first: date, last: date) -> DataFrame:
        """Rows in force on any day of ``first`` .. ``last`` (both in), with ``day`` and ``until``; see core.Span."""
        table = read.table
        restated = self._restatement(read, first)
        frame = self._store.read(table, _between(restated, last), restated, last, self.version(table))
        order = [n for n in ("day", "at", "changed_at") if n in table.schema.names]
        window = Window.partitionBy(*table.pick_key).orderBy(*order)
        until = F.coalesce(F.date_sub(F.lead("day").over(window), 1), F.lit(OPEN_END))
        return frame.withColumn("until", until).where(F.col("until") >= F.greatest(F.lit(first), F.col("day")))

    def _earliest(self, table: Table, days: Sequence[date], last: date, own: bool) -> DataFrame:
        """The earliest row of each pick key up to ``last``, with ``until``; ``own``: without the rows of ``days``, because the
        job that reads them replaces them."""
        copies = table.restatement
        version = self.version(copies) if copies else None
        begin = self._store.newest_day(copies, days[0], version) if copies and version is not None else None
        start = begin + timedelta(days=1) if begin else None
        frame = self._store.read(table, _between(start, last), start, last, self.version(table))
        if own:
            frame = frame.where(f"NOT ({days_predicate(days)})")
        if begin and copies:
            known = self._store.read(copies, f"day = DATE'{begin}'", begin, begin, version)
            frame = frame.unionByName(known.withColumn("day", F.col(SINCE)).select(*table.schema.names))
        others = [n for n in table.schema.names if n not in table.pick_key]
        frame = frame.groupBy(*table.pick_key).agg(F.min(F.struct(*others)).alias("_row"))
        return frame.select(*table.pick_key, "_row.*", F.lit(OPEN_END).alias("until"))

    def _restatement(self, read: Read, first: date) -> date | None:
        """Day of the newest full restatement before ``first``: earlier rows need not be read. None: read from the beginning."""
        producer = self._producers.get(read.table.name)
        if producer is None or not (read.table.full_column or read.table.restatement):
            return None
        if (newest := self._ledger.last_day(producer.full_name)) is None:
            return None
        for since in (min(first, newest) - timedelta(days=RESTATED_DAYS), None):
            days = self._ledger.good_days(producer.full_name, since)
            if found := max((d for d in days if d.day == 1 and d < first), default=None):
                return found
        return None

    def stop_on_missing_days(self, step: Step) -> None:
        """Raise MissingDays when days of the step's spans were never ingested or built; it names them by table."""
        faults = []
        for table, producer, missing in self._missing(step):
            days = sorted(set().union(*missing.values()))
            gone = self._no_longer_kept(table, days)
            faults.append(f"{table.name} ({span_list(days)}): run {producer.full_name} for them{gone}")
        if faults:
            raise MissingDays(
                f"{step.job.full_name} {span_text(step.days)} needs days that are missing, nothing was written:\n  "
                + "\n  ".join(faults)
            )

    def _no_longer_kept(self, table: Table, days: Sequence[date]) -> str:
        """Name those of ``days`` whose rows ``maintain`` deletes; '' when there are none."""
        last = self._ledger.last_day(INGEST)
        first = first_kept_day(table, last) if last is not None else None
        old = [day for day in days if first and day < first]
        if not old:
            return ""
        setting = f"maintenance.keep_days.{table.name} is {table.keep_days}"
        return f"; {span_list(old)}: before {first}, so maintain has deleted or will delete these days ({setting})"

    def lacking(self, step: Step) -> set[date]:
        """Output days of the step whose spans hold a day that was never ingested or built."""
        return {day for _, _, missing in self._missing(step) for day in missing}

    def _missing(self, step: Step) -> Iterator[tuple[Table, Job, dict[date, set[date]]]]:
        """Tables with missing days: the table, the job that writes it, and the missing days of each output day.

        A day is also missing when the newest run that wrote it has failed or broke off: its rows may be half of a step.
        """
        for read in step.job.reads.values() if step.days and step.job.name != INGEST else ():
            if not (read.table.complete or read.must_exist):
                continue
            producer, own = self._producers[read.table.name], read.span.as_of and read.table in step.job.writes
            before = step.days[0] - timedelta(days=1)
            since: date | None = before if own else read.first_day(step.days[0])
            if own and before not in self._ledger.good_days(producer.full_name, before):
                since = None  # all days before are looked at
            if (first := self._ledger.first_day(INGEST, since)) is None:
                continue
            good = self._ledger.good_days(producer.full_name, since)
            if own:
                # the state before its days, which holds all days before: where the last one is good, they were when it was built
                wanted = {day: set(day_range(first, before)) - good if before not in good else set() for day in step.days}
            else:
                wanted = {day: set(_span_days(read, day, first)) - good for day in step.days}
            if missing := {day: days for day, days in wanted.items() if days}:
                yield read.table, producer, missing

    def stop_on_deleted_days(self, step: Step) -> None:
        """Raise DataQualityError when the step reads days whose rows may be deleted (``Table.keep_days``), because it would
        replace good rows by rows that were made of nothing."""
        faults = []
        for read in step.job.reads.values() if step.job.name != INGEST else ():
            if read.table.keep_days is None or (newest := self._ledger.last_day(INGEST)) is None:
                continue
            wanted = read.first_day(step.days[0])
            first = max(wanted, self._ledger.first_day(INGEST, wanted) or wanted)
            kept = newest - timedelta(days=read.table.keep_days - 1)
            if first < kept:
                faults.append(f"{read.table.name} from {first} on: rows before {kept} are deleted (maintenance.keep_days)")
        if faults:
            raise DataQualityError(
                f"{step.job.full_name} {span_text(step.days)} needs days that are kept no longer, nothing was written:\n  "
                + "\n  ".join(faults)
                + "\nHint: leave the days as they are, or restore the rows and raise keep_days first"
            )


def first_day_asked(steps: Sequence[Step]) -> date | None:
    """First day about which job_runs is asked for ``steps``: of what must be complete or whole in meaning, and of restatements.

    None: there are no output days. Other questions may reach further back.
    """
    asked: list[date] = []
    for step in (step for step in steps if step.days):
        asked.append(min(step.days) - timedelta(days=RESTATED_DAYS))
        for alias, read in step.job.reads.items():
            if read.table.complete or read.must_exist or alias in step.job.unmixed:
                asked.append(read.first_day(min(step.days)))
    return min(asked, default=None)


def _span_days(read: Read, day: date, first_ingested: date) -> Iterator[date]:
    return iter(day_range(max(read.first_day(day), first_ingested), read.span.days(day, day)[1]))


def _spans_predicate(days: Sequence[date], read: Read, last: date) -> str:
    """SQL for output days with gaps between them: the days that belong to the span of one of them."""
    wanted = {d for day in days for d in day_range(*read.span.days(day, day)) if d <= last}  # type: ignore[arg-type]
    return " OR ".join(f"({_between(a, b)})" for a, b in to_ranges(wanted)) or "false"


def _between(first: date | None, last: date) -> str:
    upper = f"day <= DATE'{last}'"
    return upper if first is None else f"day >= DATE'{first}' AND {upper}"


def span_text(days: Sequence[date]) -> str:
    """``days`` for people: ``2025-03-01`` or ``2025-03-01 .. 2025-03-07 (7 days)``."""
    return str(days[0]) if len(days) == 1 else f"{days[0]} .. {days[-1]} ({len(days)} days)"


def span_list(days: Sequence[date]) -> str:
    """The first five ranges of ``days`` for people, and how many more there are."""
    runs = [str(a) if a == b else f"{a} .. {b}" for a, b in to_ranges(days)]
    return ", ".join(runs[:5]) + (f" and {len(runs) - 5} more" if len(runs) > 5 else "")
