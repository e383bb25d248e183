"""Online Retail: invoices without a customer are rejects, returns are no purchases, the last month is unfinished."""

import json
from datetime import date, timedelta

import pytest
from pyspark.sql import functions as F
from readmes import days, numbers

from shuffled_labels import finds_nothing

pytestmark = [pytest.mark.realdata, pytest.mark.long]

FIRST, LAST = date(2010, 12, 1), date(2011, 12, 9)
CUT_OFFS = days("2011-03-01", "2011-06-01", "2011-09-01")
TESTED = CUT_OFFS[-1] - timedelta(days=1)
TRIANGLE = """
2010-12: 948 362 317 367 341 376 360 336 336 374 354 474 260
2011-01: 421 101 119 102 138 126 110 108 131 146 155 63
2011-02: 380 94 73 106 102 94 97 107 98 119 35
2011-03: 440 84 112 96 102 78 116 105 127 39
2011-04: 299 68 66 63 62 71 69 78 25
2011-05: 279 66 48 48 60 68 74 29
2011-06: 235 49 44 64 58 79 24
2011-07: 191 40 39 44 52 22
2011-08: 167 42 42 42 23
2011-09: 298 89 97 36
2011-10: 352 93 46
2011-11: 321 43
2011-12: 41
"""
SALES = """
2010-12: 885 324 286 340 321 352 321 309 313 350 331 445 235
2011-01: 417 92 111 96 134 120 103 101 125 136 152 49
"""


@pytest.fixture(scope="module")
def retail(data_set):
    """All invoices, ingested and rolled up in one pass."""
    shop = data_set("online_retail.yaml", "online_retail", "model.max_evals=1")
    shop.ran = shop.run("ingest_events", "build_activity", "build_first_seen", "measure_cohorts", first=FIRST, last=LAST)
    return shop


def test_all_rows_are_read_and_those_without_a_customer_are_rejects(retail):
    counts = json.loads(retail.ran["ingest_events"].message)
    rows = {"read": 541909, "accepted": 406829, "duplicate": 0, "rejected": 135080, "outside_days": 0}
    # the shop is closed on some hours and days that are usually busy
    assert counts["invoices"].items() >= (rows | {"identical_across_files": 0, "id_conflicts": 0}).items()
    reasons = retail.rows("rejected_events").groupBy("reasons").count().collect()
    assert [tuple(row) for row in reasons] == [(["no_user"], 135080)]


def test_money_is_rounded_row_by_row_and_returns_are_no_purchases(retail):
    total = retail.rows("events").agg(F.sum("amount_cents"), F.count_distinct("user_id")).first()
    assert tuple(total) == (830006581, 4372)
    kinds = retail.rows("daily_activity").agg(F.sum("purchases"), F.sum("returns")).first()
    assert tuple(kinds) == (397924, 8905)


def test_monthly_cohorts_and_the_unfinished_december(retail):
    assert retail.triangle() == numbers(TRIANGLE)
    months = retail.rows("cohort_churn").where("cohort_by = 'month'").select("day", "complete").distinct().collect()
    assert {row["day"] for row in months if not row["complete"]} == {date(2011, 12, 1)}
    assert len(months) == 13


def test_eligible_and_churned_customers_at_three_cut_off_days(retail):
    for cut_off in CUT_OFFS:
        known = cut_off - timedelta(days=1) + timedelta(days=90)
        retail.run("label_churn", first=known, last=known)
    as_of = [cut_off - timedelta(days=1) for cut_off in CUT_OFFS]
    assert retail.labels(as_of) == [(1682, 728), (1959, 853), (1923, 613)]


@pytest.fixture(scope="module")
def trained(retail):
    """The row of model_runs of a training that is tested on the last cut-off; of its five weeks' days a day a week is enough
    here, and one before them, which tells that history reaches so far."""
    return retail.trained(TESTED, ahead=90, learn=40, every=7)


def test_the_model_is_no_worse_than_the_best_column_on_the_last_cut_off(trained):
    metrics = trained["metrics"]
    names = ("auc", "column_auc", "auc_minus_column", "auc_minus_column_low", "auc_minus_column_high")
    ours, column, *difference = (metrics[name] for name in names)
    print(
        f"auc {ours:.4f}, best column {column:.4f}, difference {difference[0]:+.4f} [{difference[1]:+.4f}, {difference[2]:+.4f}]"
    )
    assert difference[2] > 0
    assert 0.6 < ours < 0.85, "far above every column without a future: a leak"


def test_of_other_users_labels_nothing_is_learnt(retail, trained):
    assert finds_nothing(retail.trained_on_shuffled(TESTED, ahead=90, max_evals=1, max_trees=5, train_days=14))


def test_cohorts_of_sales_alone(data_set):
    shop = data_set("online_retail_sales.yaml", "online_retail")
    ran = shop.run("ingest_events", "build_activity", "build_first_seen", "measure_cohorts", first=FIRST, last=LAST)
    counts = json.loads(ran["ingest_events"].message)["sales"]
    rows = {"read": 397884, "accepted": 397884, "duplicate": 0, "rejected": 0, "outside_days": 0}
    assert counts.items() >= (rows | {"identical_across_files": 0, "id_conflicts": 0}).items()
    found = shop.triangle()
    # the first cohorts are all that the README has
    assert {cohort: found[cohort] for cohort in numbers(SALES)} == numbers(SALES)
    assert sum(cohort[0] for cohort in found.values()) == 4338 and len(found) == 13
    open_ = shop.rows("cohort_churn").where("cohort_by = 'month' AND NOT complete").select("day").distinct().collect()
    assert [row["day"] for row in open_] == [date(2011, 12, 1)]
