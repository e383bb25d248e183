"""What others are to hear about a run: operators of failures, missing runs and slow runs; lineage servers of every step."""

from datetime import date, timedelta
from statistics import median

from churnwatch.io.ledger import Ledger, Run
from churnwatch.io.operators import cause_for_operators
from churnwatch.reading import span_list
from churnwatch.results import BAD, RunReport
from churnwatch.settings.terms import ALL, DONE, FAILED
from churnwatch.steps import Outcome

USUAL_RUNS = 7  # runs, each of another day: their median is the usual duration of a job
USUAL_SPAN = timedelta(days=28)  # before a run, in which the runs before it are looked for first
SLOW_FACTOR = 2.0
SLOW_SECONDS = 60.0  # a shorter run is not slow, however short the runs before it were


def findings(report: RunReport, ledger: Ledger | None) -> list[str]:
    """One line per finding, in the order in which the steps ended; empty when there is nothing to tell.

    Errors stand without the values of rows that they quote. ``ledger`` None: the run was stopped before its steps.
    """
    lines = [f"failed: {cause_for_operators(report.error)}"] if report.error else []
    lines += [f"{o.status}: {o.title}: {_reason(o)}" for o in report.outcomes if o.status in BAD]
    if ledger is None:
        return lines
    lines += [line for outcome in report.outcomes if (line := _slow(outcome, ledger))]
    if report.order.everything and report.order.first == report.order.last:
        missing = missing_days(ledger, report.order.first)
        lines += [f"missing: the whole flow was not run for {span_list(missing)}"] if missing else []
    return lines


def runs_of(report: RunReport, ledger: Ledger) -> list[Run]:
    """The rows of job_runs of the steps of ``report``, in the order in which the steps ended."""
    newest = {(run.full_name, run.day, run.days): run for run in ledger.runs(report.order.first)}
    keys = [(o.step.job.full_name, o.step.day, frozenset(o.step.days)) for o in report.outcomes if o.status in (DONE, FAILED)]
    return [newest[key] for key in keys if key in newest]


def missing_days(ledger: Ledger, day: date) -> list[date]:
    """Days between the newest run of the whole flow before ``day`` and ``day``, on which it did not run."""
    for first in (day - USUAL_SPAN, None):
        days = {d for run in ledger.runs(first) if run.job == ALL for d in run.days}
        if last := max((d for d in days if d < day), default=None):
            return [last + timedelta(days=n) for n in range(1, (day - last).days)]
    return []


def _slow(outcome: Outcome, ledger: Ledger) -> str | None:
    if outcome.status != DONE or outcome.seconds < SLOW_SECONDS:
        return None
    job, days = outcome.step.job.full_name, len(outcome.step.days)
    every = outcome.step.job.due.every_days if outcome.step.job.due else 1
    known = ledger.runs(outcome.step.day - max(USUAL_SPAN, timedelta(days=(USUAL_RUNS + 1) * every)))
    runs = [r for r in known if r.full_name == job and r.status == DONE and len(r.days) == days and r.seconds]
    earlier = [run.seconds or 0.0 for run in runs if run.day != outcome.step.day][-USUAL_RUNS:]
    if len(earlier) < USUAL_RUNS or outcome.seconds < SLOW_FACTOR * median(earlier):
        return None
    return (
        f"slow: {outcome.title} took {outcome.seconds:.0f} s, the median of its last {USUAL_RUNS} runs is {median(earlier):.0f} s"
    )


def _reason(outcome: Outcome) -> str:
    if outcome.error is not None:
        return cause_for_operators(outcome.error)
    return outcome.message.splitlines()[0] if outcome.message else ""
