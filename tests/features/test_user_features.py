"""Features of users: windows, days since, trends, ratios, who is in the table."""

from datetime import date, timedelta

import pytest

from churnwatch.features import per_user
from smallworld import activity, collected, contracts, inputs_of, many_worlds, opted, plan_of, settings, stacked

TODAY = date(2024, 3, 1)  # the day before is 29 February
SPANS = {"activity": (-3, 0)}


def ago(days):
    return TODAY - timedelta(days=days)


def features(spark, world, days=(TODAY,), spans=SPANS):
    return per_user(inputs_of(spark, world, days, **spans), days, settings())["user_features"]


def row_of(frame):
    (row,) = frame.collect()
    return row


def test_every_feature_of_a_user_by_hand(spark):
    world = {
        "activity": [
            activity("u", ago(3), events=4, sessions=2, orders=2, cancels=1, spend_cents=-50, items=[1, 2]),
            activity("u", ago(1), events=3, sessions=1, orders=1, cancels=0, spend_cents=200, slowest_ms=7, items=[2, 3]),
            activity("u", TODAY, events=1, sessions=1, spend_cents=-100, slowest_ms=5, items=[]),
            activity("somebody", ago(3)),
        ],
        "users": [plan_of("u", ago(9), "gold", registered_on=ago(100))],
        "first_seen": [{"day": ago(2), "user_id": "u"}, {"day": ago(3), "user_id": "somebody"}],
    }
    row = row_of(features(spark, world)).asDict()
    expected = {
        "active_days_1d": 1, "active_days_2d": 2, "active_days_4d": 3,
        "events_1d": 1, "events_2d": 4, "events_4d": 8,
        "sessions_1d": 1, "sessions_2d": 2, "sessions_4d": 4,
        "orders_1d": 0, "orders_2d": 1, "orders_4d": 3,
        "cancels_1d": 0, "cancels_2d": 0, "cancels_4d": 1,
        "spend_cents_1d": -100, "spend_cents_2d": 100, "spend_cents_4d": 50,
        "slowest_ms_1d": 5, "slowest_ms_2d": 7, "slowest_ms_4d": 7,
        "items_1d": 0, "items_2d": 2, "items_4d": 3,
        # the last day against the day before it, by both together
        "events_trend": -0.5, "sessions_trend": 0, "orders_trend": -1, "cancels_trend": None, "spend_cents_trend": -1,
        "events_days_since": 0, "orders_days_since": 1, "cancels_days_since": 3, "spend_cents_days_since": 0,
        "slowest_ms_days_since": 0, "items_days_since": 1,
        "cancel_rate_1d": None, "cancel_rate_2d": 0, "cancel_rate_4d": 1 / 3,
        "tenure_days": 100, "history_days": 4,
        "day": TODAY, "user_id": "u", "segment_plan": "gold", "bot": False,
    }  # fmt: skip
    assert row == expected


@pytest.mark.case(16)
@pytest.mark.parametrize(("year", "first"), [(2024, 27), (2100, 26)], ids=["leap year", "2100, which is none"])
def test_a_window_over_the_end_of_february_holds_as_many_days_as_it_says(spark, year, first):
    today = date(year, 3, 1)
    days = [today - timedelta(days=n) for n in range(4)]
    assert days[-1] == date(year, 2, first)
    world = {"activity": [activity("u", day) for day in days]}
    row = row_of(features(spark, world, days=(today,)))
    assert [row[f"active_days_{window}d"] for window in (1, 2, 4)] == [1, 2, 4]
    assert row["tenure_days"] == 3


def test_columns_and_types_are_the_contract_s(spark):
    contract = contracts().user_features
    assert [(f.name, f.dataType) for f in features(spark, {"activity": []}).schema] == [
        (f.name, f.dataType) for f in contract.schema
    ]


def test_what_lies_before_the_longest_window_is_not_there(spark):
    world = {"activity": [activity("u", ago(4), orders=5), activity("u", TODAY)], "first_seen": [{"day": ago(9), "user_id": "u"}]}
    row = row_of(features(spark, world, spans={"activity": (-9, 0)}))
    assert (row.orders_4d, row.orders_days_since, row.tenure_days, row.history_days) == (0, None, 9, 4)


