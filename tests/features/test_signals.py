"""Families of features beyond windows: by hand, and against a plain-Python reference on drawn worlds."""

import math
from calendar import monthrange
from datetime import date, timedelta
from random import Random

import pytest

from churnwatch.features import per_user
from churnwatch.model.schema import schema_of
from churnwatch.tables import tables
from smallworld import SMALL, activity, as_of, collected, first_days, on_days, plan_of, rows, settings

MEASURES = {
    **SMALL["measures"]["measures"],
    "mood": {"kind": "last", "of": "amount_cents"},
    "pays": {"kind": "transition", "of": "item_id", "from": "cart", "to": "pay"},
}
SIGNALS = {
    "measures": MEASURES,
    "windows_days": [1, 7, 14],
    "trend_days": 7,
    "ratios": {"orders_a_day": "orders / active_days"},
    "population_days": 40,
    "slope_weeks": 2,
    "slopes": ["orders", "pays"],
    "habit": True,
    "active_share": True,
    "active_hours": True,
    "rates": ["orders"],
    "shifts": ["items"],
    "rfm": {
        "recency": "orders",
        "frequency": "orders",
        "monetary": "spend_cents",
        "window_days": 14,
        "recency_cuts": [0, 3, 7, 20],
        "frequency_cuts": [1, 3, 6, 9],
        "monetary_cuts": [1, 100, 200, 300],
    },
    "months": 3,
    "months_of": ["orders", "slowest_ms", "mood", "items"],
    "context": {
        "price": {"name": "own price", "change_days": 7},
        "rival": {"name": "rival price", "scope": "plan", "change_days": 1},
    },
}
SOURCES = {"context": {"name": "c", "format": "csv", "path": "x", "map": dict.fromkeys(("day", "scope", "name", "value"), "x")}}
ONE = settings(measures=SIGNALS, sources=SOURCES)
LEAP = date(2024, 3, 1)  # the day before is 29 February
MONTH_END = date(2024, 3, 31)  # a month earlier there is no such day


def on(day, user="u", **measures):
    return activity(user, date.fromisoformat(f"2024-{day}"), **{"mood": None, "pays": 0, **measures})


def months_of(days):
    """Rows of monthly_activity, by the contract, from rows of daily_activity."""
    grouped = {}
    for row in sorted(days, key=lambda r: r["day"]):
        end = row["day"].replace(day=monthrange(row["day"].year, row["day"].month)[1])
        grouped.setdefault((row["user_id"], end), []).append(row)
    present = {"orders": bool, "cancels": bool, "spend_cents": bool, "pays": bool, "items": bool}
    made = []
    for (user, end), mine in grouped.items():
        row = {"day": end, "user_id": user, "bucket": 0, "active_days": len(mine)}
        row |= {"first_day": mine[0]["day"], "last_day": mine[-1]["day"], "events": sum(r["events"] for r in mine)}
        for name in MEASURES:
            row[name] = over(mine, name, sets=True)
            known = [r["day"] for r in mine if present.get(name, lambda v: v is not None)(r[name])]
            row[f"{name}_last_day"] = max(known, default=None)
        made.append(row)
    return made


def over(mine, name, sets=False):
    """The measure over some days of a user, which stand in order."""
    values = [row[name] for row in mine if row[name] is not None]
    if name == "items":
        union = sorted(set().union(*values))
        return union if sets else len(union)
    if name == "slowest_ms":
        return max(values, default=None)
    return (values or [None])[-1] if name == "mood" else sum(values)


def features(spark, world, days, one=ONE):
    t, first, last = tables(one), min(days), max(days)
    read, months_read = timedelta(one.measures.activity_days - 1), timedelta(one.measures.months_days - 1)
    inputs = {
        "activity": rows(spark, t.daily_activity, on_days(world["activity"], first - read, last)),
        "months": rows(spark, t.monthly_activity, on_days(months_of(world["activity"]), first - months_read, last)),
        "first_seen": as_of(spark, t.first_seen, first_days(world["activity"]), days),
        "users": as_of(spark, t.users, world.get("users", []), days),
        "consents": as_of(spark, t.consents, [], days),
        "context": as_of(spark, t.context, world.get("context", []), days, one.measures.context_days),
    }
    return per_user(inputs, days, one)["user_features"]


