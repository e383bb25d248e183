"""Bots: who exceeds the limits on a share of the active days, in every job that leaves them out."""

from datetime import date, timedelta

import pytest

from churnwatch.activity import per_user_month, trend
from churnwatch.churn import labels
from churnwatch.features import per_user
from churnwatch.reports.cohorts import measure_cohorts
from smallworld import activity, collected, contracts, inputs_of, rows, settings

TODAY = date(2024, 2, 29)
# of ten active days in the longest window
ROBOT_DAYS = {"nobody": 0, "one odd day": 1, "robot": 2, "always": 10}
CHANGES = {
    "measures": {"windows_days": [1, 2, 10], "population_days": 10, "bots": {"events_a_day": 5000}},
    "churn": {
        "primary": "silent",
        "definitions": {
            "silent": {"events": ["order"], "horizon_days": 2, "active_within_days": 10},
            "silent_long": {"events": ["order"], "horizon_days": 2, "active_within_days": 100},
        },
    },
}
PEOPLE = {"nobody", "one odd day"}


def of_day(user, ago, robot):
    # the definition counts the newest day alone: the others say who is a robot
    counts = {f"def_{name}": int(ago == 0) for name in CHANGES["churn"]["definitions"]}
    return activity(user, TODAY - timedelta(days=ago), bot=robot, **counts)


WORLD = {"activity": [of_day(user, ago, ago < days) for user, days in ROBOT_DAYS.items() for ago in range(10)]}


@pytest.fixture(scope="module")
def inputs(spark):
    made = inputs_of(spark, WORLD, (TODAY,), activity=(-30, 0))
    made["bots"] = made["bots"].limit(0)  # nobody was one in a month before
    active = rows(spark, contracts(**CHANGES).daily_activity, WORLD["activity"])
    return {**made, "activity": active, "before": active, "after": active.limit(0)}


def users(frame):
    return {row["user_id"] for row in collected(frame.select("user_id"))}


def test_an_odd_day_makes_nobody_a_bot_and_a_share_of_days_does(inputs, spark):
    one = settings(**CHANGES)
    features = per_user(inputs, (TODAY,), one)["user_features"]
    assert users(features.where("bot")) == {"robot", "always"} and users(features.where("NOT bot")) == PEOPLE
    assert users(labels(inputs, (TODAY,), one, "silent")["user_labels"]) == PEOPLE
    (week,) = (r for r in collected(trend(inputs, (TODAY,), one)["activity_trend"]) if r["segment"] == "all")
    assert week["active"] == 2
    cohorts = collected(measure_cohorts(inputs, (TODAY,), one)["cohort_churn"])
    assert {row["size"] for row in cohorts if row["cohort_by"] == "month"} == {2}

    of_month = per_user_month(inputs, (TODAY,), one)
    months = of_month["monthly_activity"]
    assert users(of_month["bots"]) == {"robot", "always"}
    stored = rows(spark, contracts(**CHANGES).monthly_activity, collected(months))
    assert {r["user_id"]: (r["bot"], r["bot_days"], r["active_days"]) for r in collected(stored)} == {
        "nobody": (False, 0, 10),
        "one odd day": (False, 1, 10),
        "robot": (True, 2, 10),
        "always": (True, 10, 10),
    }
    by_month = {"before": inputs["before"].limit(0), "months_before": stored, "after": inputs["after"]}
    assert users(labels(by_month, (TODAY,), one, "silent_long")["user_labels"]) == PEOPLE
    # the month ends today: its day as a bot, 1 of 10, is not counted again by its daily row, as 2 of 11
    strict = settings(**{**CHANGES, "measures": {**CHANGES["measures"], "bots": {"events_a_day": 5000, "days_share": 0.15}}})
    newest = {**by_month, "before": inputs["before"].where(f"day = DATE'{TODAY}'")}
    assert users(labels(newest, (TODAY,), strict, "silent_long")["user_labels"]) == PEOPLE


def test_the_share_is_configured(inputs):
    one = settings(**{**CHANGES, "measures": {**CHANGES["measures"], "bots": {"events_a_day": 5000, "days_share": 0.1}}})
    assert users(per_user(inputs, (TODAY,), one)["user_features"].where("NOT bot")) == {"nobody"}
