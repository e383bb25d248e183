"""Segments and tenure of users as of a day."""

from datetime import date, timedelta

from churnwatch.activity.segments import per_segment, with_segments
from smallworld import as_of, collected, contracts, plan_of, settings

DAY = date(2024, 2, 29)


def ago(days):
    return DAY - timedelta(days=days)


def test_a_segment_is_the_one_of_its_day(spark):
    days = tuple(ago(n) for n in (3, 2, 1, 0))
    changes = [plan_of("u", ago(9), "gold"), plan_of("u", ago(2), "basic"), plan_of("u", DAY, None)]
    frame = spark.createDataFrame([(day, "u") for day in days] + [(DAY, "stranger")], "day date, user_id string")
    made = with_segments(frame, as_of(spark, contracts().users, changes, days), settings())
    assert {(r["user_id"], r["day"]): r["segment_plan"] for r in collected(made)} == {
        ("u", ago(3)): "gold",
        ("u", ago(2)): "basic",
        ("u", ago(1)): "basic",
        ("u", DAY): None,
        ("stranger", DAY): None,
    }


def test_tenure(spark):
    # case: registration, first active day, tenure in days, segment
    cases = {
        "registration decides": (ago(30), ago(5), 30, "established"),
        "29 days are new": (ago(29), ago(29), 29, "new"),
        "else the first active day": (None, ago(40), 40, "established"),
        "a registration after the day is ignored": (DAY + timedelta(days=1), ago(2), 2, "new"),
        "nothing known": (None, None, None, None),
    }
    frame = spark.createDataFrame([(DAY, case) for case in cases], "day date, user_id string")
    registered = [plan_of(case, ago(1), None, day) for case, (day, *_) in cases.items()]
    seen = [{"day": day, "user_id": case} for case, (_, day, _, _) in cases.items() if day]
    users, first = as_of(spark, contracts().users, registered, (DAY,)), as_of(spark, contracts().first_seen, seen, (DAY,))
    rows = with_segments(frame, users, settings(), first).collect()
    found = {row.user_id: (row.tenure_days, row.segment_tenure) for row in rows}
    assert found == {case: (tenure, group) for case, (_, _, tenure, group) in cases.items()}


def test_a_row_a_segment_and_unknown_where_there_is_no_value(spark):
    frame = spark.createDataFrame([("u", None), ("v", "gold")], "user_id string, segment_plan string")
    found = [(r["user_id"], r["segment"], r["value"]) for r in collected(per_segment(frame, settings()))]
    assert found == [("u", "all", "all"), ("u", "plan", "unknown"), ("v", "all", "all"), ("v", "plan", "gold")]
