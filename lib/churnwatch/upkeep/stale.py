"""Find and rebuild stale days."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from churnwatch.core import Job, Read, day_range
from churnwatch.graph import Failures
from churnwatch.reading import INGEST
from churnwatch.runner import Order, Outcome, Runner

Ended = Mapping[str, Mapping[date, tuple[datetime, datetime]]]


def stale(runner: Runner) -> list[tuple[Job, tuple[date, ...]]]:
    """Jobs with output days that are older than their inputs, in flow order. A job that reads a stale day is stale too."""
    runner.store.refresh()
    runner.ledger.refresh()
    ended: Ended = {job.full_name: runner.ledger.written_at(job.full_name) for job in runner.jobs}
    found: list[tuple[Job, tuple[date, ...]]] = []
    old: dict[str, set[date]] = {}
    for job in runner.jobs:
        if job.name == INGEST or not job.scheduled:
            continue
        days = old[job.full_name] = set()
        for day, (started, _) in sorted(ended[job.full_name].items()):
            if any(_changed(runner, job, read, day, started, ended, old) for read in job.reads.values()):
                days.add(day)
        if days:
            found.append((job, tuple(sorted(days))))
    return found


def _changed(
    runner: Runner,
    job: Job,
    read: Read,
    day: date,
    started: datetime,
    ended: Ended,
    old: Mapping[str, set[date]],
) -> bool:
    first, last = read.span.days(day, day)
    for producer in runner.jobs:
        # the output of daily jobs, which are decisions, makes no day stale
        if read.table not in producer.writes or producer.mode == "daily":
            continue
        if producer == job:
            # the state of earlier days: later days are built again after them
            if any(d < day and (began > started or d in old[job.full_name]) for d, (began, _) in ended[job.full_name].items()):
                return True
            continue
        # rows that were not known when the day was built do not make it stale
        known = min(last, day + timedelta(days=job.lag_days - producer.lag_days))
        for d, (_, at) in ended[producer.full_name].items():
            within = d == day if read.span.as_of else (first is None or first <= d) and d <= known
            if within and (at > started or d in old.get(producer.full_name, ())):
                return True
    return False


def rebuild_stale(runner: Runner, order: Order) -> list[Outcome]:
    """Rebuild the stale days of range jobs and of the page within the order's days. Decisions are facts: they stay."""
    outcomes, failures = [], Failures()
    days_of_order = set(day_range(order.first, order.last))
    for job, days in stale(runner):
        wanted = tuple(d for d in days if d in days_of_order)
        if wanted and (job.mode == "range" or job.name == "render_report"):
            outcomes += runner.rebuild(job, wanted, order.dry_run, failures)
    return outcomes
