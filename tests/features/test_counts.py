"""Counts that are never below zero, and numbers of distinct values beyond the cap of their sets."""

from datetime import date, timedelta
from random import Random
from statistics import mean

import pytest

from churnwatch.activity import per_user_month
from churnwatch.activity.indicators import window_sums
from churnwatch.features import per_user
from churnwatch.tables import tables
from frames import frame
from smallworld import SMALL, activity, as_of, collected, first_days, rows, settings

TODAY = date(2024, 3, 1)  # the 30 days that end with it are February and one day without items
CAP, SMALL_CAP = 200, 3
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
    given = [("u", 6, 1, -1, -5), ("v", 6, 1, 2, 3)]
    seen = frame(spark, given, "user_id string, age int, acts long, `left` long, spend_cents long")
    found = {r["user_id"]: (r["left_7d"], r["spend_cents_30d"]) for r in seen.groupBy("user_id").agg(*window_sums(one)).collect()}
    assert found == {"u": (0, -5), "v": (2, 3)}, "a sum may be below zero"


# --- distinct values beyond the cap -----------------------------------------------------------------------------------


def hashes(chance, number):
    return sorted({chance.getrandbits(64) - 2**63 for _ in range(number)})


def number(values, cap):
    """The estimate of Beyer et al. from the smallest hashes, as shares of all hashes."""
    kept = sorted(values)[:cap]
    return len(kept) if len(kept) < cap else max(cap, round((cap - 1) / ((kept[-1] + 2**63) / 2**64)))


def missing(mine, others, cap):
    kept = set(sorted(mine | others)[:cap])
    found = len((kept & mine) - others)
    return found if len(kept) < cap else round(found * number(mine | others, cap) / cap)


@pytest.mark.parametrize("cap", [SMALL_CAP, CAP])
def test_one_rule_for_days_windows_and_months(spark, cap):
    chance = Random(cap)
    users, active = {}, [did("history", 60)]
    for n in range(40):
        pool = hashes(chance, chance.choice([2, 5, 30]))
        agos = [29, *chance.sample(range(1, 29), chance.randint(0, 5))]
        users[f"u{n}"] = {ago: set(chance.sample(pool, chance.randint(0, len(pool)))) for ago in agos}
        active += [did(f"u{n}", ago, items=sorted(items)[:cap]) for ago, items in users[f"u{n}"].items()]
    found = features(spark, active, cap)
    for user, items in users.items():
        last = set().union(*(values for ago, values in items.items() if ago < 7))
        before = set().union(*(values for ago, values in items.items() if ago >= 7))
        wanted = {
            "items_7d": number(last, cap),
            "items_14d": number(set().union(*(values for ago, values in items.items() if ago < 14)), cap),
            "items_30d": number(last | before, cap),
            "items_m1": number(last | before, cap),
            "items_new": missing(last, before, cap),
            "items_given_up": missing(before, last, cap),
        }
        assert {name: found[user][name] for name in wanted} == wanted, user


def test_estimates_are_near_the_truth_on_average(spark):
    chance, active = Random(7), []
    for n in range(60):
        pool = hashes(chance, 1000)
        chance.shuffle(pool)
        # two days that share half of the thousand, each stored up to the cap
        active += [did(f"u{n}", ago, items=sorted(items)[:CAP]) for ago, items in ((9, pool[:750]), (2, pool[250:]))]
    found = features(spark, active, CAP).values()
    # the standard error of one: 1 / sqrt(198) of the number; of a quarter of it also that of a share of 200
    for name, true, error in (("items_30d", 1000, 0.071), ("items_new", 250, 0.142)):
        errors = [row[name] / true - 1 for row in found]
        assert abs(mean(errors)) < 3.3 * error / len(errors) ** 0.5 and max(map(abs, errors)) < 4 * error, name
