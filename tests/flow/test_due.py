"""When a job that is due now and then runs."""

from datetime import date, timedelta
from types import SimpleNamespace

import pytest

from churnwatch.core import Due, Job
from churnwatch.steps import Chooser, Order, Start

LAST = date(2025, 6, 1)


class Ledger:
    """A ledger that knows one attempt, of LAST."""

    def last_attempt(self, job, first, until):
        return LAST if first <= LAST <= until else None

    def first_day(self, job, enough):
        return date(2025, 1, 1)


def chosen(day, early=None, jobs=("all",), **more):
    """What becomes of a job with ``every_days`` 28 and ``wait_days`` 7 on ``day``."""
    job = Job("train", build=dict, due=Due(28, early_trigger=early, wait_days=7))
    settings = SimpleNamespace(sources=SimpleNamespace(events={"app": None}))
    chooser = Chooser(settings, (job,), Ledger(), SimpleNamespace())
    order = Order(jobs, day, day, **more)
    (step,) = chooser.steps(order)
    return chooser.choose(step, order)


def test_a_job_runs_when_its_days_have_passed_and_asks_nobody():
    assert chosen(LAST + timedelta(days=28), lambda inputs, day: 1 / 0).because is None


def test_a_job_that_something_asks_for_runs_earlier_and_says_what_asked():
    assert chosen(LAST + timedelta(days=7), lambda inputs, day: f"psi on {day}").because == "psi on 2025-06-08"


def test_a_job_is_not_due_while_nothing_asks_and_nothing_is_asked_too_soon():
    assert chosen(LAST + timedelta(days=9), lambda inputs, day: None).status == "not due"
    assert chosen(LAST + timedelta(days=9)).status == "not due"
    assert chosen(LAST + timedelta(days=6), lambda inputs, day: 1 / 0).status == "not due"


def test_a_day_on_which_it_was_done_is_not_due_again():
    assert chosen(LAST, lambda inputs, day: 1 / 0).status == "not due"
    assert isinstance(chosen(LAST - timedelta(days=1)), Start), "an earlier day knows of no attempt"


@pytest.mark.parametrize(("if_due", "runs"), [(False, True), (True, False)])
def test_a_job_by_name_runs_whenever_it_is_named_unless_it_is_to_be_due(if_due, runs):
    assert isinstance(chosen(LAST + timedelta(days=1), jobs=("train",), if_due=if_due), Start) == runs
