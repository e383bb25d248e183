"""Retention triangles by month and ISO week."""

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis.strategies import lists

from churnwatch.core import day_range
from churnwatch.reports.cohorts import bounds, measure_cohorts, replaced_periods
from smallworld import activity, collected, contracts, first_days, inputs_of, plan_of, settings, stacked, worlds

SPANS = {"activity": (-61, 0)}
NO_FIRST_DAYS = settings(churn={"before_data_days": 0})
JAN, FEB, MAR, APR = (date(2024, month, 1) for month in (1, 2, 3, 4))


def triangle(spark, world, days, one=NO_FIRST_DAYS, **spans):
    world = {"first_seen": seen(world), **world}
    return measure_cohorts(inputs_of(spark, world, days, **{**SPANS, **spans}), days, one)["cohort_churn"]


def seen(world):
    """Rows of first_seen: each user's first active day, with the plan in force on it."""
    for row in first_days(world["activity"]):
        stated = [r for r in world.get("users", []) if r["user_id"] == row["user_id"] and r["day"] <= row["day"]]
        plan = max(stated, key=lambda r: r["day"])["attributes"]["plan"] if stated else None
        yield {**row, "segments": [{"segment": "plan", "value": plan}] if plan else []}


def cells(rows, cohort_by="month", segment="all"):
    """(cohort, value, period) -> (size, active, change, complete); the cohort is "before" for users from before the data."""
    return {
        ("before" if r["before_data"] else r["cohort"], r["value"], r["period"]): (
            r["size"],
            r["active"],
            r["change"],
            r["complete"],
        )
        for r in rows
        if (r["cohort_by"], r["segment"]) == (cohort_by, segment)
    }


WORLD = {
    "activity": [
        # January: four users, of whom two are there in February and none in March
        *(activity(f"jan{n}", date(2024, 1, 10 + n)) for n in range(4)),
        activity("jan0", date(2024, 2, 1)), activity("jan1", date(2024, 2, 29)), activity("jan1", date(2024, 2, 28)),
        # February: two users, of whom one is there in March
        activity("feb0", date(2024, 2, 5)), activity("feb1", date(2024, 2, 29)),
        activity("feb0", date(2024, 3, 31)),
        activity("mar0", date(2024, 3, 2)),
        # of January, a bot in February: from then on it is in no row
        activity("robot", date(2024, 1, 12)), activity("robot", date(2024, 2, 3), bot=True), activity("robot", MAR),
        activity("robot", APR),
    ],
    "users": [plan_of("feb0", JAN, "gold"), plan_of("feb0", MAR, "basic"), plan_of("jan0", JAN, "gold")],
}  # fmt: skip