@pytest.mark.case(17)
def test_history_grows_from_the_first_stored_day(spark):
    world = {"activity": [activity("first", ago(1)), activity("u", TODAY)]}
    found = {r["user_id"]: (r["history_days"], r["tenure_days"]) for r in collected(features(spark, world))}
    assert found == {"first": (2, 1), "u": (2, 0)}


def test_a_trend_needs_the_days_before_it_of_the_user_and_of_history(spark):
    """trend_days is 1: two days of both."""
    world = {
        "activity": [activity(user, TODAY, orders=2) for user in ("today", "yesterday", "unknown")] + [activity("old", ago(3))],
        "users": [plan_of("today", TODAY, None, registered_on=TODAY), plan_of("yesterday", ago(1), None, registered_on=ago(1))],
        "first_seen": [{"day": ago(3), "user_id": "old"}],
    }
    found = {r["user_id"]: r["orders_trend"] for r in collected(features(spark, world))}
    assert found == {"today": None, "yesterday": 1, "unknown": 1}
    young = {"activity": [activity("u", TODAY, orders=2)], "users": [plan_of("u", TODAY, None, registered_on=ago(300))]}
    (row,) = collected(features(spark, young))
    assert (row["history_days"], row["tenure_days"], row["orders_trend"]) == (1, 300, None)


def test_the_population_is_who_was_active_within_its_days_and_did_not_refuse(spark):
    active = [activity(u, ago(2)) for u in ("in", "refused", "agreed again", "refuses later")] + [activity("out", ago(3))]
    consents = [opted("refused", ago(5), False), opted("agreed again", ago(5), False), opted("agreed again", TODAY, True)]
    consents += [opted("refuses later", TODAY + timedelta(days=1), False)]
    world = {"activity": active, "consents": consents}
    assert [r["user_id"] for r in collected(features(spark, world))] == ["agreed again", "in", "refuses later"]


@pytest.mark.case(29)
def test_the_future_never_changes_the_past(spark):
    past = {"activity": [activity("u", ago(1), orders=1)], "users": [plan_of("u", ago(3), "gold")]}
    future = {
        "activity": [
            *past["activity"],
            activity("u", TODAY + timedelta(days=1), orders=9),
            activity("v", TODAY + timedelta(days=1)),
        ],
        "users": [*past["users"], plan_of("u", TODAY + timedelta(days=1), "basic")],
    }
    spans = {"activity": (-3, 5)}
    assert collected(features(spark, past, spans=spans)) == collected(features(spark, future, spans=spans))


# what is in force changes between the days of the range: a plan, and a consent that is taken back and given again
CHANGING = {
    "activity": [activity(user, ago(n), orders=1, items=[n + 3]) for user in "ab" for n in range(-2, 4)],
    "users": [plan_of("a", ago(5), "gold"), plan_of("a", TODAY, "basic"), plan_of("a", ago(-1), None)],
    "consents": [opted("b", TODAY, False), opted("b", ago(-1), True)],
}


def test_a_range_equals_day_by_day(spark):
    days, world = (ago(1), TODAY, TODAY + timedelta(days=2)), many_worlds(20, TODAY - timedelta(days=5), 9)
    world = {name: [*rows, *CHANGING[name]] for name, rows in world.items()}
    at_once = collected(features(spark, world, days))
    assert at_once == collected(stacked(features(spark, world, (day,)) for day in days))
    active = {(r["user_id"], r["day"]): r for r in world["activity"]}
    for row in at_once:
        mine = [active.get((row["user_id"], row["day"] - timedelta(days=n))) for n in range(4)]
        assert row["orders_4d"] == sum(r["orders"] for r in mine if r)
        assert row["items_4d"] == len(set().union(*(r["items"] for r in mine if r)))
        assert row["slowest_ms_2d"] == max((r["slowest_ms"] for r in mine[:2] if r and r["slowest_ms"] is not None), default=None)
