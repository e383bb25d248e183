"""Daily activity: measures of hand-made events, sessions, the layout."""

from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from pyspark.sql import functions as F
from rollupworld import DAY, NEXT, built, event

from churnwatch.activity import per_user_day
from churnwatch.activity.cutting import only_small_values, with_parts
from churnwatch.activity.rollup import earlier
from churnwatch.core import ConfigError
from churnwatch.settings.names import definition_column
from smallworld import at, collected, contracts, rows, settings


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


def test_sessions(spark):
    # case: times of the day before, times of the day, sessions of the day
    cases = {
        "a pause of exactly the gap goes on": ([], ["10:00", "10:30"], 1),
        "a longer one does not": ([], ["10:00", "10:30:01"], 2),
        "nor one that is a little longer": ([], ["10:31", "11:15"], 2),
        "no pause counts from the first event": ([], ["10:01", "10:29", "10:31", "10:59", "11:29"], 1),
        "over midnight it belongs to the day it started on": (["23:45"], ["00:10", "09:00"], 1),
        "an evening too early does not go on": (["23:20"], ["00:10", "09:00"], 2),
    }
    events = [event(case, DAY, t) for case, (yesterday, _, _) in cases.items() for t in yesterday]
    events += [event(case, NEXT, t) for case, (_, times, _) in cases.items() for t in times]
    found = {row.user_id: row.sessions for row in built(spark, events, (NEXT,)).collect()}
    assert found == {case: sessions for case, (_, _, sessions) in cases.items()}


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


def test_a_value_is_scaled_before_it_is_rounded_and_what_is_no_number_is_left_out(spark):
    kilobytes = {"kind": "sum", "of": "try_cast(properties['megabytes'] AS double)", "scale": 1000}
    stars = {"kind": "max", "of": "properties['stars']", "scale": 10}
    events = [
        *(event(time=f"{hour:02d}:30", properties={"megabytes": "0.4"}) for hour in range(22)),
        event(time="10:00", properties={"stars": "4.5"}),
        event(time="15:00", properties={"stars": "NaN", "megabytes": "NaN"}),
        event(time="16:00", properties={"stars": "good", "megabytes": "much"}),
    ]
    changes = {"measures": {"measures": {"kilobytes": kilobytes, "stars": stars}, "ratios": {}}}
    (row,) = built(spark, events, (DAY,), **changes).collect()
    assert (row.kilobytes, row.stars) == (8800, 45)


@pytest.mark.parametrize("kind", ["sum", "min", "max", "last"])
def test_fractions_without_a_scale_stop_the_rollup(spark, kind):
    # of a function that only Spark knows, so that the settings pass
    measures = {"half": {"kind": kind, "of": "double(amount_cents) / 2"}}
    with pytest.raises(ConfigError, match="measure half: .* is of type double, whose fractions would be rounded away. Hint: "):
        built(spark, [event()], (DAY,), measures={"measures": measures, "ratios": {}})


def test_the_last_value_is_the_latest_and_of_one_instant_the_larger(spark):
    measures = {"balance": {"kind": "last", "of": "amount_cents", "where": "event_type <> 'cancel'"}}
    events = [
        event(time="10:00", amount_cents=900),
        event(time="15:00", amount_cents=-7), event(time="15:00", amount_cents=-8),
        # neither an event without a value, nor one that is not meant
        event(time="16:00"), event(time="17:00", kind="cancel", amount_cents=5),
        event("nothing"),
    ]  # fmt: skip
    made = built(spark, events, (DAY,), measures={"measures": measures, "ratios": {}})
    assert {row.user_id: row.balance for row in made.collect()} == {"u": -7, "nothing": None}


def every_half_hour(day, zone):
    """An event in each half hour of a business day: in the first instant of an hour, and in the last minute of it."""
    ends = (datetime(d.year, d.month, d.day, tzinfo=ZoneInfo(zone)).astimezone(UTC) for d in (day, day + timedelta(days=1)))
    start, end = ends
    times = [start + timedelta(minutes=30 * n + 29 * (n % 2)) for n in range(int((end - start) / timedelta(minutes=30)))]
    return [{**event("all day", day), "event_time": time} for time in times]


