"""Close a run day whose jobs were run by name, as an orchestrator with one task a job does: write the row ``all``."""

import uuid
from datetime import date

from churnwatch.core import errors
from churnwatch.io.ledger import Run
from churnwatch.io.store import Written
from churnwatch.reading import Step
from churnwatch.results import RunReport
from churnwatch.runner import Runner
from churnwatch.settings.terms import ABORTED, ALL, FAILED, RUNNING
from churnwatch.steps import MISSING, NOT_DUE, Order, Outcome
from churnwatch.versions import current_versions

FINISH = "finish"  # in place of a job on the command line


def finish(runner: Runner, day: date) -> RunReport:
    """Write the row ``all`` of the run day ``day``: how its jobs ended, and the version of each table that readers take.

    A job of the flow that has not run on the day is missing, unless it was not due or its output day lies before the history.
    """
    runner.store.create([runner.tables.job_runs])
    runner.store.refresh()
    runner.ledger.refresh()
    newest = {run.full_name: run for run in sorted(runner.ledger.runs(day), key=lambda r: r.started_at) if run.day == day}
    order = Order((ALL,), day, day)
    outcomes = tuple(_outcome(runner, step, newest.get(step.job.full_name)) for step in runner.chooser.steps(order))
    report = RunReport(uuid.uuid4().hex, order, outcomes, sum(outcome.seconds for outcome in outcomes))
    versions = current_versions(runner.ledger, runner.store, runner.jobs)
    runner.ledger.write(
        *(report.run_id, ALL, "", day, report.status, (day,)),
        outputs=[Written(table, version, 0) for table, version in versions.items()],
        seconds=report.seconds,
        message="\n".join(report.summary()[1:])[:2000] or None,
    )
    runner.ledger.flush()
    return report


def _outcome(runner: Runner, step: Step, run: Run | None) -> Outcome:
    if run is not None and run.status == RUNNING:
        message = f"run {run.run_id} has not ended"
        return Outcome(step, FAILED, message=message, error=errors.WriteConflict(message))
    if run is not None:
        broken = run.status in (FAILED, ABORTED)
        error = _error(run.message) if broken else None
        return Outcome(step, FAILED if broken else run.status, (), run.seconds or 0.0, run.message, error)
    if not runner.chooser.is_due(step.job, step.day):
        return Outcome(step, NOT_DUE, message="its days have not passed")
    step = runner.chooser.with_history(step)
    if not step.days:
        return Outcome(step, NOT_DUE, message="no output day lies in the ingested history")
    return Outcome(step, MISSING, message=f"it has not run: churnwatch run {step.job.full_name} --day {step.day}")


def _error(message: str) -> Exception:
    """An error with the exit code of the one that job_runs names."""
    name, _, text = message.partition(": ")
    kind = getattr(errors, name, None)
    return kind(text) if isinstance(kind, type) and issubclass(kind, Exception) else errors.ChurnwatchError(message)
