"""Daily activity: measures of hand-made events, sessions, the layout."""

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from churnwatch.activity import per_user_day
from churnwatch.settings.names import definition_column
from smallworld import at, collected, contracts, on_days, rows, settings

DAY = date(2024, 2, 29)
NEXT = date(2024, 3, 1)


def event(user="u", day=DAY, time="12:00", kind="view", **more):
    return {"day": day, "event_id": "e", "user_id": user, "event_time": at(day, time), "event_type": kind, **more}


def built(spark, events, days, **changes):
    made = settings(**changes)
    read = on_days(events, min(days) - timedelta(days=1), max(days))
    return per_user_day({"events": rows(spark, contracts(**changes).events, read)}, days, made)["daily_activity"]


def test_every_kind_of_measure(spark):
    events = [
        event(time="10:00", kind="order", amount_cents=1000, duration_ms=5, item_id="a"),
        event(time="10:05", kind="order", amount_cents=-300, duration_ms=9, item_id="b"),
        event(time="15:00", kind="cancel", item_id="a"),
        event(user="v", time="23:59", kind="other"),
    ]
    u, v = sorted(built(spark, events, (DAY,)).collect(), key=lambda row: row.user_id)
    assert (u.events, u.sessions, u.orders, u.cancels, u.spend_cents, u.slowest_ms) == (3, 2, 2, 1, 700, 9)
    assert (u.first_time, u.last_time) == (at(DAY, "10:00").replace(tzinfo=None), at(DAY, "15:00").replace(tzinfo=None))
    assert len(u["items"]) == 2 and u["items"] == sorted(u["items"])
    assert u[definition_column("silent")] == 2
    assert (v.orders, v.spend_cents, v.slowest_ms, v["items"], v[definition_column("silent")]) == (0, 0, None, [], 0)


def test_columns_and_types_are_the_contract_s(spark):
    made, contract = built(spark, [event()], (DAY,)), contracts().daily_activity
    assert [(f.name, f.dataType.simpleString()) for f in made.schema] == [
        (f.name, f.dataType.simpleString()) for f in contract.schema
    ]


@pytest.mark.parametrize(
    ("yesterday", "times", "sessions"),
    [
        pytest.param([], ["10:00", "10:30"], 1, id="a pause of exactly the gap goes on"),
        pytest.param([], ["10:00", "10:30:01"], 2, id="a longer one does not"),
        pytest.param([], ["10:31", "11:15"], 2, id="nor one that is a little longer"),
        pytest.param([], ["10:01", "10:29", "10:31", "10:59", "11:29"], 1, id="no pause counts from the first event"),
        pytest.param(["23:45"], ["00:10", "09:00"], 1, id="over midnight it belongs to the day it started on"),
        pytest.param(["23:20"], ["00:10", "09:00"], 2, id="an evening too early does not go on"),
    ],
)
def test_sessions(spark, yesterday, times, sessions):
    events = [event(time=t) for t in yesterday] + [event(day=NEXT, time=t) for t in times]
    assert [row.sessions for row in built(spark, events, (NEXT,)).collect()] == [sessions]


def test_the_business_day_decides_how_much_of_the_evening_is_read(spark):
    # 00:10 on 1 March in New York is 05:10 UTC; the session began 20 minutes before, still on 29 February there
    evening = {**event(), "event_time": at(NEXT, "04:50")}
    morning = {**event(day=NEXT), "event_time": at(NEXT, "05:10")}
    made = built(spark, [evening, morning], (NEXT,), clock={"time_zone": "America/New_York"})
    assert [(row.day, row.sessions) for row in made.collect()] == [(NEXT, 0)]


def test_distinct_keeps_the_smallest_hashes_up_to_the_cap(spark):
    events = [event(time=f"{h:02d}:00", item_id=f"i{h}") for h in range(6)] + [event(time="07:00", item_id=None)]
    (everything,) = built(spark, events, (DAY,)).collect()
    (capped,) = built(spark, events, (DAY,), activity={"buckets": 2, "distinct_cap": 2}).collect()
    assert len(everything["items"]) == 6
    assert capped["items"] == everything["items"][:2]