ALL_HOURS, SPRING, AUTUMN = (1 << 24) - 1, date(2024, 3, 31), date(2024, 10, 27)


@pytest.mark.case(15)
@pytest.mark.parametrize(
    ("zone", "gap", "day", "events", "hours"),
    [
        pytest.param("UTC", 30, DAY, 48, ALL_HOURS, id="24 hours"),
        pytest.param("Europe/Berlin", 30, SPRING, 46, ALL_HOURS & ~(1 << 2), id="23 hours: two o'clock does not come"),
        pytest.param("Europe/Berlin", 30, AUTUMN, 50, ALL_HOURS, id="25 hours: two o'clock comes twice"),
        pytest.param("Asia/Kathmandu", 50, DAY, 48, ALL_HOURS, id="hours that begin at a quarter past"),
    ],
)
def test_hours_are_local_and_bots_are_flagged(spark, zone, gap, day, events, hours):
    # 00:00, 01:30 (01:00 with the second pass) and 23:59 of the wall; the first and the last lie in other days of UTC
    walls = [datetime(day.year, day.month, day.day, *wall, tzinfo=ZoneInfo(zone)) for wall in ((0, 0), (1, 30), (23, 59))]
    few = [{**event("few", day), "event_time": wall.astimezone(UTC)} for wall in walls]
    changes = {"clock": {"time_zone": zone}, "activity": {"buckets": 2, "session_gap_minutes": gap}}
    made = built(spark, every_half_hour(day, zone) + few, (day,), measures={"bots": {"events_a_day": 3}}, **changes)
    assert {row.user_id: (row.events, row.hours, row.bot) for row in made.collect()} == {
        "all day": (events, hours, True),
        "few": (3, 1 << 0 | 1 << 1 | 1 << 23, False),
    }


@pytest.mark.parametrize(
    ("bots", "flagged"),
    [
        pytest.param({}, set(), id="no limit, no bot"),
        pytest.param({"hours_a_day": 22}, {"22 hours"}, id="22 hours or more"),
        pytest.param({"hours_a_day": 22, "events_a_day": 43}, {"22 hours", "44 events"}, id="either limit"),
    ],
)
def test_a_day_above_a_limit_is_a_bots(spark, bots, flagged):
    events = [event("22 hours", time=f"{hour:02d}:30") for hour in range(22)]
    # as many events as hours would take, but in 21 of them; and many in two hours
    events += [event("21 hours", time=f"{hour:02d}:{minute}") for hour in range(3, 24) for minute in (10, 50)]
    events += [event("44 events", time=f"{hour}:{minute}") for hour in (11, 12) for minute in range(10, 32)]
    made = built(spark, events, (DAY,), measures={"bots": bots})
    assert {row.user_id for row in made.collect() if row.bot} == flagged


@contextmanager
def spark_setting(spark, name, value):
    """With a setting of Spark changed."""
    before = spark.conf.get(f"spark.sql.{name}")
    spark.conf.set(f"spark.sql.{name}", value)
    try:
        yield
    finally:
        spark.conf.set(f"spark.sql.{name}", before)


@pytest.fixture
def three_partitions(spark):
    """With one shuffle partition, as in all other tests, every layout is right."""
    with spark_setting(spark, "shuffle.partitions", "3"):
        yield


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


