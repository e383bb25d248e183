"""simple_shop: sessions and monthly retention, the calendar's empty cells included."""

import json
from datetime import date

import pytest
from pyspark.sql import functions as F
from readmes import numbers

pytestmark = pytest.mark.realdata

FIRST, LAST = date(2019, 11, 1), date(2020, 4, 30)
TRIANGLE = """
2019-11: 259 102 85 65 64 0
2019-12: 249 83 64 58 0
2020-01: 246 95 70 0
2020-02: 257 82 0
2020-03: 350 49
2020-04: 2390
"""


@pytest.fixture(scope="module")
def shop(data_set):
    """The whole click stream, ingested and rolled up in one pass."""
    clicks = data_set("simple_shop.yaml", "simple_shop_clickstream")
    clicks.ran = clicks.run("ingest_events", "build_activity", "build_first_seen", "measure_cohorts", first=FIRST, last=LAST)
    return clicks


def test_every_click_is_an_event_and_half_an_hour_parts_sessions(shop):
    counts = json.loads(shop.ran["ingest_events"].message)
    rows = {"read": 32283, "accepted": 32283, "duplicate": 0, "rejected": 0, "outside_days": 0}
    assert counts["clicks"].items() >= (rows | {"identical_across_files": 0, "id_conflicts": 0}).items()
    total = shop.rows("daily_activity").agg(F.sum("events"), F.sum("sessions"), F.count_distinct("user_id"), F.sum("payments"))
    assert tuple(total.first()) == (32283, 6454, 3751, 706)


def test_monthly_retention(shop):
    assert shop.triangle() == numbers(TRIANGLE)
    first = shop.rows("cohort_churn").where("cohort_by = 'month' AND cohort = DATE'2019-11-01' AND period = 1").first()
    assert round(first["retained"], 6) == 0.393822