def series(day, name, value, scope="base"):
    return {"day": date.fromisoformat(day), "scope": scope, "name": name, "value": value, "full": False}


WORLD = {
    "activity": [
        # December is stored from its second day on
        activity("gone", date(2023, 12, 2), mood=None, pays=0),
        on("01-31", orders=4, mood=9, items=[1, 5]),
        on("02-17", orders=2, mood=3, items=[1, 2], hours=0b11 << 8, slowest_ms=8, spend_cents=150),
        on("02-23", orders=1, items=[2], hours=1 << 9),
        on("02-29", orders=3, items=[2, 3], hours=1 << 20, mood=5, pays=2),
        on("03-01", orders=1, hours=1 << 20),
        on("01-31", "silent", cancels=1),
        on("03-01", "new", orders=2, items=[7]),
        on("02-16", "was a robot", bot=True),
        on("03-01", "was a robot"),
        on("02-17", "robot", bot=True),
    ],
    "users": [plan_of("u", date(2024, 1, 1), "gold")],
    "context": [
        series("2024-01-01", "own price", 10.0),
        series("2024-02-25", "own price", 12.5),
        series("2024-03-02", "own price", 99.0),
        series("2024-02-29", "rival price", 5.0, "plan=gold"),
        series("2024-03-01", "rival price", 4.0, "plan=gold"),
        series("2024-02-01", "rival price", 7.0, "plan=basic"),
        series("2024-02-01", "rival price", 8.0),
    ],
}


@pytest.fixture(scope="module")
def by_hand(spark):
    found = collected(features(spark, WORLD, (LEAP, MONTH_END)))
    return {(row["user_id"], row["day"]): row for row in found}


