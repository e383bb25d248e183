"""Raw files of a world: layout, faults as planted, formats, and going on from what lies there."""

import json

import pytest
from pyspark.sql import functions as F

from churnwatch import simulate as sim
from churnwatch.core import ConfigError
from churnwatch.io.raw import simulate
from churnwatch.simulate import BROKEN, World

SHARES = {"duplicate_share": 0.02, "late_share": 0.03, "broken_share": 0.018}
WORLD = World(users=200, days=20, events_a_day=4.0, bot_share=0.1, waves=(), **SHARES)


@pytest.fixture(scope="module")
def parquet(spark, tmp_path_factory):
    """Days 1..14 and, by a second command, 15..20 of WORLD as Parquet: (folder, summaries)."""
    folder = tmp_path_factory.mktemp("world")
    first = simulate(spark, WORLD.until(14), folder / "raw")
    rest = simulate(spark, World(users=1, days=20, seed=99), folder / "raw", continue_=True)
    return folder, first, rest


def as_text(frame):
    columns = [F.col(c).cast("string") for c in (*sim.EVENT_COLUMNS[:9], "day")]
    return sorted(tuple(r) for r in frame.select(F.to_json("properties"), *columns).na.fill("").collect())


def test_two_commands_write_what_one_would(spark, parquet):
    folder, first, rest = parquet
    whole = as_text(sim.events(sim.people(spark, WORLD), WORLD, 1, 20))
    assert as_text(spark.read.parquet(f"{folder}/raw/events")) == whole
    assert (first["days"], rest["days"]) == (14, 6)
    assert first["rows"] + rest["rows"] == len(whole)


def test_a_folder_a_day_and_no_other(parquet):
    folder, *_ = parquet
    assert sorted(p.name for p in (folder / "raw" / "events").glob("day=*")) == [f"day={WORLD.day(n)}" for n in range(1, 21)]


def test_faults_lie_in_the_shares_that_were_planted(spark):
    world = World(users=400, days=40, waves=(), **SHARES)
    frame = sim.events(sim.people(spark, world), world, 1, world.days)
    own = F.date_diff("day", F.to_date("event_time"))
    row = frame.agg(
        F.count_if(F.expr("kind = 'event'")).alias("events"),
        F.count_if(F.expr("kind = 'duplicate'")).alias("duplicates"),
        F.count_if(F.col("kind").isin(*BROKEN)).alias("broken"),
        F.count_if((F.col("kind") == "event") & (own == 1)).alias("late"),
        F.count_if((F.col("kind") == "event") & ~own.isin(0, 1)).alias("astray"),
        F.collect_set("kind").alias("kinds"),
    ).first()
    assert row.duplicates / row.events == pytest.approx(0.02, rel=0.15)
    assert row.broken / row.events == pytest.approx(0.018, rel=0.15)
    assert row.late / row.events == pytest.approx(0.03, rel=0.15)
    assert row.astray == 0
    assert set(row.kinds) == {"event", "duplicate", *BROKEN}


def test_a_duplicate_is_the_same_row_again(spark, parquet):
    folder, first, rest = parquet
    events = spark.read.parquet(f"{folder}/raw/events").where("event_id IS NOT NULL")
    twice = events.groupBy("event_id").agg(
        F.count(F.lit(1)).alias("rows"), F.countDistinct("user_id", "event_time", "event_type").alias("versions")
    )
    row = twice.agg(
        F.count_if(F.expr("rows = 2")).alias("pairs"), F.max("rows").alias("most"), F.max("versions").alias("versions")
    ).first()
    # a late copy of the last day lies in a file that is not written yet
    assert 0 <= first["duplicates"] + rest["duplicates"] - row.pairs <= 10
    assert (row.most, row.versions) == (2, 1)


def test_bots_never_rest(spark, parquet):
    folder, *_ = parquet
    bots = [r.user_id for r in spark.read.parquet(f"{folder}/truth/users").where("bot").collect()]
    assert bots
    events = spark.read.parquet(f"{folder}/raw/events").where("event_id NOT LIKE 'x%'")
    of_bots = events.where(F.col("user_id").isin(bots)).groupBy("user_id", F.to_date("event_time")).count()
    assert of_bots.agg(F.min("count")).first()[0] > 60


def test_people_and_market_lie_beside_the_events(spark, parquet):
    folder, *_ = parquet
    users = spark.read.parquet(f"{folder}/raw/users")
    assert users.columns == ["user_id", "registered_on", "changed_at", "region", "plan"]
    assert users.agg(F.max(F.to_date("changed_at"))).first()[0] <= WORLD.day(20)
    consents = spark.read.parquet(f"{folder}/raw/consents")
    assert {r[0] for r in consents.select("purpose").distinct().collect()} == {"contact", "profiling"}
    assert spark.read.parquet(f"{folder}/raw/context").where("day > DATE'2025-01-25'").count() == 0


def test_the_truth_lies_elsewhere_and_keeps_the_knobs(parquet):
    folder, *_ = parquet
    kept, runs = World.from_json((folder / "truth" / "world.json").read_text())
    assert kept == WORLD
    assert [(r.first, r.last, r.actions_until) for r in runs] == [(1, 14, None), (15, 20, None)]
    assert not list((folder / "raw").rglob("*truth*"))


def test_nothing_to_continue_is_said(spark, parquet, tmp_path):
    folder, *_ = parquet
    with pytest.raises(ConfigError, match="no world to continue"):
        simulate(spark, WORLD, tmp_path / "raw", continue_=True)
    with pytest.raises(ConfigError, match="up to 20 already"):
        simulate(spark, WORLD, folder / "raw", continue_=True)


def test_json_lines_hold_the_same_rows_and_cut_lines_break(spark, tmp_path):
    world = WORLD.until(6)
    simulate(spark, world, tmp_path / "raw", format="json")
    lines = [(p.parent.name, line) for p in (tmp_path / "raw" / "events").rglob("*.txt") for line in p.read_text().splitlines()]
    whole, broken = [], 0
    for _, line in lines:
        try:
            whole.append(json.loads(line))
        except json.JSONDecodeError:
            broken += 1
    kinds = {r.kind: r["count"] for r in sim.events(sim.people(spark, world), world, 1, 6).groupBy("kind").count().collect()}
    assert broken == kinds["cut_row"]
    assert len(lines) == sum(kinds.values())
    good = [r for r in whole if not r["event_id"].startswith("x")]
    assert all(r["event_time"].endswith("Z") and r["user_id"] for r in good)


def test_csv_holds_properties_as_json(spark, tmp_path):
    summary = simulate(spark, WORLD.until(6), tmp_path / "raw", format="csv")
    read = spark.read.option("header", True).option("escape", '"').csv(f"{tmp_path}/raw/events")
    with_properties = read.where("event_type IN ('rating', 'complaint') AND event_id NOT LIKE 'x%'")
    names = {n for r in with_properties.collect() for n in json.loads(r.properties)}
    assert names == {"stars", "topic"}
    assert read.count() == summary["rows"]