CHANGING = {
    "activity": [
        *(activity(f"a{n}", JAN) for n in range(4)), *(activity(f"a{n}", FEB) for n in range(3)),
        *(activity(f"b{n}", FEB) for n in range(4)), activity("b0", MAR),
        activity("d0", MAR), activity("d0", APR),
    ]
}  # fmt: skip
WITHOUT_FEBRUARY = {"activity": [activity("a", JAN), activity("b", MAR), activity("b", APR)]}
NEW_YEAR = {"activity": [activity("u", date(2024, 12, 29)), activity("v", date(2024, 12, 31)), activity("u", date(2025, 1, 5))]}
# the data begin on 10 January; users are active within 2 days
OLD_AND_NEW = {
    "activity": [
        *(activity(user, day)
          for user, days in {
              "old": (date(2024, 1, 20), FEB), "old, gone": (date(2024, 1, 10),), "old, late": (date(2024, 2, 20), MAR),
              "registered": (date(2024, 1, 10), FEB), "unknown": (date(2024, 1, 10), FEB),
              "unknown, second day": (date(2024, 1, 11),), "unknown, third day": (date(2024, 1, 12),),
              "registered in february": (date(2024, 1, 15), FEB),
              "starts in february": (FEB, MAR), "new in february": (date(2024, 2, 2), MAR), "new in march": (MAR,),
          }.items()
          for day in days),
    ],
    "users": [
        *(plan_of(user, date(2024, 1, 10), None, registered_on=day)
          for user, day in {
              "old": date(2023, 5, 1), "old, gone": date(2024, 1, 9), "old, late": date(2020, 1, 1),
              "old, never seen": date(2023, 5, 1), "registered": date(2024, 1, 10), "registered in february": date(2024, 2, 10),
              "starts in february": date(2024, 1, 30), "never starts": date(2024, 1, 30),
          }.items()),
    ],
}  # fmt: skip
# case -> world, days and settings
CASES = {
    "february and march": (WORLD, (date(2024, 2, 29), date(2024, 3, 31))),
    "march but its last day": (WORLD, (date(2024, 3, 30),)),
    "first of march": (WORLD, (MAR,)),
    "january": (WORLD, (date(2024, 1, 31),)),
    "february": (WORLD, (date(2024, 2, 29),)),
    "march": (WORLD, (date(2024, 3, 31),)),
    "april": (WORLD, (date(2024, 4, 30),)),
    "changing": (CHANGING, (date(2024, 3, 31), date(2024, 4, 30))),
    "without february": (WITHOUT_FEBRUARY, (date(2024, 4, 30),)),
    "new year": (NEW_YEAR, (date(2025, 1, 5),)),
    "old and new": (OLD_AND_NEW, (date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31)), settings()),
}


@pytest.fixture(scope="module")
def triangles(spark):
    """The rows of cohort_churn by case, from one query."""
    frames = [triangle(spark, *given_).selectExpr(f"'{case}' AS case", "*") for case, given_ in CASES.items()]
    rows = collected(stacked(frames))
    return {case: [row for row in rows if row["case"] == case] for case in CASES}


def test_months_of_three_cohorts(triangles):
    assert cells(triangles["february and march"]) == {
        (JAN, "all", 1): (4, 2, None, True),
        (FEB, "all", 0): (2, 2, 0.0, True),
        (JAN, "all", 2): (4, 0, None, True),
        (FEB, "all", 1): (2, 1, 0.0, True),  # 1 of 2, as January's 2 of 4 in February
        (MAR, "all", 0): (1, 1, 0.0, True),
    }


def test_a_running_month_is_marked_counts_up_to_its_day_and_has_no_change(triangles):
    assert cells(triangles["march but its last day"]) == {
        (JAN, "all", 2): (4, 0, None, False),
        (FEB, "all", 1): (2, 0, None, False),
        (MAR, "all", 0): (1, 1, None, False),
    }
    assert cells(triangles["first of march"]) == {
        (JAN, "all", 2): (4, 0, None, False),
        (FEB, "all", 1): (2, 0, None, False),
    }


def test_who_was_ever_a_bot_is_in_no_period_from_then_on(triangles):
    assert [cells(triangles[month])[JAN, "all", n][0] for n, month in enumerate(("january", "february", "march", "april"))] == [
        5,  # nobody knew it yet
        4,
        4,
        4,
    ]


def test_cohorts_by_registration_where_it_is_known_and_users_from_before_the_data_apart(triangles):
    found = cells(triangles["old and new"])
    # "old, gone", "old", "unknown", "unknown, second day"; in February "old, late" is seen for the first time
    assert {key: value[:3] for key, value in found.items() if key[0] == "before"} == {
        ("before", "all", 0): (4, 4, None),
        ("before", "all", 1): (5, 3, None),
        ("before", "all", 2): (5, 1, None),
    }
    # "registered", "unknown, third day", "starts in february" and "never starts"; until 10 February also "registered in february"
    assert {key: value[:3] for key, value in found.items() if key[0] == JAN} == {
        (JAN, "all", 0): (5, 3, None),
        (JAN, "all", 1): (4, 2, None),
        (JAN, "all", 2): (4, 1, None),
    }
    # "registered in february" and "new in february": compared with January's newcomers, not with the old base
    assert found[FEB, "all", 0][:3] == (2, 2, 1 - 2 / 4)
    assert found[FEB, "all", 1][:3] == (2, 1, 1 / 2 - 2 / 4)