@pytest.mark.case(26)
@pytest.mark.usefixtures("three_partitions", "spark_defaults")
def test_a_user_with_very_many_events_never_reaches_a_window_event_by_event(spark):
    plan = built(spark, [event()], (DAY,))._jdf.queryExecution().executedPlan().toString()
    above, below = plan.split("Exchange hashpartitioning(bucket", 1)
    assert above.count("Window [") == 1, "sessions, and what is cut of distinct values, share it"
    assert "Window" in above and "Exchange" not in above, "one repartition serves sessions, days and files"
    first_shuffle = below.split("Exchange", 1)[1]
    assert "partial_count(1)" in first_shuffle, "events are combined per slot before they are shuffled"
    paths = {"measures": {"left": {"kind": "transition", "of": "item_id", "from": "a"}}, "ratios": {}}
    plan = built(spark, [event()], (DAY,), measures=paths)._jdf.queryExecution().executedPlan().toString()
    (above,) = plan.split("Exchange hashpartitioning(bucket")[:-1]
    assert above.count("Sort [user_hash") == 1, "and paths"
    steps = [line for line in plan.splitlines() if "Exchange" in line and "_path" in line]
    assert len(steps) == 1 and "slot" in steps[0], "minutes of a user lie apart"


MANY = 200_000


@pytest.fixture
def many_items(spark):
    """(id, hash) of very many items, in an order of chance; of so many rows compiling is cheaper than interpreting."""
    with spark_setting(spark, "codegen.factoryMode", "FALLBACK"):
        yield spark.range(MANY).selectExpr("id", "xxhash64(concat('i', id)) AS hash")


@pytest.mark.case(26)
def test_a_bot_with_very_many_values_keeps_the_smallest_as_everybody_does(spark, many_items):
    contract, small = contracts().events, settings(activity={"buckets": 2, "distinct_cap": 3})
    few = [event("bot", NEXT, f"{n:02d}:00", item_id=f"few {n}") for n in range(9)]
    few += [event("person", item_id=f"i{n}") for n in range(9)]
    many = many_items.selectExpr(
        f"DATE'{DAY}' AS day", "'bot' AS user_id", "'view' AS event_type", "concat('i', id) AS item_id",
        "timestamp_seconds(unix_timestamp(DATE'2024-02-29') + id % 86400) AS event_time",
    )  # fmt: skip
    events = rows(spark, contract, few).unionByName(many, allowMissingColumns=True)
    found = {
        (r["user_id"], r["day"]): r for r in per_user_day({"events": events}, (DAY, NEXT), small)["daily_activity"].collect()
    }
    smallest = [row["hash"] for row in many_items.orderBy("hash").limit(3).collect()]
    assert (found["bot", DAY]["events"], found["bot", DAY]["items"]) == (MANY, smallest)
    # a new day begins anew: its few values are not measured by the day before, nor by another user's
    assert [len(found[key]["items"]) for key in (("bot", NEXT), ("person", DAY))] == [3, 3]


def test_few_of_very_many_values_are_collected(many_items):
    slots = many_items.selectExpr("0 AS bucket", "0 AS user_hash", "'bot' AS user_id", "id AS first_time", "hash AS items")
    capped = settings(activity={"buckets": 2, "distinct_cap": 3})
    slots = slots.withColumn("day", F.lit(DAY)).transform(with_parts, capped)
    assert 3 < only_small_values(slots, earlier(), capped).agg(F.count("items")).first()[0] < MANY / 5
    # as many as the cap allows are never touched
    some = only_small_values(slots.limit(200), earlier(), settings()).agg(F.count("items"))
    assert some.first()[0] == 200


def random_events(seed, users=90):
    """Events of many users on five days: around noon, late in the evening and early in the morning."""
    chance = Random(seed)
    for number in range(users):
        for _ in range(chance.randint(5, 30)):
            minute = chance.choice([chance.randint(600, 760), chance.randint(1400, 1439), chance.randint(0, 40)])
            yield event(
                f"{chance.choice(['u', '007', '🙂'])} {number}",
                DAY + timedelta(days=chance.randint(-2, 2)),
                f"{minute // 60:02d}:{minute % 60:02d}",
                chance.choice(["view", "order", "cancel"]),
                amount_cents=chance.choice([None, chance.randint(-500, 500)]),
                item_id=chance.choice([None, *"abc"]),
            )


