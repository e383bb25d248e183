"""Ids, duplicates, zones, money: the same rows give the same events, exactly."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from ingestworld import MAP, Ingest, json_source, settings, write_lines

from churnwatch.core import ConfigError

DAY = date(2025, 3, 12)
GOOD = {"user_id": "u1", "event_time": "2025-03-12 10:00:00", "event_type": "view"}
WITH_ID = MAP | {"event_id": "id"}


def ingested(spark, folder, lines, day=DAY, **source):
    """Events of ``lines``, written as the day's file."""
    write_lines(folder / f"log_{day}.jsonl", lines)
    clock = source.pop("clock", {})
    ingest = Ingest(spark, settings(json_source(folder, **source), clock=clock))
    ingest.run(day)
    return ingest


def test_of_one_id_on_one_day_the_earliest_stays_and_true_repeats_without_id_stay_all(spark, tmp_path):
    lines = [
        GOOD | {"id": "7", "event_time": "2025-03-12 11:00:00"},
        GOOD | {"id": "7"},
        GOOD | {"id": "007"},
        GOOD | {"id": str(2**63)},
        GOOD,
        GOOD,
        GOOD | {"id": " "},
    ]
    ingest = ingested(spark, tmp_path, lines, map=WITH_ID)
    ids = {row["event_id"]: row["event_time"].hour for row in ingest.events}
    hashed = sorted(i for i in ids if "-" in i)
    assert {i: h for i, h in ids.items() if i not in hashed} == {"7": 10, "007": 10, str(2**63): 10}
    assert [i[-2:] for i in hashed] == ["-1", "-2", "-3"]
    assert len({i[:-2] for i in hashed}) == 1


def test_an_id_is_unique_within_its_source(spark, tmp_path):
    """An order 17 and a visit 17 are two events; the same order delivered twice is one."""
    write_lines(tmp_path / f"a_{DAY}.jsonl", [GOOD | {"id": "17"}] * 2)
    write_lines(tmp_path / f"b_{DAY}.jsonl", [GOOD | {"id": "17"}])
    sources = [json_source(tmp_path, name=n, path=f"{tmp_path}/{n}_{{day}}.jsonl", map=WITH_ID) for n in "ab"]
    ingest = Ingest(spark, settings(*sources))
    counts = ingest.run(DAY)
    assert [(row["source"], row["event_id"]) for row in ingest.events] == [("a", "17"), ("b", "17")]
    assert [counts[n]["duplicate"] for n in "ab"] == [1, 0]


def test_ids_do_not_depend_on_the_order_of_rows_or_files(spark, tmp_path):
    lines = [GOOD | {"user_id": f"u{n % 5}", "item_id": str(n % 3)} for n in range(30)]
    one = ingested(spark, tmp_path / "one", lines)
    random.Random(1).shuffle(lines)
    write_lines(tmp_path / "two" / f"log_{DAY + timedelta(days=1)}.jsonl", lines[:11])
    two = ingested(spark, tmp_path / "two", lines[11:])
    assert one.events == two.events
    assert len({row["event_id"] for row in one.events}) == 30


@pytest.mark.parametrize(
    ("given", "instant"),
    [
        ("2025-03-12T10:00:00Z", "2025-03-12T10:00:00"),
        ("2025-03-12T10:00:00.123456789+05:30", "2025-03-12T04:30:00.123456"),
        ("2025-03-12 10:00:00 America/New_York", "2025-03-12T14:00:00"),
        ("2025-03-12 10:00", "2025-03-12T09:00:00"),
        ("2025-03-12", "2025-03-11T23:00:00"),
    ],
)
def test_text_with_an_offset_is_an_instant_and_without_one_local(spark, given, instant):
    from pyspark.sql import functions as F
    from pyspark.sql.types import StringType

    from churnwatch.events.instants import instant as read

    frame = spark.range(1).select(read(F.lit(given), StringType(), "Europe/Berlin", "time").cast("string").alias("t"))
    assert frame.first()["t"].replace(" ", "T") == instant


def test_the_day_of_a_clock_change_has_23_or_25_hours(spark, tmp_path):
    """Local days in Berlin, where 2025-03-30 and 2025-10-26 change the clock; the source writes UTC."""
    berlin = {"clock": {"time_zone": "Europe/Berlin"}}
    for day, hours in ((date(2025, 3, 30), 23), (date(2025, 10, 26), 25), (date(2025, 10, 27), 24)):
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=3)
        lines = [GOOD | {"event_time": (midnight + timedelta(hours=h)).isoformat()} for h in range(30)]
        ingest = ingested(spark, tmp_path / str(day), lines, day, **berlin)
        assert len(ingest.events) == hours


def test_local_times_of_a_clock_change_are_read_by_rule(spark, tmp_path):
    """02:30 is skipped on 2025-03-30 (an hour later) and shown twice on 2025-10-26 (the first)."""
    found = []
    for day in (date(2025, 3, 30), date(2025, 10, 26)):
        line = GOOD | {"event_time": f"{day} 02:30:00"}
        ingest = ingested(spark, tmp_path / str(day), [line], day, time_zone="Europe/Berlin")
        found.append(ingest.events[0]["event_time"].isoformat())
    assert found == ["2025-03-30T01:30:00", "2025-10-26T00:30:00"]