def test_segments_are_those_of_the_first_active_day(triangles):
    assert cells(triangles["february"], segment="plan") == {
        (JAN, "gold", 1): (1, 1, None, True),
        (JAN, "unknown", 1): (3, 1, None, True),
        (FEB, "gold", 0): (1, 1, 0.0, True),
        (FEB, "unknown", 0): (1, 1, 0.0, True),
    }
    # it has moved to "basic" on 1 March
    march = cells(triangles["march"], segment="plan")
    assert march[(FEB, "gold", 1)] == (1, 1, 0.0, True) and (FEB, "basic", 1) not in march


def test_change_is_against_the_cohort_before_at_the_same_period(triangles):
    made = cells(triangles["changing"])
    assert made[(FEB, "all", 1)] == (4, 1, -0.5, True)  # 1/4 against January's 3/4 in February
    assert made[(MAR, "all", 1)] == (1, 1, 0.75, True)  # 1/1 against February's 1/4 in March


def test_a_month_without_new_users_leaves_nothing_to_compare_with(triangles):
    assert cells(triangles["without february"])[(MAR, "all", 1)] == (1, 1, None, True)


def test_weeks_begin_on_monday_and_run_over_the_new_year(triangles):
    assert cells(triangles["new year"], "week") == {
        (date(2024, 12, 23), "all", 1): (1, 1, None, True),
        (date(2024, 12, 30), "all", 0): (1, 1, 0.0, True),
    }


def test_rates_and_their_intervals(triangles):
    (row,) = (r for r in triangles["february"] if (r["cohort_by"], r["cohort"], r["segment"]) == ("month", JAN, "all"))
    assert (row["day"], row["retained"], row["churned"]) == (FEB, 0.5, 0.5)
    # 2 of 4: statsmodels' proportion_confint(2, 4, method="wilson")
    assert (row["low"], row["high"]) == pytest.approx((0.1500390, 0.8499610), abs=1e-6)


def test_columns_and_types_are_those_of_the_contract(spark):
    made, contract = triangle(spark, {"activity": []}, (MAR,)), contracts().cohort_churn
    assert [(f.name, f.dataType) for f in made.schema] == [(f.name, f.dataType) for f in contract.schema]


def test_a_run_replaces_the_months_and_weeks_of_its_days():
    replaced = replaced_periods(day_range(date(2024, 2, 27), date(2024, 3, 3)))["cohort_churn"]
    assert replaced == (
        "(cohort_by = 'month' AND (day IN (DATE'2024-02-01', DATE'2024-03-01')))"
        " OR (cohort_by = 'week' AND (day >= DATE'2024-02-26' AND day <= DATE'2024-02-26'))"
    )


@pytest.mark.parametrize(
    ("cohort_by", "day", "expected"),
    [
        ("month", date(2024, 2, 29), (FEB, date(2024, 2, 29))),
        ("month", date(2024, 12, 31), (date(2024, 12, 1), date(2024, 12, 31))),
        ("week", date(2024, 12, 30), (date(2024, 12, 30), date(2025, 1, 5))),
    ],
)
def test_bounds(cohort_by, day, expected):
    assert bounds(cohort_by, day) == expected


START = date(2024, 2, 20)


