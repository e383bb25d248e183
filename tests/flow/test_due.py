"""When the runner runs a job that is due now and then."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from types import SimpleNamespace

from churnwatch.core import Due, Job, Refused
from churnwatch.runner import Order, Runner

LAST = date(2025, 6, 1)


@dataclass
class Ledger:
    """A ledger that knows one attempt, and keeps what is written."""

    told: list = field(default_factory=list)

    def refresh(self):
        pass

    def last_attempt(self, job, day):
        return LAST

    def done_days(self, job):
        return {LAST}

    def write(self, run_id, job, instance, day, status, days, **more):
        if status != "running":
            self.told.append((status, more.get("message")))

    def flush(self, after_seconds):
        pass


def run(day, asked, build=None):
    """How a job with ``every_days`` 28 and ``wait_days`` 7 ends on ``day``, and what the ledger was told."""
    runner = Runner.__new__(Runner)
    runner.ledger, runner.on_start, runner._with_history = Ledger(), lambda step: None, lambda step: step
    runner.tables = SimpleNamespace(job_runs=None)
    runner._built = build or (lambda step, run_id: ([], [], None))
    job = Job("train", build=dict, due=Due(28, early_trigger=asked, wait_days=7))
    order = Order(("all",), day, day)
    return runner._run(runner._step(job, (day,), order), order), runner.ledger.told


def refused(step, run_id):
    raise Refused("too little history")


def test_a_job_runs_when_its_days_have_passed_and_asks_nobody():
    outcome, told = run(LAST + timedelta(days=28), lambda inputs, day: 1 / 0)
    assert outcome.status == "done" and told == [("done", None)]


def test_a_job_that_something_asks_for_runs_earlier_and_says_what_asked():
    outcome, told = run(LAST + timedelta(days=7), lambda inputs, day: f"psi on {day}")
    assert outcome.status == "done" and outcome.message == "asked for: psi on 2025-06-08"
    assert told == [("done", "asked for: psi on 2025-06-08")]
    outcome, told = run(LAST + timedelta(days=7), lambda inputs, day: "psi", refused)
    assert told == [("refused", "asked for: psi; too little history")]


def test_a_job_is_not_due_while_nothing_asks_and_nothing_is_asked_too_soon():
    assert run(LAST + timedelta(days=9), lambda inputs, day: None)[0].status == "not due"
    assert run(LAST + timedelta(days=9), None)[0].status == "not due"
    assert run(LAST + timedelta(days=6), lambda inputs, day: 1 / 0)[0].status == "not due"
