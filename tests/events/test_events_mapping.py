"""Ids, duplicates, zones, money: the same rows give the same events, exactly."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from ingestworld import MAP, Ingest, json_source, settings, write_lines
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from churnwatch.core import ConfigError
from churnwatch.events.instants import instant

DAY = date(2025, 3, 12)
GOOD = {"user_id": "u1", "event_time": "2025-03-12 10:00:00", "event_type": "view"}
WITH_ID = MAP | {"event_id": "id"}

IDS = [
    GOOD | {"id": "7", "event_time": "2025-03-12 11:00:00"},
    GOOD | {"id": "7"},
    GOOD | {"id": "007"},
    GOOD | {"id": str(2**63)},
    GOOD,
    GOOD,
    GOOD | {"id": " "},
]
# of the rows with the id 7 the earlier one keeps it
CONFLICTS = {"7": 10, "7#2": 11, "007": 10, str(2**63): 10}
REPEATED = [GOOD | {"user_id": f"u{n % 5}", "item_id": str(n % 3)} for n in range(30)]
AMOUNTS = {"19.99": 1999, "1.005": 101, "-0.005": -1, "0.0049999999999999": 0, "1e3": 100_000, " 2.5 ": 250, "": None}
AMOUNTS |= {str(n / 100): n for n in range(0, 3000, 7)} | {"99999999999999.99": 9999999999999999}
MONEY = [GOOD | {"amount": text, "duration_s": text.strip("-"), "item_id": text} for text in AMOUNTS]
MONEY.append(GOOD | {"amount": 19.99, "duration_s": 0.0015, "item_id": "number"})
KINDS = [GOOD | {"kind": "a"}, GOOD | {"kind": "b"}, GOOD, '{"kind": "b", ']
# one typed row, read by a source per type of its time
TYPED = """SELECT 1 AS n, 'u' AS u, TIMESTAMP'2025-03-12 10:00:00Z' AS t, TIMESTAMP_NTZ'2025-03-12 10:00:00' AS l,
                  DATE'2025-03-12' AS d, 19.99D AS m, map('a', '1', 'b', NULL) AS p, named_struct('a', 1, 'b', 'x') AS s,
                  1741773600 AS epoch"""
TIMES = {"t": ("t", "p"), "l": ("l", "s"), "d": ("d", "'{\"a\": 1}'"), "epoch": ("timestamp_seconds(epoch)", "p")}
TYPED_MAP = {"user_id": "u", "event_type": "'x'", "amount": "m", "duration_s": "n"}


def typed_source(folder, name, time, properties):
    fields = TYPED_MAP | {"event_time": time, "properties": properties}
    return {"name": name, "format": "parquet", "path": f"{folder}/typed", "time_zone": "Asia/Tokyo", "map": fields}


@pytest.fixture(scope="module")
def typed(spark, tmp_path_factory):
    """A folder with one typed row as Parquet."""
    folder = tmp_path_factory.mktemp("typed")
    spark.sql(TYPED).write.parquet(f"{folder}/typed")
    return folder


@pytest.fixture(scope="module")
def ingested(spark, typed, tmp_path_factory):
    """One ingest of a source per case: its events by source, and the gate's counts."""
    folder = tmp_path_factory.mktemp("mapping")
    shuffled = random.Random(1).sample(REPEATED, len(REPEATED))
    files = {
        f"ids_{DAY}": [*IDS, GOOD | {"id": "17"}, GOOD | {"id": "17"}],
        f"orders_{DAY}": [GOOD | {"id": "17"}],
        f"repeated_{DAY}": REPEATED,
        f"shuffled_{DAY}": shuffled[11:],
        f"shuffled_{DAY + timedelta(days=1)}": shuffled[:11],
        f"money_{DAY}": MONEY,
        f"where_{DAY}": KINDS,
    }
    for name, lines in files.items():
        write_lines(folder / f"{name}.jsonl", lines)
    sources = [json_source(folder, name, map=WITH_ID) for name in ("ids", "orders", "repeated", "shuffled", "money")]
    sources.append(json_source(folder, "where", where="kind = 'a'"))
    ingest = Ingest(spark, settings(*sources, *(typed_source(typed, name, *more) for name, more in TIMES.items())))
    counts = ingest.run(DAY - timedelta(days=1), DAY)
    events = {}
    for row in ingest.events:
        events.setdefault(row["source"], []).append(row)
    return events, counts


@pytest.mark.case(10, 25)
def test_of_one_id_on_one_day_the_earliest_keeps_it_and_true_repeats_without_id_stay_all(ingested):
    ids = {row["event_id"]: row["event_time"].hour for row in ingested[0]["ids"] if row["event_id"] != "17"}
    hashed = sorted(i for i in ids if "-" in i)
    assert {i: h for i, h in ids.items() if i not in hashed} == CONFLICTS
    assert [i[-2:] for i in hashed] == ["-1", "-2", "-3"]
    assert len({i[:-2] for i in hashed}) == 1


@pytest.mark.case(10)
def test_other_content_under_the_same_id_is_kept_and_counted(ingested):
    _, counts = ingested
    assert [counts[name]["id_conflicts"] for name in ("ids", "orders", "repeated")] == [1, 0, 0]


