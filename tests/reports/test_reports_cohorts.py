"""Retention triangles by month and ISO week."""

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis.strategies import lists

from churnwatch.core import day_range
from churnwatch.reports.cohorts import bounds, measure_cohorts, replaced_periods
from smallworld import activity, collected, contracts, inputs_of, plan_of, settings, stacked, worlds

SPANS = {"activity": (-61, 0)}
JAN, FEB, MAR, APR = (date(2024, month, 1) for month in (1, 2, 3, 4))


def triangle(spark, world, days):
    return measure_cohorts(inputs_of(spark, world, days, **SPANS), days, settings())["cohort_churn"]


def cells(rows, cohort_by="month", segment="all"):
    """(cohort, value, period) -> (size, active, change, complete)."""
    return {
        (r["cohort"], r["value"], r["period"]): (r["size"], r["active"], r["change"], r["complete"])
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
        # of January, a bot in February: it is in no row of February, nor of March, which February is compared with
        activity("robot", date(2024, 1, 12)), activity("robot", date(2024, 2, 3), bot=True), activity("robot", MAR),
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
# case -> world and days
CASES = {
    "february and march": (WORLD, (date(2024, 2, 29), date(2024, 3, 31))),
    "march but its last day": (WORLD, (date(2024, 3, 30),)),
    "first of march": (WORLD, (MAR,)),
    "february": (WORLD, (date(2024, 2, 29),)),
    "march": (WORLD, (date(2024, 3, 31),)),
    "changing": (CHANGING, (date(2024, 3, 31), date(2024, 4, 30))),
    "without february": (WITHOUT_FEBRUARY, (date(2024, 4, 30),)),
    "new year": (NEW_YEAR, (date(2025, 1, 5),)),
}


@pytest.fixture(scope="module")
def triangles(spark):
    """The rows of cohort_churn by case, from one query."""
    frames = [triangle(spark, world, days).selectExpr(f"'{case}' AS case", "*") for case, (world, days) in CASES.items()]
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


def test_segments_are_those_of_the_last_day_measured(triangles):
    assert cells(triangles["february"], segment="plan") == {
        (JAN, "gold", 1): (1, 1, None, True),
        (JAN, "unknown", 1): (3, 1, None, True),
        (FEB, "gold", 0): (1, 1, 0.0, True),
        (FEB, "unknown", 0): (1, 1, 0.0, True),
    }
    assert cells(triangles["march"], segment="plan")[(FEB, "basic", 1)] == (1, 1, None, True)


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
    """Twelve worlds in one base: users ``w3_a``, whose plan is the world's name, so that a world is a value of the segment."""
    days = (date(2024, 2, 26), date(2024, 2, 29), date(2024, 3, 1))
    drawn = {f"w{n}": [{**row, "user_id": f"w{n}_{row['user_id']}"} for row in one["activity"]] for n, one in enumerate(drawn)}
    users = {(name, row["user_id"]) for name, rows in drawn.items() for row in rows}
    world = {
        "activity": [row for rows in drawn.values() for row in rows],
        "users": [plan_of(user, START, name) for name, user in sorted(users)],
    }
    runs = [days, *((day,) for day in days)]
    frames = [triangle(spark, world, run).selectExpr(f"{n} AS run", "*") for n, run in enumerate(runs)]
    made = collected(stacked(frames))
    at_once, *daily = ([{**row, "run": None} for row in made if row["run"] == n] for n in range(len(runs)))
    kept = {}  # what is stored after each day: a day's rows replace those of its month and its week
    for day, rows in zip(days, daily, strict=True):
        mine = {(by, bounds(by, day)[0]) for by in ("month", "week")}
        kept = {place: stored for place, stored in kept.items() if place not in mine}
        for row in rows:
            kept.setdefault((row["cohort_by"], row["day"]), []).append(row)
    assert at_once == sorted((row for rows in kept.values() for row in rows), key=repr)
    for row in (r for r in at_once if r["segment"] == "plan"):
        first = {}
        for seen in sorted(drawn[row["value"]], key=lambda r: r["day"]):
            first.setdefault(seen["user_id"], seen["day"])
        by, end = row["cohort_by"], max(d for d in days if bounds(row["cohort_by"], d)[0] == row["day"])
        cohort = {u for u, d in first.items() if d <= end and bounds(by, d)[0] == row["cohort"]}
        there = {r["user_id"] for r in drawn[row["value"]] if row["day"] <= r["day"] <= end}
        assert (row["size"], row["active"]) == (len(cohort), len(cohort & there)), row["value"]
        assert row["complete"] == (bounds(by, row["day"])[1] <= end)
    assert {row["value"] for row in at_once if row["segment"] == "plan"} == set(drawn)


def test_the_future_never_changes_the_past(spark):
    day = date(2024, 3, 5)
    past = {name: [row for row in given_ if row["day"] <= day] for name, given_ in WORLD.items()}
    future = {**WORLD, "activity": [*WORLD["activity"], activity("new", day + timedelta(days=1))]}
    frames = [
        measure_cohorts(inputs_of(spark, world, (day,), activity=(-61, 60)), (day,), settings())["cohort_churn"]
        for world in (past, future)
    ]
    rows = collected(stacked(frame.selectExpr(f"{n} AS case", "*") for n, frame in enumerate(frames)))
    without, with_future = ([{**row, "case": None} for row in rows if row["case"] == n] for n in (0, 1))
    assert without and without == with_future