def test_fractions_are_rounded_event_by_event_and_what_is_no_number_is_left_out(spark):
    measures = {"half": {"kind": "sum", "of": "amount_cents * 0.5D"}, "stars": {"kind": "max", "of": "properties['stars']"}}
    events = [
        event(time="10:00", amount_cents=3, properties={"stars": "4"}),
        event(time="15:00", amount_cents=3, properties={"stars": "NaN"}),
        event(time="16:00", properties={"stars": "good"}),
    ]
    changes = {"measures": {"measures": measures, "ratios": {}}}
    (row,) = built(spark, events, (DAY,), **changes).collect()
    assert (row.half, row.stars) == (4, 4)


@pytest.fixture
def three_partitions(spark):
    """With one shuffle partition, as in all other tests, every layout is right."""
    spark.conf.set("spark.sql.shuffle.partitions", "3")
    yield
    spark.conf.set("spark.sql.shuffle.partitions", "1")


@pytest.mark.usefixtures("three_partitions")
def test_a_bucket_lies_in_one_partition_sorted_by_day_and_user(spark):
    events = [event(user=f"u{n}", day=d) for n in range(12) for d in (DAY, NEXT)]
    parts = built(spark, events, (DAY, NEXT), activity={"buckets": 5}).rdd.glom().collect()
    placed = [(row.bucket, n) for n, part in enumerate(parts) for row in part]
    assert len({bucket for bucket, _ in placed}) > 1
    assert len(set(placed)) == len({bucket for bucket, _ in placed})
    for part in parts:
        order = [(row.day, row.bucket, row.user_id) for row in part]
        assert order == sorted(order)


@pytest.mark.usefixtures("three_partitions")
def test_a_user_with_very_many_events_never_reaches_a_window_event_by_event(spark):
    plan = built(spark, [event()], (DAY,))._jdf.queryExecution().executedPlan().toString()
    above, below = plan.split("Exchange hashpartitioning(bucket", 1)
    assert "Window" in above and "Exchange" not in above, "one repartition serves sessions, days and files"
    first_shuffle = below.split("Exchange", 1)[1]
    assert "partial_count(1)" in first_shuffle, "events are combined per slot before they are shuffled"


EVENTS = st.lists(
    st.builds(
        lambda user, offset, minute, kind, cents, item: event(
            user, DAY + timedelta(days=offset), f"{minute // 60:02d}:{minute % 60:02d}", kind, amount_cents=cents, item_id=item
        ),
        st.sampled_from(["u", "007", "🙂"]),
        st.integers(-2, 2),
        st.one_of(st.integers(600, 760), st.integers(1400, 1439), st.integers(0, 40)),
        st.sampled_from(["view", "order", "cancel"]),
        st.one_of(st.none(), st.integers(-500, 500)),
        st.one_of(st.none(), st.sampled_from("abc")),
    ),
    min_size=15,
    max_size=60,
)


def reference(events, day):
    """Daily activity by its definition, event by event."""
    found = {}
    for user in {e["user_id"] for e in events if e["day"] == day}:
        mine = sorted((e for e in events if e["user_id"] == user), key=lambda e: e["event_time"])
        times = [e["event_time"] for e in mine]
        today = [e for e in mine if e["day"] == day]
        starts = {t for i, t in enumerate(times) if i == 0 or t - times[i - 1] > timedelta(minutes=30)}
        found[user] = (
            len(today),
            len(starts & {e["event_time"] for e in today}),
            sum(e["event_type"] == "order" for e in today),
            sum(e["amount_cents"] or 0 for e in today),
            len({e["item_id"] for e in today} - {None}),
        )
    return found


@examples(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(events=EVENTS)
def test_a_range_equals_day_by_day_and_the_definition(spark, events):
    days = (DAY - timedelta(days=1), DAY, NEXT)
    at_once = built(spark, events, days)
    one_by_one = [built(spark, events, (day,)) for day in days]
    whole = collected(at_once)
    assert whole == collected(one_by_one[0].unionByName(one_by_one[1]).unionByName(one_by_one[2]))
    for day in days:
        rows_ = [row for row in whole if row["day"] == day]
        found = {r["user_id"]: (r["events"], r["sessions"], r["orders"], r["spend_cents"], len(r["items"])) for r in rows_}
        assert found == reference(events, day)