@examples(max_examples=2, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(drawn=lists(worlds(START, 18), min_size=12, max_size=12))
def test_a_range_equals_day_by_day_after_its_last_day(spark, drawn):
    """Twelve worlds in one base: users ``w3_a``, whose plan is the world's name, so that a world is a value of the segment.
    Users b to d have registered, on the third day, long before the data, and on the second day; d is a bot on the eighth.
    Nobody sees e, who registers on the fifth."""
    days = (date(2024, 2, 26), date(2024, 2, 29), date(2024, 3, 1))
    drawn = {f"w{n}": [{**row, "user_id": f"w{n}_{row['user_id']}"} for row in one["activity"]] for n, one in enumerate(drawn)}
    users = {f"{name}_{letter}": name for name in drawn for letter in "abcde"}
    offsets = {"b": 2, "c": -40, "d": 1, "e": 4}
    registered = {user: START + timedelta(days=offsets[user[-1]]) for user in users if user[-1] in offsets}
    robots = [activity(user, START + timedelta(days=7), bot=True) for user in users if user[-1] == "d"]
    world = {
        "activity": [
            *(row for rows in drawn.values() for row in rows if (row["user_id"][-1], row["day"]) != ("d", robots[0]["day"])),
            *robots,
        ],
        "users": [plan_of(user, START, name, registered.get(user)) for user, name in sorted(users.items())],
    }
    one, runs = settings(churn={"before_data_days": 3}), [days, *((day,) for day in days)]
    frames = [triangle(spark, world, run, one).selectExpr(f"{n} AS run", "*") for n, run in enumerate(runs)]
    made = collected(stacked(frames))
    at_once, *daily = ([{**row, "run": None} for row in made if row["run"] == n] for n in range(len(runs)))
    kept = {}  # what is stored after each day: a day's rows replace those of its month and its week
    for day, rows in zip(days, daily, strict=True):
        mine = {(by, bounds(by, day)[0]) for by in ("month", "week")}
        kept = {place: stored for place, stored in kept.items() if place not in mine}
        for row in rows:
            kept.setdefault((row["cohort_by"], row["day"]), []).append(row)
    assert at_once == sorted((row for rows in kept.values() for row in rows), key=repr)
    active = {user: {row["day"] for row in world["activity"] if row["user_id"] == user} for user in users}
    begin = min(day for days_ in active.values() for day in days_)

    def cohort_of(user, by, end):
        """(cohort, before the data) as of the end of ``end``; None: the user is in no cohort."""
        first = min((day for day in active[user] if day <= end), default=None)
        known = registered[user] if user in registered and registered[user] <= end else None
        if (not first and not known) or (user[-1] == "d" and robots[0]["day"] <= end):
            return None
        before = known < begin if known else first < begin + timedelta(days=3)
        return (bounds(by, begin if before else known or first)[0], before) if first or not before else None

    for row in (r for r in at_once if r["segment"] == "plan"):
        by, end = row["cohort_by"], max(d for d in days if bounds(row["cohort_by"], d)[0] == row["day"])
        mine = [user for user, name in users.items() if name == row["value"]]
        cohort = {user for user in mine if cohort_of(user, by, end) == (row["cohort"], row["before_data"])}
        there = {user for user in cohort if any(row["day"] <= day <= end for day in active[user])}
        assert (row["size"], row["active"]) == (len(cohort), len(there)), row
        assert row["complete"] == (bounds(by, row["day"])[1] <= end)
    assert {row["value"] for row in at_once if row["segment"] == "plan"} == set(drawn)


def test_the_future_never_changes_the_past(spark):
    day = date(2024, 3, 5)
    past = {name: [row for row in given_ if row["day"] <= day] for name, given_ in WORLD.items()}
    future = {**WORLD, "activity": [*WORLD["activity"], activity("new", day + timedelta(days=1))]}
    frames = [triangle(spark, world, (day,), activity=(-61, 60)) for world in (past, future)]
    rows = collected(stacked(frame.selectExpr(f"{n} AS case", "*") for n, frame in enumerate(frames)))
    without, with_future = ([{**row, "case": None} for row in rows if row["case"] == n] for n in (0, 1))
    assert without and without == with_future