def test_an_id_is_unique_within_its_source(ingested):
    """An order 17 and a visit 17 are two events; the same order delivered twice is one."""
    events, counts = ingested
    assert [[row["event_id"] for row in events[name]].count("17") for name in ("ids", "orders")] == [1, 1]
    assert [counts[name]["duplicate"] for name in ("ids", "orders")] == [1, 0]


@pytest.mark.case(11)
def test_ids_do_not_depend_on_the_order_of_rows_or_files(ingested):
    one, two = ([row | {"source": None} for row in ingested[0][name]] for name in ("repeated", "shuffled"))
    assert sorted(one, key=repr) == sorted(two, key=repr)
    assert len({row["event_id"] for row in one}) == 30


@pytest.mark.case(14)
def test_text_with_an_offset_is_an_instant_and_without_one_local(spark):
    expected = {
        "2025-03-12T10:00:00Z": "2025-03-12 10:00:00",
        "2025-03-12T10:00:00.123456789+05:30": "2025-03-12 04:30:00.123456",
        "2025-03-12 10:00:00 America/New_York": "2025-03-12 14:00:00",
        "2025-03-12 10:00": "2025-03-12 09:00:00",
        "2025-03-12": "2025-03-11 23:00:00",
    }
    columns = [instant(F.lit(text), StringType(), "Europe/Berlin", "time").cast("string").alias(text) for text in expected]
    assert spark.range(1).select(*columns).first().asDict() == expected


SPRING, AUTUMN, AFTER = date(2025, 3, 30), date(2025, 10, 26), date(2025, 10, 27)


@pytest.fixture(scope="module")
def berlin(spark, tmp_path_factory):
    """Events of days in Berlin around changes of the clock; ``utc`` writes 30 hours a day, ``local`` one local time."""
    folder = tmp_path_factory.mktemp("berlin")
    for day in (SPRING, AUTUMN, AFTER):
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=3)
        hours = [GOOD | {"event_time": (midnight + timedelta(hours=h)).isoformat()} for h in range(30)]
        write_lines(folder / f"utc_{day}.jsonl", hours)
        write_lines(folder / f"local_{day}.jsonl", [GOOD | {"event_time": f"{day} 02:30:00"}])
    sources = [json_source(folder, "utc", file_days=[0]), json_source(folder, "local", time_zone="Europe/Berlin")]
    ingest = Ingest(spark, settings(*sources, clock={"time_zone": "Europe/Berlin"}))
    ingest.run(SPRING, AUTUMN, AFTER)
    return ingest.events


@pytest.mark.case(15)
def test_the_day_of_a_clock_change_has_23_or_25_hours(berlin):
    """Local days in Berlin, where 2025-03-30 and 2025-10-26 change the clock; the source writes UTC."""
    hours = [sum(row["day"] == day for row in berlin if row["source"] == "utc") for day in (SPRING, AUTUMN, AFTER)]
    assert hours == [23, 25, 24]


@pytest.mark.case(15)
def test_local_times_of_a_clock_change_are_read_by_rule(berlin):
    """02:30 is skipped on 2025-03-30 (an hour later) and shown twice on 2025-10-26 (the first)."""
    found = {row["day"]: row["event_time"].isoformat() for row in berlin if row["source"] == "local"}
    assert (found[SPRING], found[AUTUMN]) == ("2025-03-30T01:30:00", "2025-10-26T00:30:00")


def test_money_and_durations_are_exact_and_rounded_half_up_once(ingested):
    money = ingested[0]["money"]
    expected = {text.strip(): cents for text, cents in AMOUNTS.items()} | {"number": 1999}
    assert {row["item_id"] or "": row["amount_cents"] for row in money} == expected
    durations = {row["item_id"]: row["duration_ms"] for row in money}
    assert (durations["1.005"], durations["number"], durations["0.0049999999999999"]) == (1005, 2, 5)


def test_typed_columns_keep_their_meaning(ingested):
    """Parquet: TIMESTAMP is an instant, TIMESTAMP_NTZ and DATE are local; decimals, doubles, maps and structs."""
    rows = [row for name in ("t", "l", "d") for row in ingested[0][name]]
    found = {row["source"]: (row["event_time"].isoformat(), row["properties"]) for row in rows}
    assert found == {
        "t": ("2025-03-12T10:00:00", {"a": "1", "b": None}),
        "l": ("2025-03-12T01:00:00", {"a": "1", "b": "x"}),
        "d": ("2025-03-11T15:00:00", {"a": "1"}),
    }
    assert {(row["amount_cents"], row["duration_ms"]) for row in rows} == {(1999, 1000)}


@pytest.mark.case(13)
def test_epoch_numbers_are_refused_until_they_are_mapped(spark, typed, ingested):
    with pytest.raises(ConfigError, match=r"source epoch: map.event_time 'epoch' is int.*timestamp_seconds"):
        Ingest(spark, settings(typed_source(typed, "epoch", "epoch", "p"))).run(DAY)
    assert [row["event_time"] for row in ingested[0]["epoch"]] == [datetime(2025, 3, 12, 10)]


def test_where_leaves_rows_out_before_they_are_counted(ingested):
    assert ingested[1]["where"] == {
        "read": 2,
        "accepted": 1,
        "duplicate": 0,
        "rejected": 1,
        "outside_days": 0,
        "identical_across_files": 0,
        "id_conflicts": 0,
    }
