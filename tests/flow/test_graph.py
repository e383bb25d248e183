"""What depends on what, shown on the real flow: which steps and days go on when a step has failed."""

from datetime import date, timedelta
from types import SimpleNamespace

import pytest

from churnwatch.flow import flow
from churnwatch.graph import Failures, waits_for
from churnwatch.settings import load
from churnwatch.steps import Chooser, Order, failed, unreached
from churnwatch.versions import History

DAY = date(2025, 6, 30)


@pytest.fixture(scope="module")
def jobs():
    return flow(load("conf/local.yaml"))


def steps(jobs, **order):
    settings = SimpleNamespace(sources=SimpleNamespace(events={}))
    return Chooser(settings, jobs, None, None).steps(Order(("all",), order.pop("first", DAY), DAY, **order))


def left_out(steps, *broken):
    """Jobs -> days that are not run when the steps of ``broken`` (name -> days; None: all) fail."""
    failures, found = Failures(), {}
    broken = dict(broken)
    for step in steps:
        step, blocked = failures.split(step)
        for root, days in blocked.items():
            failures.add(unreached(step, days, root), root)
            found.setdefault(step.job.name, []).extend(days)
        if step.job.name in broken:
            wrong = tuple(d for d in step.days if broken[step.job.name] is None or d in broken[step.job.name])
            failures.add(failed(type(step)(step.job, step.day, wrong), ValueError()))
    return found


@pytest.mark.case(34)
def test_a_failed_training_stops_nothing_because_the_release_in_use_goes_on(jobs):
    assert left_out(steps(jobs), ("train_model", None)) == {}


def test_a_figure_that_fails_stops_neither_scores_nor_messages(jobs):
    assert left_out(steps(jobs), ("measure_cohorts", None)) == {}


def test_what_reads_a_failed_step_is_not_run_and_neither_is_what_reads_that(jobs):
    found = set(left_out(steps(jobs), ("score_users", None)))
    assert {"raise_alerts", "plan_retention"} <= found
    assert found.isdisjoint({"label_churn", "measure_activity", "train_model", "render_report"}), "the page names what failed"
    found = left_out(steps(jobs), ("ingest_events", None))
    assert {"build_activity", "build_features", "score_users", "raise_alerts"} <= set(found)


@pytest.mark.case(8)
def test_of_a_range_only_days_that_read_the_failed_day_are_left_out(jobs):
    first, wrong = DAY - timedelta(days=200), DAY - timedelta(days=100)
    found = left_out(steps(jobs, first=first), ("build_activity", {wrong}))
    assert found["build_features"] == [wrong + timedelta(days=n) for n in range(60)], "its windows are 60 days long"
    assert found["build_first_seen"] == [wrong]
    found = left_out(steps(jobs, first=first), ("ingest_events", {wrong}))
    assert found["build_activity"] == [wrong, wrong + timedelta(days=1)], "sessions begin on the evening before"


def test_days_that_are_decided_go_on_after_a_day_whose_scores_failed(jobs):
    first = DAY - timedelta(days=3)
    failures = Failures()
    for step in steps(jobs, first=first, decide=True):
        if step.job.name == "score_users":
            left, _ = failures.split(step)
            assert left.days, step
            if step.day == first:
                failures.add(failed(step, ValueError()))


def test_steps_run_side_by_side_only_where_neither_writes_what_the_other_touches(jobs):
    of = steps(jobs)
    names = [step.job.name for step in of]
    waits = waits_for(of)
    at = names.index
    assert at("build_activity") in waits[at("build_features")] and at("ingest_events") in waits[at("build_activity")]
    assert at("build_months") not in waits[at("measure_activity")] and at("measure_cohorts") not in waits[at("build_features")]
    # who reads first is not overtaken by who writes
    assert at("judge_alerts") in waits[at("score_users")]


def test_in_a_range_no_range_job_reads_days_that_a_later_step_of_the_same_order_writes(jobs):
    ordered = steps(jobs, first=DAY - timedelta(days=200), decide=True)
    faults = set()
    for number, step in enumerate(ordered):
        if step.job.mode == "range":
            for read in step.job.reads.values():
                first, last = read.span.days(step.days[0], step.days[-1])
                for later in ordered[number + 1 :]:
                    if read.table in later.job.writes and any((first or day) <= day <= last for day in later.days):
                        faults.add(f"{step.job.full_name} reads {read.table.name}, which {later.job.full_name} writes after it")
    assert not faults
    names = [step.job.name for step in ordered if step.day == DAY]
    assert names.index("plan_retention") < names.index("record_assignments") < names.index("measure_lift")
    assert names.index("score_users") < names.index("classify_losses")
    loaded = [step for step in steps(jobs, first=DAY - timedelta(days=200)) if step.job.name == "record_assignments"]
    assert [len(step.days) for step in loaded] == [201], "later days ask for assignments of every day"


def test_a_resumed_run_keeps_decisions_although_their_inputs_are_newer(jobs):
    """Offers may have been sent: only what was measured from the inputs is built again."""
    named = {job.name: job for job in jobs if not job.instance}

    def run(name, at, status="done", **more):
        versions = {"read": {}, "wrote": {}, **more}
        return SimpleNamespace(full_name=name, days=(DAY,), status=status, run_id=f"{name}{at}", started_at=at, at=at, **versions)

    def kept(name, *runs):
        return History(runs).is_kept(named[name], DAY, jobs)

    newer = [run("score_users", 1, wrote={"user_scores": 2}), run("build_features", 9, wrote={"user_features": 7})]
    newer.append(run("score_users", 9, wrote={"user_scores": 7}))
    for name in ("plan_retention", "raise_alerts", "write_messages"):
        assert kept(name, *newer, run(name, 2)), name
        assert not kept(name, *newer, run(name, 2), run(name, 3, "failed")), name
        assert not kept(name, *newer), name
    again = run("plan_retention", 9, wrote={"retention_actions": 7})
    assert not kept("record_assignments", again, run("record_assignments", 2)), "assignments repeat what was decided"
    refused = [run("score_users", 1, "refused"), run("plan_retention", 2), run("write_messages", 3), run("score_users", 9)]
    assert not kept("plan_retention", *refused) and not kept("write_messages", *refused), "nobody was scored when it was planned"
