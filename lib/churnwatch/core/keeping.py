"""Check for how long rows are kept against what jobs read, and find the rows that may go."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from churnwatch.core.errors import ConfigError
from churnwatch.core.job import Job
from churnwatch.core.table import Read, Table


def check_keep_days(jobs: Iterable[Job]) -> None:
    """Raise ConfigError when a table is kept for fewer days than a job reads of it; it lists every such table."""
    needed: dict[str, tuple[Table, float, str]] = {}
    for job in jobs:
        for read in job.reads.values():
            if read.table.keep_days is not None:
                name, days = read.table.name, _days_needed(job, read)
                if name not in needed or days > needed[name][1]:
                    needed[name] = (read.table, days, job.full_name)
    if faults := list(_faults(needed.values())):
        raise ConfigError(f"{len(faults)} fault(s) in the configuration:\n" + "\n".join(f"  {fault}" for fault in faults))


def _faults(needed: Iterable[tuple[Table, float, str]]) -> Iterator[str]:
    for table, days, job in needed:
        if days == float("inf"):
            yield f"maintenance.keep_days.{table.name}: {job} reads all of its days. Hint: take the table out"
        elif table.keep_days is not None and table.keep_days < days:
            text = f"maintenance.keep_days.{table.name}: {table.keep_days} days, but {job} reads {days:.0f}"
            yield f"{text}. Hint: at least {days:.0f}"


def _days_needed(job: Job, read: Read) -> float:
    """Days before the newest ingested day that the job reads, that day included; infinite where it reads all days."""
    if read.span.as_of:
        # rows up to the restatement of the month before may be in force
        return job.lag_days + 62 - (read.span.first or 0) if read.table.full_column else float("inf")
    return float("inf") if read.span.first is None else job.lag_days - read.span.first + 1


def first_kept_day(table: Table, newest: date, restated: Iterable[date] = ()) -> date | None:
    """The first day whose rows are kept when ``newest`` is the newest ingested day; None: all are.

    ``restated``: days with a full restatement, of a table that has them: rows behind the last one that may still be read
    are in force, so they stay.
    """
    if table.keep_days is None:
        return None
    first = newest - timedelta(days=table.keep_days - 1)
    return max((day for day in restated if day <= first), default=None) if table.full_column else first
