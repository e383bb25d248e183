"""What a run says when it has ended: summary, exit code, JSON; and what its operators are to hear."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from churnwatch.core import ConfigError, DataQualityError, Job, JobFailed, WriteConflict
from churnwatch.io.ledger import Run
from churnwatch.io.store import Written
from churnwatch.reading import Step
from churnwatch.results import RunReport, run_result, schema_text
from churnwatch.steps import Order, Outcome, failed, unreached
from churnwatch.watching import findings

ROOT = Path(__file__).resolve().parents[2]
DAY = date(2025, 6, 30)
ORDER = Order(("all",), DAY, DAY)
INGEST, SCORE, PAGE = (
    Step(Job(name, build=dict, **more), DAY, (DAY,))
    for name, more in (("ingest_events", {}), ("score_users", {"refused_exit_code": 5}), ("render_report", {}))
)
DONE = Outcome(PAGE, "done", (Written("report_pages", 7, 1),), 2.5)


def report(*outcomes, order=ORDER):
    return RunReport("abc", order, outcomes, 60.0)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([DONE], 0),
        ([DONE, replace(DONE, status="refused", step=INGEST)], 0),
        ([replace(DONE, status="refused", step=SCORE)], 5),
        ([failed(INGEST, WriteConflict("x")), replace(DONE, status="refused", step=SCORE)], 5),
        ([failed(INGEST, WriteConflict("x")), failed(SCORE, DataQualityError("y"))], 3),
        ([failed(INGEST, DataQualityError("y")), failed(SCORE, JobFailed("z"))], 1),
        ([failed(INGEST, DataQualityError("y")), failed(SCORE, OSError("disk"))], 1),
        ([unreached(SCORE, (DAY,), INGEST.title), DONE], 0),
    ],
)
def test_a_run_ends_with_the_worst_exit_code_of_its_steps(outcomes, code):
    assert report(*outcomes).exit_code == code


def test_the_summary_names_what_did_not_end_well_why_and_the_next_command():
    wrong = failed(INGEST, DataQualityError("70 % of rows refused\nmore"))
    lines = report(wrong, unreached(SCORE, (DAY,), INGEST.title), DONE).summary()
    assert lines == [
        "run abc: 1 done, 1 failed, 1 not run; 60 s, exit code 3",
        "  failed   ingest_events 2025-06-30: DataQualityError: 70 % of rows refused",
        "  not run  score_users 2025-06-30: because of ingest_events 2025-06-30",
        "  next: churnwatch run all --day 2025-06-30 --resume",
    ]
    assert report(DONE).summary() == ["run abc: 1 done; 60 s, exit code 0"]


def test_the_results_as_json_follow_the_schema_that_is_documented():
    assert (ROOT / "docs" / "run_result.schema.json").read_text() == schema_text() + "\n"
    told = json.loads(run_result(report(failed(INGEST, DataQualityError("bad")), DONE)).model_dump_json())
    schema = json.loads(schema_text())
    assert set(told) == set(schema["required"]) and set(told["steps"][0]) == set(schema["$defs"]["StepResult"]["required"])
    assert (told["status"], told["exit_code"], told["counts"]) == ("failed", 3, {"failed": 1, "done": 1})
    assert told["steps"][1]["tables"] == [{"table": "report_pages", "version": 7, "rows": 1}]
    assert told["steps"][1]["days"] == [{"first": "2025-06-30", "last": "2025-06-30"}]


def test_contradicting_options_are_refused_with_what_to_do():
    with pytest.raises(ConfigError, match="--every 7 and --decide contradict.*Hint"):
        Order(("all",), DAY, DAY, every=7, decide=True)
    with pytest.raises(ConfigError, match="--as-of-run goes with jobs by name"):
        Order(("all",), DAY, DAY, as_of_run="x")


def test_an_order_is_the_command_that_was_typed():
    order = Order(("score_users", "raise_alerts"), DAY, DAY + timedelta(days=1), 7, if_due=True)
    assert order.command(resume=True) == (
        "churnwatch run score_users raise_alerts --from 2025-06-30 --to 2025-07-01 --every 7 --if-due --resume"
    )


def ran(job, day, seconds, **more):
    at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=(day - date(2025, 1, 1)).days)
    return Run("id", job, "", day, more.pop("status", "done"), at, at, frozenset([day]), "", seconds)


def test_operators_hear_of_what_failed_of_what_took_twice_its_time_and_of_days_without_a_run():
    earlier = [ran("render_report", DAY - timedelta(days=n), 50.0) for n in range(9, 2, -1)]
    ledger = SimpleNamespace(runs=lambda first: [*earlier, ran("all", DAY - timedelta(days=3), 900.0)])
    of = report(
        failed(INGEST, DataQualityError("bad\nmore")),
        failed(SCORE, ValueError("a row of anna")),
        replace(DONE, status="refused"),
        replace(DONE, seconds=100.0),
    )
    assert findings(of, ledger) == [
        "failed: ingest_events 2025-06-30: DataQualityError: bad",
        "failed: score_users 2025-06-30: ValueError",
        "refused: render_report 2025-06-30: ",
        "slow: render_report 2025-06-30 took 100 s, the median of its last 7 runs is 50 s",
        "missing: the whole flow was not run for 2025-06-28 .. 2025-06-29",
    ]
    assert findings(report(replace(DONE, seconds=99.0)), SimpleNamespace(runs=lambda first: earlier)) == []
    assert findings(report(replace(DONE, seconds=900.0)), SimpleNamespace(runs=lambda first: earlier[1:])) == [], (
        "six are no usual"
    )
    stopped = RunReport("", ORDER, (), 0.0, WriteConflict("all 2025-06-30 is being run by x"))
    assert findings(stopped, None) == ["failed: WriteConflict: all 2025-06-30 is being run by x"]
