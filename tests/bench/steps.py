"""The product's steps that are measured: the jobs' own pure functions, on frames of a world."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType

import warned
from churnwatch import activity, alerts, features
from churnwatch.core import Table, day_range, days_predicate
from churnwatch.features.rings import per_user_window
from churnwatch.io.store import Store
from churnwatch.settings import Settings
from churnwatch.tables import tables
from worlds import World, make

Run = Callable[[], None]


@dataclass(frozen=True)
class Step:
    """What is measured, by name, each run in turn; and frames that are written afterwards for others to read or check."""

    runs: dict[str, Run]
    answers: dict[str, DataFrame] = field(default_factory=dict)


class Bench:
    """A world and its folders, seen by one session."""

    def __init__(self, spark: SparkSession, settings: Settings, world: World, folder: Path) -> None:
        self.spark, self.settings, self.world = spark, settings, world
        self.source, self.answers = folder / "worlds" / world.name, folder / "answers" / world.name
        self.tables, self.store = tables(settings), Store(spark, settings)
        self.days = day_range(world.plan.first_day, world.last_day)

    # --- the steps, as run.py names them ----------------------------------------------------------------------------

    def world_made(self) -> Step:
        """Nothing to measure: the world is there afterwards."""
        make(self.spark, self.world, self.source)
        return Step({})

    def rollup(self) -> Step:
        """Events of all days to daily_activity."""
        daily = self._daily(self.days)
        return Step({"rollup": computed(daily)}, {"activity": daily})

    def windows(self) -> Step:
        """daily_activity to the windows of the last day."""
        frame = self._windows(self._stored_activity())
        return Step({"windows": computed(frame)}, {"windows": frame})

    def one_day(self) -> Step:
        """The last day as the flow makes it: its rollup is stored, windows come from stored days and from it."""
        today = self.days[-1:]
        daily = self._daily(today)
        before = self._stored_activity().where(F.col("day") < today[0])

        def run() -> None:
            folder = str(self.answers / "today")
            daily.write.mode("overwrite").parquet(folder)
            stored = self.spark.read.schema(daily.schema).parquet(folder)
            computed(self._windows(before.select(*daily.columns).unionByName(stored)))()

        return Step({"one_day": run}, {"one_day": self._windows(before.unionByName(daily))})

    def again(self) -> Step:
        """The windows of the last day from the raw events of all days of the longest window."""
        frame = self._windows(self._daily(self.days[-self.settings.measures.longest_window :]))
        return Step({"again": computed(frame)}, {"again": frame})

    def history(self) -> Step:
        """The last day's two jobs on Delta tables with all days stored, and with the last 91 of them."""
        short = self.days[-91:]
        return Step({"long": self._day_of(self.days, "long"), "short": self._day_of(short, "short")})

    def write_day(self) -> Step:
        """One day of daily_activity replaced in a table that holds all days."""
        table, day = self.tables.daily_activity, self.days[-1]
        stored = self._stored_activity().transform(_without_nulls)
        self._load(self.store, table, stored, days_predicate(self.days))
        rows = stored.where(F.col("day") == day)
        return Step({"write_day": lambda: self._replace(self.store, table, rows, days_predicate([day]))})

    def write_large(self) -> Step:
        """All events replaced as one range of days, and appended to a table of their own."""
        events, all_days = self._events(), days_predicate(self.days)
        replaced, appended = self._warehouse("replaced"), self._warehouse("appended")
        table = self.tables.events
        for store in (replaced, appended):
            store.create([table])
        return Step(
            {
                "append": lambda: self._append(appended, table, events),
                "replace": lambda: self._replace(replaced, table, events, all_days),
            }
        )

    def warned(self) -> Step:
        """A million users under 60 rules and the model: raise_alerts as it is stored; and the table read and written again."""
        settings = warned.with_rules(self.settings)
        t, day = tables(settings), days_predicate([warned.DAY])
        given, copied, told = (self._warehouse(name) for name in ("given", "copied", "told"))
        self._load(given, t.user_features, warned.features(self.spark, settings), day)
        self._load(given, t.user_scores, warned.scores(self.spark, settings), day)
        copied.create([t.user_features])
        empty = (t.users, t.activity_trend, t.churn_rates, t.risk_alerts, t.alert_events)
        told.create(empty)
        until = F.lit(warned.DAY).alias("until")

        def copy() -> None:
            given.refresh()
            self._replace(copied, t.user_features, given.read(t.user_features, day), day)

        def warn() -> None:
            given.refresh()
            told.refresh()
            names = ("users", "trend", "rates", "alerts", "alert_events")
            inputs = {name: told.read(table) for name, table in zip(names, empty, strict=True)}
            inputs |= {"users": inputs["users"].select("*", until), "features": given.read(t.user_features, day)}
            inputs["scores"] = given.read(t.user_scores, day)
            made = alerts.raise_alerts(inputs, (warned.DAY,), settings)
            self._replace(told, t.risk_alerts, made["risk_alerts"], day)

        return Step({"copy": copy, "warn": warn})

    # --- frames -----------------------------------------------------------------------------------------------------

    def _events(self) -> DataFrame:
        # the contract's schema: as from Delta, no file is opened to infer it
        return self.spark.read.schema(self.tables.events.schema).parquet(str(self.source / "events"))

    def _daily(self, days: tuple) -> DataFrame:
        # as the runner cuts it: the days and the one before
        events = self._events().where(days_predicate([days[0] - timedelta(days=1), *days]))
        return activity.per_user_day({"events": events}, days, self.settings)["daily_activity"]

    def _stored_activity(self) -> DataFrame:
        return self.spark.read.schema(self.tables.daily_activity.schema).parquet(str(self.answers / "activity"))

    def _windows(self, daily: DataFrame) -> DataFrame:
        wanted = self.days[-self.settings.measures.longest_window :]
        return per_user_window(daily.where(days_predicate(wanted)), self.days[-1:], self.settings)

    # --- Delta ------------------------------------------------------------------------------------------------------

    def _warehouse(self, name: str) -> Store:
        storage = self.settings.storage.model_copy(update={"root": f"{self.settings.storage.root}/{name}"})
        return Store(self.spark, self.settings.model_copy(update={"storage": storage}))

    def _day_of(self, days: tuple, name: str) -> Run:
        """Runs build_activity and build_features of the last day over a warehouse that holds ``days``."""
        store, today, t = self._warehouse(name), days[-1:], self.tables
        self._load(store, t.daily_activity, self._stored_activity().transform(_without_nulls), days_predicate(days))
        self._load(store, t.events, self._events(), days_predicate(days[-2:]))
        seen = self._stored_activity().groupBy("user_id").agg(F.min("day").alias("day"))
        self._load(store, t.first_seen, seen, days_predicate(self.days))
        store.create([t.user_features, t.users, t.consents])
        until = F.lit(days[-1]).alias("until")

        def run() -> None:
            store.refresh()
            events = store.read(t.events, days_predicate(days[-2:]))
            made = activity.per_user_day({"events": events}, today, self.settings)
            self._replace(store, t.daily_activity, made["daily_activity"], days_predicate(today))
            window = days[-self.settings.measures.longest_window :]
            inputs = {"activity": store.read(t.daily_activity, days_predicate(window))}
            for table in (t.users, t.consents, t.first_seen):
                inputs[table.name] = store.read(table).select("*", until)
            made = features.per_user(inputs, today, self.settings)
            self._replace(store, t.user_features, made["user_features"], days_predicate(today))

        return run

    def _load(self, store: Store, table: Table, frame: DataFrame, where: str) -> None:
        store.create([table])
        self._replace(store, table, frame.where(where), where)

    def _replace(self, store: Store, table: Table, frame: DataFrame, where: str) -> None:
        store.replace(table, frame, where, {"job": "bench"})

    def _append(self, store: Store, table: Table, frame: DataFrame) -> None:
        store.append(table, frame, {"job": "bench"})


def _without_nulls(daily: DataFrame) -> DataFrame:
    """The same rows, with sets that hold no nulls by their type too, as Delta wants them; files cannot tell."""
    sets = [f.name for f in daily.schema.fields if isinstance(f.dataType, ArrayType)]
    return daily.withColumns({name: F.array_compact(name) for name in sets})


def computed(frame: DataFrame) -> Run:
    """Computes every row and column of ``frame``, anew with each run, and keeps none."""
    return lambda: frame.write.format("noop").mode("overwrite").save()
