"""Counts that are never below zero."""

from datetime import date, timedelta

from churnwatch.activity import per_user_month
from churnwatch.activity.indicators import window_sums
from churnwatch.features import per_user
from churnwatch.tables import tables
from frames import frame
from smallworld import SMALL, activity, as_of, collected, first_days, rows, settings

TODAY = date(2024, 3, 1)  # the 30 days that end with it are February and one day without items
CAP = 200
MEASURES = {
    **SMALL["measures"]["measures"],
    "left": {"kind": "transition", "of": "item_id", "from": "cart"},
}
FEATURES = {
    "measures": MEASURES,
    "windows_days": [1, 7, 14, 30],
    "trend_days": 7,
    "population_days": 30,
    "months": 1,
    "months_of": ["items", "left"],
    "shifts": ["items"],
}


def features(spark, active, cap):
    """user -> features of TODAY, with months as ``per_user_month`` makes them."""
    one = settings(measures=FEATURES, activity={"buckets": 1, "distinct_cap": cap})
    t, days = tables(one), (TODAY,)
    daily = rows(spark, t.daily_activity, active)
    inputs = {
        "activity": daily,
        "months": per_user_month({"activity": daily}, (date(2024, 2, 29),), one)["monthly_activity"],
        "first_seen": as_of(spark, t.first_seen, first_days(active), days),
        **{name: as_of(spark, t[name], [], days) for name in ("users", "consents", "context")},
    }
    return {row["user_id"]: row for row in collected(per_user(inputs, days, one)["user_features"])}


def did(user, ago, **values):
    return activity(user, TODAY - timedelta(days=ago), **{"left": 0, **values})


def test_a_path_that_went_on_after_midnight_takes_no_count_below_zero(spark):
    active = [
        # a drop-out of the evening before that was none after all
        did("went on", 1, left=1), did("went on", 0, left=-1),
        # the same, on both sides of the beginning of the week
        did("a week ago", 7, left=1), did("a week ago", 6, left=-1),
        # the drop-out lies in January
        did("a month ago", 29, left=-1),
        did("history", 60),
    ]  # fmt: skip
    found = features(spark, active, CAP)
    seen = ("left_1d", "left_7d", "left_14d", "left_30d", "left_trend", "left_days_since", "left_m0", "left_m1")
    assert {user: tuple(row[name] for name in seen) for user, row in found.items()} == {
        "went on": (0, 0, 0, 0, None, 1, 0, 1),
        "a week ago": (0, 0, 0, 0, None, 7, 0, 0),
        "a month ago": (0, 0, 0, 0, None, None, 0, 0),
    }


def test_indicators_count_nothing_below_zero(spark):
    one = settings(
        measures={"measures": MEASURES, "indicators": {"lefts": {"of": "left", "days": 7}, "net": {"of": "spend_cents"}}}
    )
    given = [("u", 6, -1, -5), ("v", 6, 2, 3)]
    seen = frame(spark, given, "user_id string, age int, `left` long, spend_cents long")
    found = {r["user_id"]: (r["left_7d"], r["spend_cents_30d"]) for r in seen.groupBy("user_id").agg(*window_sums(one)).collect()}
    assert found == {"u": (0, -5), "v": (2, 3)}, "a sum may be below zero"
