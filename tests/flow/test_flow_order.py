"""The flow as data: order, spans, and that only labels look ahead."""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

import smallworld
from churnwatch.dictionary import dictionary
from churnwatch.flow import flow
from churnwatch.reading import Reader, Step
from churnwatch.settings import feature_names, load
from churnwatch.tables import tables

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
    assert ahead == {"label_churn", "judge_alerts", "classify_losses"}


def test_users_are_judged_by_the_offers_and_acts_that_could_reach_them_while_their_labels_matured(jobs):
    # offers of the app work for 7 days, its labels look 14 days ahead; what is decided on the last comes too late; the newest
    # warning of a case that is open on O is at the most 28 days old
    (judging,) = (job for job in jobs if job.name == "judge_alerts")
    spans = {name: str(read.span) for name, read in judging.reads.items() if read.span.last > 0}
    assert spans == {"actions": "O-7 .. O+13", "alert_events": "O-28 .. O+13", "alerts": "O-28 .. O+13"}


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
    assert [str(shop[name].span) for name in ("activity", "months", "context")] == [
        "O-89 .. O",
        "O-364 .. O-1",
        "as of O-30 .. O",
    ]
    assert [str(app[name].span) for name in ("activity", "context")] == ["O-59 .. O", "as of O"] and "months" not in app


class RecordingStore:
    """A store that keeps the condition under which a table was to be read."""

    def version(self, table):
        return None  # not stored

    def read(self, table, where, first=None, last=None, version=None):
        self.table, self.where = table, where


def months_asked(jobs, job, read, day):
    """How many partitions of monthly_activity a job reads at D, by the condition that the runner cuts them by."""
    store = RecordingStore()
    Reader(store, None, jobs).cut(Step(job, day, (day - timedelta(days=job.lag_days),)), read)
    (bounds,) = re.findall(r"\(day >= DATE'(\S+)' AND day <= DATE'(\S+)'\)", store.where)
    first, last = map(date.fromisoformat, bounds)
    ends = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return sum((end + timedelta(days=1)).day == 1 for end in ends)


def test_long_memory_and_long_definitions_read_at_most_thirteen_monthly_partitions():
    # the most that may be configured: silence of up to 394 days, twelve months as columns, a year on both sides of a label
    year = {"horizon_days": 365, "lead_days": 14, "active_within_days": 365}
    measures = {"population_days": 394, "months": 12, "months_of": ["orders"]}
    most = smallworld.settings(measures=measures, churn={"primary": "year", "definitions": {"year": year}})
    shop = load(ROOT / "conf" / "local.yaml", ["domain=ecommerce"])
    found = {}
    for name, one in (("most", most), ("shop", shop)):
        assert tables(one).monthly_activity.partitions == ("day",)
        of = flow(one)
        for job in of:
            for alias, read in job.reads.items():
                if read.table.name == "monthly_activity":
                    days = [date(2023, 1, 1) + timedelta(days=n) for n in range(3 * 366)]
                    found[name, job.name, alias] = max(months_asked(of, job, read, day) for day in days)
    assert found == {
        ("most", "build_features", "months"): 13,
        ("most", "label_churn", "months_before"): 12,
        ("most", "label_churn", "months_after"): 13,
        ("most", "score_users", "months_before"): 12,
        ("shop", "build_features", "months"): 12,
        ("shop", "label_churn", "months_before"): 6,
        ("shop", "label_churn", "months_after"): 6,
    }


def test_every_table_but_a_log_has_one_kind_of_writer(jobs):
    writers = {}
    for job in jobs:
        for table in (table for table in job.writes if table.kind == "day"):
            writers.setdefault(table.name, set()).add(job.name)
    assert {name: w for name, w in writers.items() if len(w) > 1} == {}


def test_the_data_dictionary_is_what_the_contracts_say():
    # make docs
    assert (ROOT / "docs" / "tables.md").read_text() == dictionary(load(ROOT / "conf" / "local.yaml")) + "\n"
