"""The share of last week's users who came back this week, and indicators."""

from datetime import date, timedelta

import pytest

from churnwatch.activity import trend
from smallworld import activity, collected, inputs_of, many_worlds, plan_of, settings, stacked

TODAY = date(2024, 3, 14)
SPANS = {"activity": (-30, 0)}
INDICATORS = {
    "cancel_rate": {"of": "cancels", "per": "orders", "days": 7},
    "repurchase": {"of": "orders >= 2", "per": "orders >= 1", "days": 20},
    "value_cents": {"of": "spend_cents", "days": 7},
}


def ago(days):
    return TODAY - timedelta(days=days)


def shares(spark, world, days, **measures):
    return trend(inputs_of(spark, world, days, **SPANS), days, settings(measures=measures))["activity_trend"]


def test_users_and_segments_that_count(spark):
    world = {
        "activity": [
            activity("back", ago(13)), activity("back", ago(6)),
            activity("gone", ago(7)),
            activity("new here", ago(0)),
            activity("too old", ago(14)), activity("too old", ago(3)),
            activity("bot", ago(9)), activity("bot", ago(4), bot=True),
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
        ("cohort", "2024-02"): (1, 1, 1.0),
        ("cohort", "2024-03"): (1, 0, 0.0),
        ("plan", "gold"): (1, 1, 1.0),
        ("plan", "basic"): (1, 0, 0.0),
    }


def test_cohorts_are_months_of_the_first_day_and_old_ones_are_one(spark):
    registered = {"a": date(2023, 4, 1), "b": date(2023, 3, 31), "c": date(2019, 1, 1), "d": TODAY}
    world = {
        "activity": [activity(user, ago(7)) for user in registered],
        "users": [plan_of(user, ago(300), "gold", day) for user, day in registered.items()],
    }
    found = {r["value"]: r["active"] for r in collected(shares(spark, world, (TODAY,))) if r["segment"] == "cohort"}
    assert found == {"2023-04": 1, "older": 2, "2024-03": 1}


def test_the_share_has_its_wilson_interval(spark):
    world = {"activity": [activity(f"u{n}", ago(8)) for n in range(10)] + [activity("u0", TODAY)]}
    row = next(r for r in collected(shares(spark, world, (TODAY,))) if r["segment"] == "all")
    # 1 of 10: statsmodels' proportion_confint(1, 10, method="wilson")
    assert (row["low"], row["high"]) == pytest.approx((0.0178762, 0.4041500), abs=1e-6)


def test_indicators_are_ratios_of_what_the_users_of_a_segment_did(spark):
    world = {
        "activity": [
            activity("a", ago(15), orders=1), activity("a", ago(2), orders=1, cancels=1, spend_cents=300),
            activity("b", ago(1), orders=3, spend_cents=100),
            activity("c", ago(10), orders=1, spend_cents=999),
            activity("d", ago(19), orders=2),
            activity("too old", ago(20), orders=2),
            activity("bot", ago(3), orders=1000, cancels=1000, bot=True),
            activity("idle", ago(5)),
        ],
        "users": [plan_of("b", ago(300), "basic"), plan_of("idle", ago(300), "idle")],
    }  # fmt: skip
    made = collected(shares(spark, world, (TODAY,), indicators=INDICATORS))
    found = {r["value"]: (r["active"], r["share"], *(r["indicators"][name] for name in INDICATORS)) for r in made}
    assert {value: found[value] for value in ("all", "basic", "idle", "unknown")} == {
        "all": (1, 0.0, 1 / 4, 3 / 4, 400 / 3),
        "basic": (0, None, 0.0, 1.0, 100.0),
        "idle": (0, None, None, None, 0.0),
        "unknown": (1, 0.0, 1.0, 2 / 3, 300.0),
    }


def expected(world, day):
    """(segment, value) -> (active, came_back, indicators), from the rows of a world in plain Python."""
    users = {}
    for row in sorted(world["activity"], key=lambda r: r["day"]):
        users.setdefault(row["user_id"], []).append(row)
    plans = {r["user_id"]: r["attributes"]["plan"] for r in sorted(world["users"], key=lambda r: r["day"]) if r["day"] <= day}
    groups = {}
    for user, mine in users.items():
        by_age = {(day - row["day"]).days: row for row in mine}
        last_week, this_week = (any(n in by_age for n in ages) for ages in (range(7, 14), range(7)))
        week, long = ([by_age[n] for n in range(days) if n in by_age] for days in (7, 20))
        if not long:
            continue
        orders = sum(row["orders"] for row in long)
        pairs = {
            "cancel_rate": (sum(r["cancels"] for r in week), sum(r["orders"] for r in week)),
            "repurchase": (orders >= 2, orders >= 1),
            "value_cents": (sum(r["spend_cents"] for r in week), bool(week)),
        }
        keys = [("all", "all"), ("tenure", "new"), ("cohort", f"{mine[0]['day']:%Y-%m}")]
        for key in [*keys, ("plan", plans.get(user) or "unknown")]:
            group = groups.setdefault(key, [0, 0, {name: [0, 0] for name in pairs}])
            group[0] += last_week
            group[1] += last_week and this_week
            for name, pair in pairs.items():
                group[2][name] = [total + one for total, one in zip(group[2][name], pair, strict=True)]
    return {
        key: (active, back, {name: of / per if per else None for name, (of, per) in sums.items()})
        for key, (active, back, sums) in groups.items()
    }


def test_a_range_equals_day_by_day_and_the_definition(spark):
    world, days = many_worlds(30, TODAY - timedelta(days=16), 19), (ago(1), TODAY, TODAY + timedelta(days=2))
    at_once = collected(shares(spark, world, days, indicators=INDICATORS))
    assert at_once == collected(stacked(shares(spark, world, (day,), indicators=INDICATORS) for day in days))
    for day in days:
        found = {(r["segment"], r["value"]): (r["active"], r["came_back"], r["indicators"]) for r in at_once if r["day"] == day}
        assert found == expected(world, day)
