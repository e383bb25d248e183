"""Find and rebuild stale days."""

from datetime import date

from churnwatch.core import Job, day_range
from churnwatch.graph import Failures
from churnwatch.reading import INGEST
from churnwatch.runner import Order, Outcome, Runner
from churnwatch.staleness import Staleness, other_meanings


def stale(runner: Runner) -> list[tuple[Job, tuple[date, ...]]]:
    """Jobs with output days that are older than their inputs, in flow order. A job that reads a stale day is stale too."""
    runner.store.refresh()
    runner.ledger.refresh()
    staleness = Staleness(runner.jobs, runner.ledger)
    # raw input may be gone: ingested days are stale only when what makes an event belong to a day was changed
    found = [(job, tuple(sorted(other_meanings(job, runner.ledger)))) for job in runner.jobs if job.name == INGEST]
    found += [(job, staleness.stale_days(job)) for job in runner.jobs if job.name != INGEST and job.scheduled]
    return [(job, days) for job, days in found if days]


def waiting(runner: Runner) -> list[tuple[date, str, int | None]]:
    """Business days for which rows came that no ingest has taken in: day, source, rows (None: files that were not read)."""
    table = runner.tables.ingested_files
    rows = runner.store.read(table, "waiting_rows IS NULL OR waiting_rows > 0").orderBy("day", "source").collect()
    found: dict[tuple[date, str], int | None] = {}
    for row in rows:
        key, more = (row["day"], row["source"]), row["waiting_rows"]
        before = found.get(key, 0)
        found[key] = None if more is None or before is None else before + more
    return [(*key, count) for key, count in found.items()]


def rebuild_stale(runner: Runner, order: Order) -> list[Outcome]:
    """Rebuild the stale days of range jobs and of the page within the order's days. Decisions are facts: they stay. What was
    ingested stays too, because raw files may be gone."""
    outcomes, failures = [], Failures()
    days_of_order = set(day_range(order.first, order.last))
    for job, days in stale(runner):
        wanted = tuple(d for d in days if d in days_of_order)
        if wanted and job.name != INGEST and (job.mode == "range" or job.name == "render_report"):
            outcomes += runner.rebuild(job, wanted, order.dry_run, failures)
    return outcomes
