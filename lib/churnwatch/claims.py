"""Claims: a run records what it is about to write before it writes, so that no second run writes the same days meanwhile."""

from dataclasses import dataclass
from datetime import date, timedelta

from churnwatch.core import WriteConflict
from churnwatch.io.ledger import Ledger, Run
from churnwatch.reading import Step, span_text
from churnwatch.settings.terms import ALL, FAILED, RUNNING


@dataclass(frozen=True)
class Claim:
    """What a run is about to do: its row in job_runs, and the steps that no other run may do meanwhile.

    A run of the whole flow has ``job`` 'all', and ``days`` are then run days D; else they are output days.
    """

    run_id: str
    job: str
    instance: str
    day: date
    days: tuple[date, ...]
    steps: tuple[Step, ...]


def take(ledger: Ledger, claim: Claim, stale_minutes: int) -> None:
    """Commit the running row of ``claim``. Raises WriteConflict when another live run does some of its steps.

    Two runs may claim at the same moment: each looks again at what was committed before its own row, and gives way to it. The
    order of commits decides, because clocks and the time that a commit takes differ.
    """
    row = (claim.run_id, claim.job, claim.instance, claim.day)
    ledger.refresh()
    if others := _others(ledger, claim, stale_minutes):
        raise WriteConflict(_conflict(others[0]))
    ledger.write(*row, RUNNING, claim.days)
    try:
        ledger.flush()
    except BaseException as error:
        ledger.write(*row, FAILED, claim.days, message=f"{type(error).__name__}: {error}"[:2000])
        raise
    ledger.refresh(newest=False)
    if earlier := _others(ledger, claim, stale_minutes):
        ledger.write(*row, FAILED, claim.days, message=_conflict(earlier[0]))
        ledger.flush()
        raise WriteConflict(_conflict(earlier[0]))


def renew(ledger: Ledger, claim: Claim) -> None:
    """Commit the running row of ``claim`` again, so that a run of hours does not count as dead."""
    ledger.write(claim.run_id, claim.job, claim.instance, claim.day, RUNNING, claim.days)
    ledger.flush()


def _others(ledger: Ledger, claim: Claim, stale_minutes: int) -> list[Run]:
    """Other live runs that do some of the claim's steps, earliest first."""
    live = ledger.live(stale_minutes)
    return [run for run in live if run.run_id != claim.run_id and any(_overlap(run, step) for step in claim.steps)]


def _overlap(run: Run, step: Step) -> bool:
    """Whether ``run`` writes days that ``step`` writes; a run of the whole flow writes those of every scheduled job."""
    if run.job == ALL:
        return step.job.scheduled and not run.days.isdisjoint(day + timedelta(days=step.job.lag_days) for day in step.days)
    return run.full_name == step.job.full_name and not run.days.isdisjoint(step.days)


def _conflict(other: Run) -> str:
    work = f"{other.full_name} {span_text(sorted(other.days))}"
    since = f"{other.message}, since {other.started_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{work} is being run by {other.run_id} ({since}); nothing was written"