def test_every_family_by_hand(by_hand):
    row = by_hand["u", LEAP]
    root = math.sqrt(3 * (1 + 36 + 36) - 13 * 13)
    expected = {
        "orders_1d": 1, "orders_7d": 4, "orders_14d": 7, "orders_a_day_14d": 7 / 4,
        "mood_1d": None, "mood_7d": 5, "mood_14d": 5, "mood_days_since": 1,
        "pays_1d": 0, "pays_7d": 2, "pays_trend": 1, "pays_days_since": 1,
        # weeks of 3 and 4 orders
        "orders_slope": 1, "pays_slope": 2,
        # active 0, 1, 7 and 13 days ago
        "longest_gap_days": 6, "usual_gap_days": 13 / 3, "gap_ratio": 0, "regularity": (13 - root) / (13 + root),
        "active_share_1d": 1, "active_share_7d": 2 / 7, "active_share_14d": 4 / 14,
        "active_hours_1d": 1, "active_hours_7d": 1, "active_hours_14d": 3,
        "orders_rate_1d": 1, "orders_rate_7d": 4 / 7, "orders_rate_14d": 0.5,
        "items_new": 1, "items_given_up": 1,
        "rfm_recency": 5, "rfm_frequency": 4, "rfm_monetary": 3, "segment_rfm": "champion",
        # March so far, February with its 29th, January, and December, of which one day is not stored
        "orders_m0": 1, "orders_m1": 6, "orders_m2": 4, "orders_m3": None,
        "mood_m0": None, "mood_m1": 5, "mood_m2": 9, "mood_m3": None,
        "slowest_ms_m0": None, "slowest_ms_m1": 8, "slowest_ms_m2": None,
        "items_m0": 0, "items_m1": 3, "items_m2": 2, "items_m3": None,
        "price": 12.5, "price_change": 2.5, "rival": 4, "rival_change": -1,
        "bot": False, "tenure_days": 30, "history_days": 14,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_a_month_later_memory_comes_from_months(by_hand):
    row = by_hand["u", MONTH_END]
    expected = {
        "events_14d": 0, "active_days_14d": 0, "mood_14d": None, "items_14d": 0,
        # 1 March lies before the longest window, but in the current month; 29 February is told by its month
        "events_days_since": 30, "mood_days_since": 31, "slowest_ms_days_since": None,
        "orders_m0": 1, "orders_m1": 6, "orders_m2": 4, "orders_m3": None, "mood_m1": 5, "items_m1": 3,
        "longest_gap_days": None, "gap_ratio": None, "active_share_14d": 0, "active_hours_14d": 0, "orders_slope": 0,
        "items_new": 0, "items_given_up": 0, "rfm_recency": 1, "segment_rfm": "hibernating", "price": 99, "price_change": 0,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_the_population_and_its_bots(by_hand):
    silent, new = by_hand["silent", LEAP], by_hand["new", LEAP]
    assert (silent["events_days_since"], silent["cancels_days_since"], silent["orders_days_since"]) == (30, 30, None)
    assert (silent["events_14d"], silent["orders_m2"], silent["rival"], silent["price"]) == (0, 0, None, 12.5)
    # one day was possible for the new user, whose orders rose from no day before and whose item is not newer than others
    assert (new["orders_rate_14d"], new["active_share_14d"], new["longest_gap_days"]) == (2, 1, None)
    assert [new[name] for name in ("orders_trend", "orders_slope", "items_new", "items_given_up")] == [None] * 4
    assert {user for user, day in by_hand if day == LEAP} == {"u", "silent", "new", "robot", "was a robot"}
    assert [user for (user, day), row in sorted(by_hand.items()) if row["bot"]] == ["robot"]


def expected_of(mine, day, history, tenure):
    """The families in plain Python, from all rows of a user up to ``day``, in order."""
    m = ONE.measures
    made = {}
    age = {(day - row["day"]).days: row for row in mine}
    ages = sorted(a for a in age if a < 14)
    for w in m.windows_days:
        window = [age[a] for a in sorted(age, reverse=True) if a < w]
        for name in MEASURES:
            made[f"{name}_{w}d"] = over(window, name)
        made[f"active_share_{w}d"] = len(window) / min(w, tenure + 1, history)
        made[f"orders_rate_{w}d"] = over(window, "orders") / min(w, tenure + 1, history)
        made[f"active_hours_{w}d"] = len({h for row in window for h in range(24) if row["hours"] >> h & 1})
    for back in range(4):
        year, month = divmod(day.year * 12 + day.month - 1 - back, 12)
        # the month so far, or one that is stored from its first day on
        stored = back == 0 or date(year, month + 1, 1) >= day - timedelta(history - 1)
        inside = [row for row in mine if (row["day"].year, row["day"].month) == (year, month + 1)]
        for name in m.months_of:
            made[f"{name}_m{back}"] = over(inside, name) if stored else None
    for name in ("orders", "spend_cents", "mood", "slowest_ms", "items", "pays"):
        seen = [a for a in age if age[a][name] or (name in ("mood", "slowest_ms") and age[a][name] is not None)]
        since = min(seen, default=None)
        made[f"{name}_days_since"] = since if since is not None and since < 40 else None
    gaps = [b - a for a, b in zip(ages, ages[1:], strict=False)]
    mean = sum(gaps) / len(gaps) if gaps else None
    deviation = math.sqrt(sum((g - mean) ** 2 for g in gaps) / len(gaps)) if gaps else None
    made["longest_gap_days"], made["usual_gap_days"] = max(gaps, default=None), mean
    made["gap_ratio"] = ages[0] / mean if gaps else None
    made["regularity"] = (mean - deviation) / (mean + deviation) if len(gaps) > 1 else None
    week = [sum(age[a]["orders"] for a in ages if a // 7 == k) for k in (0, 1)]
    made["orders_slope"] = week[0] - week[1] if min(history, tenure + 1) >= 14 else None
    last, before = ({i for a in ages if (a < 7) == new for i in age[a]["items"]} for new in (True, False))
    made["items_new"], made["items_given_up"] = (
        (len(last - before), len(before - last)) if min(history, tenure + 1) > 7 else (None, None)
    )
    seven, fourteen = made["orders_7d"], made["orders_14d"]
    enough = min(history, tenure + 1) >= 14 and fourteen
    made["orders_trend"] = (2 * seven - fourteen) / fourteen if enough else None
    made["bot"] = 5 * sum(age[a]["bot"] for a in ages) >= max(len(ages), 1)
    return made


def a_long_world(seed):
    """Some days of forty users over five months, and a series that changes."""
    chance, first = Random(seed), date(2023, 11, 8)
    made = []
    for user in range(40):
        for offset in sorted(chance.sample(range(151), chance.randint(1, 25))):
            orders, pays = chance.randint(0, 3), chance.randint(0, 3)
            mood, slowest = (chance.choice([None, 0, 1, 2, 3]) for _ in range(2))
            values = {"orders": orders, "spend_cents": chance.randint(-9, 9), "mood": mood, "slowest_ms": slowest}
            items = sorted(chance.sample(range(1, 6), chance.randint(0, 3)))
            values |= {"items": items, "hours": chance.randint(1, 2**24 - 1), "pays": pays, "bot": chance.random() < 0.1}
            made.append(activity(f"u{user}", first + timedelta(offset), **values))
    prices = [series(str(first + timedelta(n)), "own price", 9 * chance.random()) for n in chance.sample(range(151), 9)]
    return {"activity": made, "context": prices}


def test_a_range_equals_day_by_day_and_the_reference(spark):
    world = a_long_world(4)
    day, *_ = days = (date(2024, 2, 29), LEAP, MONTH_END)
    found = collected(features(spark, world, days))
    # the rows in another order as well
    backwards = {**world, "activity": world["activity"][::-1]}
    assert [row for row in found if row["day"] == day] == collected(features(spark, backwards, (day,)))
    first = min(row["day"] for row in world["activity"])
    by_user = {}
    for row in sorted(world["activity"], key=lambda r: r["day"]):
        by_user.setdefault(row["user_id"], []).append(row)
    wanted = {}
    for snapshot in days:
        for user, all_days in by_user.items():
            mine = [row for row in all_days if row["day"] <= snapshot]
            if mine and (snapshot - mine[-1]["day"]).days < 40:
                history = (snapshot - first).days + 1
                tenure = (snapshot - mine[0]["day"]).days
                wanted[user, snapshot] = expected_of(mine, snapshot, history, tenure)
    rows_ = {(row["user_id"], row["day"]): row for row in found}
    assert set(rows_) == set(wanted)
    for key, values in wanted.items():
        assert {name: rows_[key][name] for name in values} == pytest.approx(values, nan_ok=True), key


def test_months_are_read_only_when_configured():
    assert (ONE.measures.activity_days, ONE.measures.months_days) == (31, 94)
    plain = settings().measures
    assert (plain.activity_days, plain.months_days) == (plain.longest_window, 0)


def test_every_feature_belongs_to_a_measure():
    names = ["cancels_days_since", "orders_rate_7d", "items_given_up", "mood_m3", "active_share_7d", "regularity", "rfm_monetary"]
    schema = schema_of([*names, "price_change", "orders_slope", "gone_7d"], ONE)
    of_signals = ("cancels", "orders", "items", "mood", "active_days", "habit", "spend_cents", "price", "orders", "gone")
    assert schema.measures == of_signals
    assert schema.fills[:2] == (41, 0)  # farther back than anything that is known