def test_money_and_durations_are_exact_and_rounded_half_up_once(spark, tmp_path):
    amounts = {"19.99": 1999, "1.005": 101, "-0.005": -1, "0.0049999999999999": 0, "1e3": 100_000, " 2.5 ": 250, "": None}
    amounts |= {str(n / 100): n for n in range(0, 3000, 7)} | {"99999999999999.99": 9999999999999999}
    lines = [GOOD | {"amount": text, "duration_s": text.strip("-"), "item_id": text} for text in amounts]
    lines.append(GOOD | {"amount": 19.99, "duration_s": 0.0015, "item_id": "number"})
    ingest = ingested(spark, tmp_path, lines)
    assert {row["item_id"] or "": row["amount_cents"] for row in ingest.events} == amounts | {"number": 1999}
    durations = {row["item_id"]: row["duration_ms"] for row in ingest.events}
    assert (durations["1.005"], durations["number"], durations["0.0049999999999999"]) == (1005, 2, 5)


def test_typed_columns_keep_their_meaning(spark, tmp_path):
    """Parquet: TIMESTAMP is an instant, TIMESTAMP_NTZ and DATE are local; decimals, doubles, maps and structs."""
    frame = spark.sql(
        """SELECT 1 AS n, 'u' AS u, TIMESTAMP'2025-03-12 10:00:00Z' AS t, TIMESTAMP_NTZ'2025-03-12 10:00:00' AS l,
                  DATE'2025-03-12' AS d, 19.99D AS m, map('a', '1', 'b', NULL) AS p, named_struct('a', 1, 'b', 'x') AS s"""
    )
    frame.write.parquet(f"{tmp_path}/typed")
    kinds = {"t": ("t", "p"), "l": ("l", "s"), "d": ("d", "'{\"a\": 1}'")}
    fields = {"user_id": "u", "event_type": "'x'", "amount": "m", "duration_s": "n"}
    sources = [
        {
            "name": name,
            "format": "parquet",
            "path": f"{tmp_path}/typed",
            "time_zone": "Asia/Tokyo",
            "map": fields | {"event_time": time, "properties": more},
        }
        for name, (time, more) in kinds.items()
    ]
    ingest = Ingest(spark, settings(*sources))
    ingest.run(date(2025, 3, 11), DAY)
    found = {row["source"]: (row["event_time"].isoformat(), row["properties"]) for row in ingest.events}
    assert found == {
        "t": ("2025-03-12T10:00:00", {"a": "1", "b": None}),
        "l": ("2025-03-12T01:00:00", {"a": "1", "b": "x"}),
        "d": ("2025-03-11T15:00:00", {"a": "1"}),
    }
    assert {(row["amount_cents"], row["duration_ms"]) for row in ingest.events} == {(1999, 1000)}


def test_epoch_numbers_are_refused_until_they_are_mapped(spark, tmp_path):
    spark.sql("SELECT 'u' AS u, 1741773600 AS t").write.parquet(f"{tmp_path}/epoch")
    source = {"name": "epoch", "format": "parquet", "path": f"{tmp_path}/epoch"}
    fields = {"user_id": "u", "event_type": "'x'"}
    with pytest.raises(ConfigError, match=r"source epoch: map.event_time 't' is int.*timestamp_seconds"):
        Ingest(spark, settings(source | {"map": fields | {"event_time": "t"}})).run(DAY)
    ingest = Ingest(spark, settings(source | {"map": fields | {"event_time": "timestamp_seconds(t)"}}))
    ingest.run(DAY)
    assert ingest.events[0]["event_time"] == datetime(2025, 3, 12, 10)


def test_where_leaves_rows_out_before_they_are_counted(spark, tmp_path):
    lines = [GOOD | {"kind": "a"}, GOOD | {"kind": "b"}, GOOD, '{"kind": "b", ']
    write_lines(tmp_path / f"log_{DAY}.jsonl", lines)
    ingest = Ingest(spark, settings(json_source(tmp_path, where="kind = 'a'")))
    assert ingest.run(DAY)["log"] == {"read": 2, "accepted": 1, "duplicate": 0, "rejected": 1, "outside_days": 0}


def test_a_range_equals_day_by_day_and_a_second_run_the_first(spark, tmp_path):
    """Five days of files with late, early, repeated, broken and far-off rows, one day without a file."""
    chance, first = random.Random(3), date(2025, 2, 26)
    days = [first + timedelta(days=n) for n in range(5)]
    for day in days:
        if day == days[3]:
            continue
        lines = []
        for n in range(60):
            late = chance.choice([-3, -2, -1, 0, 0, 0, 0, 1, 2])
            time = f"{day + timedelta(days=late)} {chance.randrange(24):02}:{chance.randrange(60):02}:00"
            row = GOOD | {"event_time": time, "user_id": f"u{n % 7}", "id": chance.choice([None, "", str(n % 9)])}
            lines.append(chance.choice([row, row, row, row, row | {"user_id": None}, row | {"event_time": None}, "{"]))
        write_lines(tmp_path / f"log_{day}.jsonl", lines * 2)
    conf = settings(json_source(tmp_path, map=WITH_ID), clock={"time_zone": "Asia/Kolkata"})
    whole, daily = Ingest(spark, conf), Ingest(spark, conf)
    whole.run(days[0], days[-1])
    once = {name: list(rows) for name, rows in whole.stored.items()}
    for day in days:
        daily.run(day)
    assert len(daily.events) > 100
    assert len({row["day"] for row in daily.events}) == 5
    assert daily.stored == whole.stored
    whole.run(days[1], days[3])
    assert whole.stored == once
