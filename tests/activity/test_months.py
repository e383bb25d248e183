"""Months of users, put together from their days."""

from datetime import date, timedelta

from churnwatch.activity import per_user_month
from smallworld import activity, collected, contracts, on_days, rows, settings, stacked

MEASURES = {
    "orders": {"kind": "count"},
    "spend_cents": {"kind": "sum", "of": "amount_cents"},
    "home_to_buy": {"kind": "transition", "of": "item_id", "from": "home", "to": "buy"},
    "fastest_ms": {"kind": "min", "of": "duration_ms"},
    "slowest_ms": {"kind": "max", "of": "duration_ms"},
    "balance": {"kind": "last", "of": "amount_cents"},
    "items": {"kind": "distinct", "of": "item_id"},
}
CHANGES = {"measures": {"measures": MEASURES, "ratios": {}}, "activity": {"buckets": 2, "distinct_cap": 3}}
NOTHING = {"home_to_buy": 0, "fastest_ms": None, "balance": None}


def of_day(user, day, **measures):
    return activity(user, day, **{**NOTHING, **measures})


def months(spark, world, days):
    made, read = settings(**CHANGES), on_days(world, min(days) - timedelta(days=30), max(days))
    frame = rows(spark, contracts(**CHANGES).daily_activity, read)
    return per_user_month({"activity": frame}, days, made)["monthly_activity"]


JANUARY, FEBRUARY, MARCH = date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31)
FIRST, MIDDLE = date(2024, 2, 1), date(2024, 2, 14)
WORLD = [
    of_day("u", date(2024, 1, 30), events=100, orders=100, items=[1], balance=9),
    of_day("u", FIRST, events=3, sessions=2, hours=0b101, orders=2, spend_cents=500, home_to_buy=1, fastest_ms=7,
           slowest_ms=8, balance=40, items=[2, 5, 9], def_silent=0),
    of_day("u", MIDDLE, events=4, sessions=0, hours=0b110, bot=True, spend_cents=-500, fastest_ms=3, balance=70,
           items=[1, 5], def_silent=2),
    # nothing but events on the leap day; hours and bot as of a day that was stored before they were known
    of_day("u", FEBRUARY, events=1, hours=None, bot=None, def_silent=0),
    of_day("v", FEBRUARY),
    of_day("u", date(2024, 3, 1), events=50),
]  # fmt: skip


def test_a_month_is_its_days_put_together_and_nothing_of_its_neighbours(spark):
    u, v = sorted(collected(months(spark, WORLD, (FEBRUARY,))), key=lambda row: row["user_id"])
    assert u == {
        "day": FEBRUARY, "user_id": "u", "bucket": 0, "active_days": 3, "first_day": FIRST, "last_day": FEBRUARY,
        "events": 8, "acts": 8, "acts_last_day": FEBRUARY, "sessions": 3, "hours": 0b111, "bot": True, "bot_days": 1,
        "orders": 2, "spend_cents": 0, "home_to_buy": 1, "fastest_ms": 3, "slowest_ms": 8, "balance": 70, "items": [1, 2, 5],
        "orders_last_day": FIRST, "spend_cents_last_day": MIDDLE, "home_to_buy_last_day": FIRST, "fastest_ms_last_day": MIDDLE,
        "slowest_ms_last_day": FIRST, "balance_last_day": MIDDLE, "items_last_day": MIDDLE,
        "def_silent": 2, "def_silent_first_day": MIDDLE, "def_silent_last_day": MIDDLE,
    }  # fmt: skip
    assert (v["active_days"], v["bot"], v["balance"], v["items"], v["orders_last_day"]) == (1, False, None, [], None)
    assert (v["def_silent_first_day"], v["def_silent_last_day"]) == (FEBRUARY, FEBRUARY)


def test_a_range_equals_day_by_day_and_only_month_ends_have_rows(spark):
    days = tuple(JANUARY + timedelta(days=n) for n in range((MARCH - JANUARY).days + 1))
    whole = collected(months(spark, WORLD, days))
    assert [(r["user_id"], r["day"], r["events"]) for r in sorted(whole, key=lambda r: (r["user_id"], r["day"]))] == [
        ("u", JANUARY, 100), ("u", FEBRUARY, 8), ("u", MARCH, 50), ("v", FEBRUARY, 1),
    ]  # fmt: skip
    single = (JANUARY, date(2024, 2, 28), FEBRUARY, MARCH)
    assert whole == collected(stacked(months(spark, WORLD, (day,)) for day in single))
