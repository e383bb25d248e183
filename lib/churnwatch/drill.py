"""An emergency drill: a wave of churn is planted into a copy of the warehouse, and the whole chain runs on the copy.

Tables are copied as shallow clones, which hold no rows of their own until they change: the cost does not grow with the
warehouse, nothing of it is written to, and the copy is removed at the end. Messages become files of the copy.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from churnwatch.activity.segments import with_segments
from churnwatch.core import ConfigError, Job, day_range, days_predicate
from churnwatch.io.store import absolute
from churnwatch.reading import Step
from churnwatch.runner import Order, Outcome, Runner
from churnwatch.settings import Settings

FIND = ("measure_activity", "raise_alerts")
ANSWER = ("build_features", "score_users", "raise_alerts", "plan_retention", "send_notifications")
PARTS = 10_000  # shares of users are told apart by so many parts of a hash
BASE = "all=all"
RECENT_DAYS = 14  # users of these days before the wave can be lost by it


@dataclass(frozen=True)
class Wave:
    """Which share of which users is lost, from ``first`` on; ``segment`` None: of the whole base."""

    first: date
    last: date
    share: float
    segment: str | None = None
    value: str | None = None

    @property
    def where(self) -> str:
        """The group that the wave is in, as warnings name it."""
        return f"{self.segment}={self.value}" if self.segment else BASE

    def __str__(self) -> str:
        return f"{self.share:.0%} of {self.where if self.segment else 'the whole base'} stay away from {self.first} on"


@dataclass
class Reached:
    """A step of the drill: the day on which it was reached (None: never), minutes of that day's run until then, and what."""

    step: str
    day: date | None = None
    minutes: float = 0.0
    what: str = ""


@dataclass
class Report:
    """How the drill went."""

    wave: Wave
    users: int
    steps: list[Reached] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every step was reached."""
        return all(step.day for step in self.steps)

    def lines(self) -> Iterator[str]:
        """The report as people read it; a day counts from the wave's first, 1."""
        yield f"planted: {self.wave} ({self.users:,} users)"
        for step in self.steps:
            when = "not reached"
            if step.day:
                when = f"day {(step.day - self.wave.first).days + 1} ({step.day}), {step.minutes:.1f} min into its run"
            yield f"{step.step:<16} {when}{': ' if step.what else ''}{step.what}"


