"""Claims: a run records what it is about to write before it writes, so that no second run writes the same days meanwhile."""

from dataclasses import dataclass
from datetime import date, timedelta

from churnwatch.core import Interrupted, LeaseLost, WriteConflict
from churnwatch.io.leases import Leases, lease_of
from churnwatch.io.ledger import Ledger, Run
from churnwatch.io.store import Store
from churnwatch.reading import Step, span_text
from churnwatch.settings.terms import ABORTED, ALL, ALONE, FAILED, MIGRATE, RUNNING


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


def take(ledger: Ledger, leases: Leases, claim: Claim, take_over: bool = False) -> list[Run]:
    """Begin the lease of ``claim``, commit its running row, and return the runs that it ended to take over their work.

    The work of a dead run is taken over, with ``take_over`` also that of a living one. Raises WriteConflict when a living run
    does some of the claim's steps. Two runs may claim at the same moment:
    each looks again at what was committed before its own row, and gives way to it. The order of commits decides, because
    clocks and the time that a commit takes differ.
    """
    leases.hold(claim.run_id)
    try:
        gone = _dead(ledger, leases, claim, take_over)
        _commit(ledger, claim)
        others = _others(ledger, claim)
        if earlier := [run for run in others if lease_of(run.run_id) not in gone]:
            # no days: this run has written none, and the newest run of these days is the other one
            ledger.write(claim.run_id, claim.job, claim.instance, claim.day, FAILED, (), message=_conflict(earlier[0]))
            ledger.flush()
            raise WriteConflict(_conflict(earlier[0]))
        for run in others:
            _end(ledger, leases, run, claim.run_id, f"taken over by run {claim.run_id} ({leases.owner.person}, {leases.owner})")
        ledger.flush()
    except BaseException:
        leases.release(claim.run_id)
        raise
    return others


def living(ledger: Ledger, leases: Leases) -> list[Run]:
    """Runs without an end that are not known to be dead, earliest first."""
    return [run for run in ledger.running() if leases.lives(lease_of(run.run_id)) is not False]


def end_dead(ledger: Ledger, leases: Leases) -> list[Run]:
    """Write the row ``aborted`` for runs that died without an end; return the runs that live, earliest first.

    A run whose lease has no file is watched like one on another machine. This takes up to ``runs.lease_minutes``.
    """
    ledger.refresh()
    ledger.reach(None)
    running, alive = ledger.running(), set[str]()
    while found := leases.first_living({lease_of(run.run_id) for run in running} - alive):
        alive.add(found)
    for run in running:
        if lease_of(run.run_id) not in alive:
            _end(ledger, leases, run, "another command", "the process died before it wrote the end of the run")
    ledger.flush()
    return [run for run in running if lease_of(run.run_id) in alive]


def close(store: Store, ledger: Ledger, leases: Leases) -> None:
    """Store the rows of job_runs that wait, give the claimed days free, and clean up after runs that died meanwhile."""
    try:
        ledger.flush()
    finally:
        leases.release_all()
    sweep(store, ledger, leases)


def sweep(store: Store, ledger: Ledger, leases: Leases) -> None:
    """Remove the staging folders of runs that have ended or died; write the row ``aborted`` for those that died.

    A run begins its lease before it stages anything, and ends it after its last row is stored.
    """
    staged, dead = store.staged_runs(), set(leases.dead())
    for run_id in staged:
        if lease_of(run_id) in dead or not leases.has_file(lease_of(run_id)):
            store.drop_stage(run_id)
    if not dead:
        return
    ledger.refresh()
    if not dead <= {lease_of(run.run_id) for run in ledger.running()}:
        ledger.reach(None)  # died long ago
    for run in ledger.running():
        if lease_of(run.run_id) in dead:
            _end(ledger, leases, run, "another run", "the process died before it wrote the end of the run")
    ledger.flush()
    for lease_id in dead:
        leases.forget(lease_id)


def ending(error: BaseException) -> str:
    """Status of a run that ends with the error."""
    return ABORTED if isinstance(error, KeyboardInterrupt | Interrupted | LeaseLost) else FAILED


def _dead(ledger: Ledger, leases: Leases, claim: Claim, take_over: bool) -> set[str]:
    """Leases of other runs with some of the claim's steps, which are dead or may be taken over alive.

    Raises WriteConflict when one of them lives. This takes up to ``runs.lease_minutes`` for runs on other machines.
    """
    ledger.refresh()
    if claim.job != MIGRATE:
        ledger.check_protocol()
    others = {lease_of(run.run_id): run for run in reversed(_others(ledger, claim))}
    if not take_over and (living := leases.first_living(others)):
        raise WriteConflict(_conflict(others[living]))
    return set(others)


def _commit(ledger: Ledger, claim: Claim) -> None:
    row = (claim.run_id, claim.job, claim.instance, claim.day)
    ledger.write(*row, RUNNING, claim.days)
    try:
        ledger.flush(compact=False)  # a compaction would read the claims that came after this one too
    except BaseException as error:
        ledger.write(*row, FAILED, claim.days, message=f"{type(error).__name__}: {error}"[:2000])
        raise
    ledger.refresh(newest=False)


def _end(ledger: Ledger, leases: Leases, run: Run, by: str, message: str) -> None:
    leases.take_over(lease_of(run.run_id), by)
    ledger.write(run.run_id, run.job, run.instance, run.day, ABORTED, run.days, message=message)


def _others(ledger: Ledger, claim: Claim) -> list[Run]:
    """Other runs without an end that do some of the claim's steps, earliest first. Jobs of ALONE go with no other run."""
    running = [run for run in ledger.running() if run.run_id != claim.run_id]
    if claim.job in ALONE:
        return running
    return [run for run in running if run.job in ALONE or any(_overlap(run, step) for step in claim.steps)]


def _overlap(run: Run, step: Step) -> bool:
    """Whether ``run`` writes days that ``step`` writes; a run of the whole flow writes those of every scheduled job."""
    if run.job == ALL:
        return step.job.scheduled and not run.days.isdisjoint(day + timedelta(days=step.job.lag_days) for day in step.days)
    return run.full_name == step.job.full_name and not run.days.isdisjoint(step.days)


def _conflict(other: Run) -> str:
    work = f"{other.full_name} {span_text(sorted(other.days))}"
    since = f"{other.message}, since {other.started_at:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"{work} is being run by {other.run_id} ({since}); nothing was written\n"
        "Hint: wait for that run, or run again with --take-over if it is known to be dead"
    )
