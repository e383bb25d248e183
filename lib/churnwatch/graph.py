"""The steps of a run as a graph: which output days depend on days that failed, and which steps wait for each other."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from threading import RLock

from churnwatch.core import Job, Read
from churnwatch.reading import Step
from churnwatch.settings.terms import FAILED
from churnwatch.steps import NOT_RUN, Outcome


class Failures:
    """Output days that failed in this run, or were not run because of such a day, with the step at the root of it."""

    def __init__(self) -> None:
        self._lock = RLock()  # steps that run side by side share it
        self._days: dict[str, tuple[Job, dict[date, str]]] = {}

    def add(self, outcome: Outcome, root: str | None = None) -> None:
        """Take note of a step that failed, or was not run because of the step ``root``."""
        if outcome.status in (FAILED, NOT_RUN):
            job = outcome.step.job
            with self._lock:
                _, days = self._days.setdefault(job.full_name, (job, {}))
                days.update(dict.fromkeys(outcome.step.days, root or outcome.title))

    def split(self, step: Step) -> tuple[Step, Mapping[str, list[date]]]:
        """The step without the output days that depend on a failed day, and those days by the step at the root of it."""
        blocked: dict[str, list[date]] = {}
        if not step.job.despite_failures:
            for day in step.days:
                with self._lock:
                    root = self._root(step.job, day)
                if root:
                    blocked.setdefault(root, []).append(day)
        left_out = {day for days in blocked.values() for day in days}
        return Step(step.job, step.day, tuple(d for d in step.days if d not in left_out)), blocked

    def _root(self, job: Job, day: date) -> str | None:
        for read in job.reads.values():
            for producer, failed in self._days.values():
                if producer == job or read.table not in producer.writes:
                    continue
                for other, root in failed.items():
                    if _depends(job, day, read, producer, other):
                        return root
        return None


def _depends(job: Job, day: date, read: Read, producer: Job, other: date) -> bool:
    """Whether the output day ``day`` needs the output day ``other`` of ``producer``.

    It does when both belong to the same run day, or when every day of the span must exist. Days of earlier runs may lack
    otherwise, as those before the first run do. A log without the rows of today is still the log: when training fails, the
    release in use goes on.
    """
    if read.table.kind == "log":
        return False
    first, last = read.span.days(day, day)
    last = min(last, day + timedelta(days=job.lag_days - producer.lag_days))
    if not (first is None or first <= other) or other > last:
        return False
    same_run = day + timedelta(days=job.lag_days) == other + timedelta(days=producer.lag_days)
    return same_run or (not read.span.as_of and (read.table.complete or read.must_exist))


def waits_for(steps: Sequence[Step]) -> list[set[int]]:
    """For each step the numbers of the earlier steps that must end before it starts, when steps run side by side.

    Two steps run side by side when neither writes a table that the other one reads or writes.
    """
    tables = [({read.table.name for read in step.job.reads.values()}, {t.name for t in step.job.writes}) for step in steps]
    return [
        {
            before
            for before, (earlier_reads, earlier_writes) in enumerate(tables[:number])
            if earlier_writes & (reads | writes) or earlier_reads & writes
        }
        for number, (reads, writes) in enumerate(tables)
    ]
