"""Users of last week who came back this week."""

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples

from churnwatch.activity import trend
from smallworld import activity, collected, inputs_of, plan_of, settings, stacked, worlds

TODAY = date(2024, 3, 14)
SPANS = {"activity": (-13, 0)}


def ago(days):
    return TODAY - timedelta(days=days)


def shares(spark, world, days):
    return trend(inputs_of(spark, world, days, **SPANS), days, settings())["activity_trend"]


def test_who_counts_and_where(spark):
    world = {
        "activity": [
            activity("back", ago(13)), activity("back", ago(6)),
            activity("gone", ago(7)),
            activity("new here", ago(0)),
            activity("too old", ago(14)), activity("too old", ago(3)),
        ],
        "users": [
            plan_of("back", ago(300), "gold", ago(30)),
            plan_of("gone", ago(300), "gold"), plan_of("gone", ago(2), "basic"),
        ],
    }  # fmt: skip
    found = {
        (r["segment"], r["value"]): (r["active"], r["came_back"], r["share"]) for r in collected(shares(spark, world, (TODAY,)))
    }
    assert found == {
        ("all", "all"): (2, 1, 0.5),
        ("tenure", "established"): (1, 1, 1.0),
        ("tenure", "new"): (1, 0, 0.0),
        ("plan", "gold"): (1, 1, 1.0),
        ("plan", "basic"): (1, 0, 0.0),
    }


def test_the_share_has_its_wilson_interval(spark):
    world = {"activity": [activity(f"u{n}", ago(8)) for n in range(10)] + [activity("u0", TODAY)]}
    row = next(r for r in collected(shares(spark, world, (TODAY,))) if r["segment"] == "all")
    # 1 of 10: statsmodels' proportion_confint(1, 10, method="wilson")
    assert (row["low"], row["high"]) == pytest.approx((0.0178762, 0.4041500), abs=1e-6)


@examples(max_examples=2, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(world=worlds(TODAY - timedelta(days=16), 19))
def test_a_range_equals_day_by_day(spark, world):
    days = (ago(1), TODAY, TODAY + timedelta(days=2))
    assert collected(shares(spark, world, days)) == collected(stacked(shares(spark, world, (day,)) for day in days))
