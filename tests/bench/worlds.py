"""The worlds of the benchmark: canonical events by the simulator, as Parquet by day, made once and kept."""

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from churnwatch import simulate as sim

# of a world without leavers: share of days on which a user is active, and events a user-day beyond the simulator's knob
ACTIVE_SHARE, MORE_EVENTS = 0.50, 0.8


@dataclass(frozen=True)
class World:
    """About ``millions`` of events over ``days`` days, ``a_day`` events of a user on a day with any; ids of 16 characters."""

    millions: int
    a_day: int
    days: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.millions}m-{self.a_day}-{self.days}d"

    @property
    def plan(self) -> sim.World:
        """The simulator's knobs: a steady base, so that every day costs the same whatever the length of history."""
        return sim.World(
            users=round(self.millions * 1e6 / (self.days * ACTIVE_SHARE * self.a_day)),
            days=self.days,
            start_share=1.0,
            mean_stay_days=1e6,
            trial_share=0.0,
            scare_share=0.0,
            pause_share=0.0,
            waves=(),
            events_a_day=self.a_day - MORE_EVENTS,
        )

    @property
    def last_day(self) -> date:
        """The newest day."""
        return self.plan.day(self.days)


@dataclass(frozen=True)
class Base:
    """So many users with stored features: scoring needs no events."""

    users: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.users}-users"


def make(spark: SparkSession, world: World, folder: Path) -> None:
    """Writes ``folder``/events by day, in the order of arrival, and ``folder``/items: hashes of the items.

    A world that is there is kept; a broken run leaves none.
    """
    if folder.exists():
        return
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    people = sim.people(spark, world.plan).persist()
    events = canonical(sim.clean_events(sim.active_days(people, world.plan, 1, world.days), world.plan), world.plan)
    # one file a day holds up to a million events; days are spread over the tasks of one shuffle
    events = events.repartition(min(world.days, 64), "day").sortWithinPartitions("day", "event_time")
    events.write.partitionBy("day").parquet(str(draft / "events"))
    people.unpersist()
    items = spark.read.parquet(str(draft / "events")).select("item_id").distinct()
    items.withColumn("hash", F.xxhash64("item_id")).coalesce(1).write.parquet(str(draft / "items"))
    draft.rename(folder)


def canonical(events: DataFrame, plan: sim.World) -> DataFrame:
    """The simulator's clean events with the columns and units of the table ``events``."""
    return events.select(
        F.date_add(F.lit(plan.first_day), F.col("n") - 1).alias("day"),
        "event_id",
        "user_id",
        "event_time",
        "event_type",
        F.round(F.col("amount") * 100).cast("long").alias("amount_cents"),
        F.round(F.col("duration_s") * 1000).cast("long").alias("duration_ms"),
        "item_id",
        "session_id",
        "channel",
        "properties",
        F.lit("world").alias("source"),
    )
