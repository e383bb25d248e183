"""First days of users."""

from datetime import date, timedelta

from churnwatch.activity import first_seen
from smallworld import activity, as_of, collected, contracts, on_days, plan_of, rows, settings, stacked

DAYS = tuple(date(2024, 2, 27) + timedelta(days=n) for n in range(5))


def built(spark, done, stored, days, users=()):
    inputs = {
        "activity": rows(spark, contracts().daily_activity, on_days(done, min(days), max(days))),
        "first_seen": as_of(spark, contracts().first_seen, stored, days),
        "users": as_of(spark, contracts().users, users, days),
    }
    return first_seen(inputs, days, settings())


def seen(spark, done, stored, days):
    found = collected(built(spark, done, stored, days)["first_seen"])
    assert all(row.pop("segments") == [] for row in found)
    return found


def test_only_the_first_active_day_of_users_not_seen_before(spark):
    done = [activity(u, d) for u, d in [("old", DAYS[2]), ("new", DAYS[2]), ("new", DAYS[3]), ("late", DAYS[4])]]
    stored = [{"day": DAYS[0], "user_id": "old"}]
    assert seen(spark, done, stored, DAYS[1:]) == [
        {"day": DAYS[2], "user_id": "new"},
        {"day": DAYS[4], "user_id": "late"},
    ]


def test_rows_that_are_being_replaced_do_not_count_as_seen(spark):
    done = [activity("u", DAYS[2])]
    for stale in (DAYS[2], DAYS[1]):
        assert seen(spark, done, [{"day": stale, "user_id": "u"}], DAYS[1:4]) == [{"day": DAYS[2], "user_id": "u"}]


def test_a_range_equals_day_by_day(spark):
    done = [activity(u, DAYS[n]) for u, n in [("a", 0), ("a", 2), ("b", 1), ("b", 2), ("c", 4), ("d", 1), ("d", 4)]]
    stored = []
    for day in DAYS:
        stored += seen(spark, done, stored, (day,))
    assert sorted(stored, key=repr) == seen(spark, done, [], DAYS)


def test_the_segments_are_those_of_the_first_day_in_a_range_as_day_by_day(spark):
    done = [activity(u, DAYS[n]) for u, n in [("a", 1), ("a", 3), ("b", 2), ("unknown", 2), ("no plan", 1), ("later", 1)]]
    users = [
        plan_of("a", DAYS[0], "free"),
        plan_of("a", DAYS[2], "gold"),
        plan_of("b", DAYS[0], "free"),
        plan_of("b", DAYS[2], "gold"),
    ]
    users += [plan_of("no plan", DAYS[0], None), plan_of("later", DAYS[2], "free")]
    at_once = collected(built(spark, done, [], DAYS, users)["first_seen"])
    plans = {row["user_id"]: [(pair["segment"], pair["value"]) for pair in row["segments"]] for row in at_once}
    assert plans == {"a": [("plan", "free")], "b": [("plan", "gold")], "unknown": [], "no plan": [], "later": []}
    singly = [built(spark, done, [r for r in at_once if r["day"] < day], (day,), users)["first_seen"] for day in DAYS]
    assert collected(stacked(singly)) == at_once


def test_the_first_of_a_month_restates_all_users_with_their_own_days(spark):
    done = [activity("a", DAYS[1]), activity("b", DAYS[3]), activity("b", DAYS[4]), activity("c", DAYS[4])]
    stored = [{"day": date(2023, 5, 5), "user_id": "old"}, {"day": DAYS[3], "user_id": "gone"}]
    march = date(2024, 3, 1)
    made = collected(built(spark, done, stored, DAYS[1:])["first_seen_restated"])
    told = {(row["day"], row["user_id"], row["since"]) for row in made}
    assert told == {(march, "old", date(2023, 5, 5)), (march, "a", DAYS[1]), (march, "b", march)}
    assert {row["bucket"] for row in made} <= {0, 1}
    assert collected(built(spark, done, stored, DAYS[4:])["first_seen_restated"]) == []