PATHS = {"kind": "transition", "of": "item_id"}
MEASURES = {
    "orders": {"kind": "count", "where": "event_type = 'order'"},
    "spend_cents": {"kind": "sum", "of": "amount_cents"},
    "items": {"kind": "distinct", "of": "item_id"},
    "balance": {"kind": "last", "of": "amount_cents"},
    "a_to_b": {**PATHS, "from": "a", "to": "b"},
    "began_at_a": {**PATHS, "to": "a"},
    "left_at_c": {**PATHS, "from": "c"},
}
GAP = timedelta(minutes=30)


def reference(events, day, rank, acts):
    """Daily activity by its definition, event by event; ``rank`` orders steps of one instant."""
    found = {}
    for user in {e["user_id"] for e in events if e["day"] == day}:
        mine = sorted((e for e in events if e["user_id"] == user), key=lambda e: e["event_time"])
        times = [e["event_time"] for e in mine if e["event_type"] in acts]
        today = [e for e in mine if e["day"] == day]
        acted = [e for e in today if e["event_type"] in acts]
        starts = {t for i, t in enumerate(times) if i == 0 or t - times[i - 1] > GAP}
        steps = sorted((e["event_time"], rank[e["item_id"]], e["item_id"], e["day"]) for e in mine if e["item_id"])
        pairs = [(b, a[2] if a and b[0] - a[0] <= GAP else None) for a, b in zip([None, *steps], steps, strict=False)]
        moves = [(before, step[2]) for step, before in pairs if step[3] == day]
        latest = (
            max((e["event_time"], e["amount_cents"]) for e in today if e["amount_cents"] is not None)
            if any(e["amount_cents"] is not None for e in today)
            else (None, None)
        )
        found[user] = {
            "events": len(today),
            "acts": len(acted),
            "sessions": len(starts & {e["event_time"] for e in acted}),
            "orders": sum(e["event_type"] == "order" for e in today),
            "spend_cents": sum(e["amount_cents"] or 0 for e in today),
            "items": len({e["item_id"] for e in today} - {None}),
            "hours": sum(1 << hour for hour in {e["event_time"].hour for e in acted}),
            "bot": len(acted) > 5 or len({e["event_time"].hour for e in acted}) >= 3,
            "balance": latest[1],
            "a_to_b": moves.count(("a", "b")),
            "began_at_a": moves.count((None, "a")),
            "left_at_c": broken_off(steps, "c", day) - broken_off(steps, "c", day - timedelta(days=1)),
        }
    return found


def broken_off(steps, item, day):
    """How many steps ``item`` up to the end of ``day`` had no step after them within the gap, as known then."""
    known = [s for s in steps if s[3] <= day]
    return sum(a[2] == item and (b is None or b[0] - a[0] > GAP) for a, b in zip(known, [*known, None][1:], strict=True))


@pytest.mark.parametrize("acts", [None, ["view", "order"]], ids=["all are acts", "cancel is no act"])
def test_a_range_equals_day_by_day_and_the_definition(spark, acts):
    events, days = list(random_events(5)), (DAY - timedelta(days=1), DAY, NEXT)
    changes = {"measures": MEASURES, "ratios": {}, "bots": {"events_a_day": 5, "hours_a_day": 3}, "acts": acts}
    # rows in another order, and cut in other ways: the same bytes
    with spark_setting(spark, "shuffle.partitions", "3"):
        whole = collected(built(spark, events[::-1], days, measures=changes))
    one_by_one = [built(spark, events, (day,), measures=changes) for day in days]
    assert whole == collected(one_by_one[0].unionByName(one_by_one[1]).unionByName(one_by_one[2]))
    rank = spark.sql("SELECT xxhash64('a') AS a, xxhash64('b') AS b, xxhash64('c') AS c").first().asDict()
    for day in days:
        expected = reference(events, day, rank, acts or ["view", "order", "cancel"])
        rows_ = {row["user_id"]: {**row, "items": len(row["items"])} for row in whole if row["day"] == day}
        assert {user: {name: rows_[user][name] for name in values} for user, values in expected.items()} == expected
        assert rows_.keys() == expected.keys()
