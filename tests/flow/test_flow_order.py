"""The flow as data: order, spans, and that only labels look ahead."""

from pathlib import Path

import pytest

from churnwatch.dictionary import markdown
from churnwatch.flow import flow
from churnwatch.settings import feature_names, load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def jobs():
    return flow(load(ROOT / "conf" / "local.yaml"))


def out_of_order(jobs):
    """Reads of a later job's table that do not end before D, and of an earlier job's that are not written yet."""
    place = {}
    for index, job in enumerate(jobs):
        for table in job.writes:
            place[table.name] = index
    faults = []
    for index, job in enumerate(jobs):
        for read in job.reads.values():
            producer = place.get(read.table.name)
            if not job.scheduled or producer is None or jobs[producer].name == job.name or producer < index:
                continue
            # the newest day read, relative to D, against the newest that the later job writes in the same run
            newest = read.span.last - job.lag_days
            if newest > -1 - jobs[producer].lag_days and not jobs[producer].lag_days and jobs[producer].scheduled:
                faults.append(f"{job.full_name} reads {read.table.name} ({read.span}) before {jobs[producer].full_name} wrote it")
    return faults


def test_a_producer_stands_before_its_readers_or_is_read_before_d(jobs):
    assert out_of_order(jobs) == []


def test_the_order_check_sees_a_job_that_was_moved(jobs):
    by_name = {job.full_name: job for job in jobs}
    moved = [by_name["score_users"], *(job for job in jobs if job.name != "score_users")]
    assert any("user_features" in fault for fault in out_of_order(moved))


def test_only_labels_and_what_judges_by_them_look_ahead(jobs):
    ahead = {job.name for job in jobs for read in job.reads.values() if read.span.last > 0}
    assert ahead == {"label_churn", "judge_alerts"}


def test_users_are_judged_by_the_offers_and_acts_that_could_reach_them_while_their_labels_matured(jobs):
    # offers of the app work for 7 days, its labels look 14 days ahead; what is decided on the last comes too late; a case
    # that was open 7 days before O began at the most 28 earlier
    (judging,) = (job for job in jobs if job.name == "judge_alerts")
    spans = {name: str(read.span) for name, read in judging.reads.items() if read.span.last > 0}
    assert spans == {"actions": "O-7 .. O+13", "alert_events": "O-7 .. O+13", "cases": "O-35 .. O+13"}


@pytest.mark.parametrize("domain", ["app", "ecommerce", "telecom"])
def test_what_was_done_about_a_user_is_no_feature(domain):
    settings = load(ROOT / "conf" / "local.yaml", [f"domain={domain}"])
    (built,) = (job for job in flow(settings) if job.name == "build_features")
    facts = {"daily_activity", "monthly_activity", "users", "first_seen", "context", "consents"}
    assert {read.table.name for read in built.reads.values()} <= facts
    told = ("treated", "offer", "arm", "campaign", "holdout", "weight", "score", "tier", "label", "churned")
    assert [name for name in feature_names(settings) if set(name.split("_")) & set(told)] == []


def test_a_job_with_a_lag_reads_nothing_of_after_d(jobs):
    for job in jobs:
        assert all(read.span.last <= job.lag_days for read in job.reads.values()), job.full_name


def test_months_and_earlier_prices_are_read_only_where_features_ask_for_them(jobs):
    shop = flow(load(ROOT / "conf" / "local.yaml", ["domain=ecommerce"]))
    assert out_of_order(shop) == []
    app, shop = ({job.name: job for job in of}["build_features"].reads for of in (jobs, shop))
    assert [str(shop[name].span) for name in ("activity", "months", "context")] == ["O-89 .. O", "O-364 .. O", "as of O-30 .. O"]
    assert [str(app[name].span) for name in ("activity", "context")] == ["O-59 .. O", "as of O"] and "months" not in app


def test_every_table_but_a_log_has_one_kind_of_writer(jobs):
    writers = {}
    for job in jobs:
        for table in (table for table in job.writes if table.kind == "day"):
            writers.setdefault(table.name, set()).add(job.name)
    assert {name: w for name, w in writers.items() if len(w) > 1} == {}


def test_the_data_dictionary_is_what_the_contracts_say():
    # make docs: churnwatch tables > docs/tables.md
    assert (ROOT / "docs" / "tables.md").read_text() == markdown(load(ROOT / "conf" / "local.yaml")) + "\n"