@dataclass
class Drill:
    """A copy of a warehouse with a wave in it."""

    settings: Settings
    spark: SparkSession
    wave: Wave
    on_end: Callable[[Outcome], None] = lambda outcome: None

    def __post_init__(self) -> None:
        self._place = f"{absolute(self.settings.storage.files)}/drill/{uuid.uuid4().hex}"
        self.real = Runner(self.settings, self.spark)
        self.copy = Runner(copied(self.settings, self._place), self.spark, on_end=self.on_end)
        # groups are judged without the users' features: these are built for the day that matters alone
        self._finder = Runner(self.copy.settings, self.spark, on_end=self.on_end, jobs=tuple(map(_by_groups, self.copy.jobs)))

    def run(self) -> Report:
        """Plants the wave, plays its days until it is found, answers it, and removes the copy.

        Raises ConfigError where no user is in the segment, DataQualityError where days of the past are missing.
        """
        try:
            gone = self._lost()
            self._clone()
            self._plant(gone)
            report = Report(self.wave, gone.count())
            report.steps += self._played(gone)
        finally:
            self.copy.store.remove(self._place)
        return report

    def _clone(self) -> None:
        jobs = [job for job in self.copy.jobs if job.name in FIND + ANSWER]
        wanted = {table.name for job in jobs for table in (*job.writes, *(read.table for read in job.reads.values()))}
        for table in self.copy.tables:
            if table.name in wanted | {"job_runs"} and self.real.store.exists(table):
                self.real.store.clone(table, self.copy.store)

    def _lost(self) -> DataFrame:
        """The wave's users: one row a user; chosen by hash."""
        before = day_range(self.wave.first - timedelta(days=RECENT_DAYS), self.wave.first - timedelta(days=1))
        people = self.real.store.read(self.real.tables.daily_activity, days_predicate(before)).select("user_id").distinct()
        told = self._with_segments(people)
        if self.wave.segment:
            column = f"segment_{self.wave.segment}"
            if column not in told.columns:
                known = ", ".join(sorted(c.removeprefix("segment_") for c in told.columns if c.startswith("segment_")))
                raise ConfigError(f"--segment {self.wave.segment}: no such segment; there are: {known}")
            told = told.where(F.col(column) == F.lit(self.wave.value))
        lot = F.pmod(F.xxhash64("user_id", F.lit("drill")), F.lit(PARTS))
        gone = told.where(lot < int(self.wave.share * PARTS)).select("user_id")
        gone = self.real.store.materialise(f"{self._place}/gone", gone)
        if gone.isEmpty():
            raise ConfigError(f"nobody is lost: {self.wave}; no user of the {RECENT_DAYS} days before is in the segment")
        return gone

    def _with_segments(self, people: DataFrame) -> DataFrame:
        job = next(job for job in self.real.jobs if job.name == "measure_activity")
        step = Step(job, self.wave.first, (self.wave.first,))
        users, first_seen = (self.real.reader.cut(step, job.reads[alias]) for alias in ("users", "first_seen"))
        return with_segments(people.withColumn("day", F.lit(self.wave.first)), users, self.settings, first_seen)

    def _plant(self, gone: DataFrame) -> None:
        """Takes the users out of the copy's daily_activity from the wave's first day on."""
        table, where = self.copy.tables.daily_activity, days_predicate(day_range(self.wave.first, self.wave.last))
        self.copy.store.refresh()
        left = self.copy.store.read(table, where).join(gone, "user_id", "left_anti").select(*table.schema.names)
        self.copy.store.replace(table, left, where, {"job": "drill", "day": str(self.wave.first)})

    def _played(self, gone: DataFrame) -> Iterator[Reached]:
        started = time.monotonic()
        self._finder.run(Order(("measure_activity",), self.wave.first, self.wave.last))
        a_day = (time.monotonic() - started) / len(day_range(self.wave.first, self.wave.last))
        for day in day_range(self.wave.first, self.wave.last):
            started = time.monotonic()
            self._finder.run(Order(("raise_alerts",), day, day))
            minutes = (a_day + time.monotonic() - started) / 60
            if warnings := [text for text in self._new_warnings(day) if self._speaks_of_wave(text)]:
                yield from self._answered(gone, day, warnings, minutes)
                return
        yield from (Reached(step) for step in ("found", "explained", "owner told", "actions planned"))

    def _new_warnings(self, day: date) -> list[str]:
        """Warnings of groups and the base on ``day`` that the warehouse itself has not: 'segment=value (owner): evidence'."""
        about = "scope <> 'user'"
        keys = ["rule_id", "segment", "value"]
        ours, theirs = (
            of.store.read(of.tables.risk_alerts, f"day = DATE'{day}'").where(about) for of in (self._finder, self.real)
        )
        new = ours.join(theirs.select(*keys), keys, "left_anti").orderBy(*keys)  # bounded by rules and groups
        return [f"{r['segment']}={r['value']} ({r['owner']}): {r['evidence']}" for r in new.collect()]

    def _speaks_of_wave(self, warning: str) -> bool:
        """Whether a warning is of the base or names the wave's segment: small groups of others may fall by chance."""
        return warning.startswith(f"{BASE} ") or self.wave.where in warning

    def _answered(self, gone: DataFrame, day: date, warnings: list[str], minutes: float) -> Iterator[Reached]:
        yield Reached("found", day, minutes, "; ".join(text.split(" (")[0] for text in warnings))
        explained = next((text for text in warnings if self.wave.where in text), None)
        yield Reached("explained", day if explained else None, minutes, explained or f"no warning names {self.wave.where}")
        started = time.monotonic()
        self.copy.store.refresh()
        self.copy.run(Order(ANSWER[:-1], day, day))
        planned_after = minutes + (time.monotonic() - started) / 60
        self.copy.run(Order(ANSWER[-1:], day, day))
        told_after = minutes + (time.monotonic() - started) / 60
        tables, today = self.copy.tables, f"day = DATE'{day}'"
        tasks = self.copy.store.read(tables.notifications, today).where("kind = 'task'").select("message_id", "destination")
        sent = self.copy.store.read(tables.deliveries, today).where("outcome = 'sent'").select("message_id")
        owners = sorted({r["destination"] for r in tasks.join(sent, "message_id").collect()})  # bounded by group warnings
        yield Reached("owner told", day if owners else None, told_after, ", ".join(owners))
        actions = self.copy.store.read(tables.retention_actions, today).where("arm IS NOT NULL")
        counts = actions.join(gone.withColumn("lost", F.lit(True)), "user_id", "left").agg(F.count("*"), F.count("lost")).first()
        planned, of_wave = counts if counts else (0, 0)
        text = f"{planned:,}, of them {of_wave:,} for users of the wave"
        yield Reached("actions planned", day if planned else None, planned_after, text)


def copied(settings: Settings, place: str) -> Settings:
    """The settings of a copy under ``place``: its tables, its files, and messages into files alone."""
    storage = settings.storage.model_copy(update={"root": f"{place}/tables", "schema_name": None, "files": f"{place}/files"})
    sending = settings.sending.model_copy(update={"kind": "file", "folder": f"{place}/files/outbox"})
    return settings.model_copy(update={"storage": storage, "sending": sending})


def _by_groups(job: Job) -> Job:
    if job.name != "raise_alerts":
        return job
    features = replace(job.reads["features"], must_exist=False)
    return replace(job, reads={**job.reads, "features": features})
