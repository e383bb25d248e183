"""An emergency drill: plant a wave of churn into a copy of the warehouse, and run the flow on the copy.

Tables are copied as shallow clones, which refer to the files of the warehouse: the cost does not grow with its size, and the
warehouse is never written to. The copy is removed at the end. Messages are written as files of the copy, never sent.
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
from churnwatch.io import definitions
from churnwatch.io.staging import absolute
from churnwatch.reading import Step
from churnwatch.runner import Order, Outcome, Runner
from churnwatch.settings import Settings

FIND = ("measure_activity", "raise_alerts")
ANSWER = ("build_features", "score_users", "raise_alerts", "plan_retention", "write_messages", "send_messages")
PARTS = 10_000  # a share of users is a number of these parts of a hash
BASE = "all=all"  # all users, as warnings name them
RECENT_DAYS = 14  # users who were active in these days before the wave can be part of it


@dataclass(frozen=True)
class Wave:
    """The share of users that is lost from ``first`` on; of the group ``segment`` = ``value``, or of all users (None)."""

    first: date
    last: date
    share: float
    segment: str | None = None
    value: str | None = None

    @property
    def where(self) -> str:
        """The group of the wave, as warnings name it."""
        return f"{self.segment}={self.value}" if self.segment else BASE

    def __str__(self) -> str:
        return f"{self.share:.0%} of {self.where if self.segment else 'the whole base'} stay away from {self.first} on"


@dataclass
class Milestone:
    """A milestone of the drill: the day on which it was reached (None: never), the minutes of that day's run until then, and
    the warnings, owners or actions that reached it."""

    name: str
    day: date | None = None
    minutes: float = 0.0
    detail: str = ""


@dataclass
class Report:
    """Result of a drill: the wave, its number of users, and the milestones."""

    wave: Wave
    users: int
    milestones: list[Milestone] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every milestone was reached."""
        return all(milestone.day for milestone in self.milestones)

    def lines(self) -> Iterator[str]:
        """The report for people. Days are counted from the first day of the wave, which is day 1."""
        yield f"planted: {self.wave} ({self.users:,} users)"
        for one in self.milestones:
            when = "not reached"
            if one.day:
                when = f"day {(one.day - self.wave.first).days + 1} ({one.day}), {one.minutes:.1f} min into its run"
            yield f"{one.name:<16} {when}{': ' if one.detail else ''}{one.detail}"


@dataclass
class Drill:
    """A copy of a warehouse with a wave of churn in it; ``on_end`` is called with how each step of its runs ended."""

    settings: Settings
    spark: SparkSession
    wave: Wave
    on_end: Callable[[Outcome], None] = lambda outcome: None

    def __post_init__(self) -> None:
        self._place = f"{absolute(self.settings.storage.files)}/drill/{uuid.uuid4().hex}"
        self.real = Runner(self.settings, self.spark)
        self.copy = Runner(copied(self.settings, self._place), self.spark, on_end=self.on_end)
        # group warnings need no features of users: these are built only for the day on which the wave is found
        self._finder = Runner(self.copy.settings, self.spark, on_end=self.on_end, jobs=tuple(map(_by_groups, self.copy.jobs)))

    def run(self) -> Report:
        """Plant the wave, run its days until a warning finds it, run the retention jobs of that day, and remove the copy.

        Raises ConfigError when the wave has no users, DataQualityError when days of the past are missing.
        """
        try:
            self.real.ledger.refresh()  # which versions of tables are whole
            gone = self._lost()
            definitions.create_schema(self.copy.store)
            self._clone()
            self._plant(gone)
            report = Report(self.wave, gone.count())
            report.milestones += self._played(gone)
        finally:
            definitions.drop_schema(self.copy.store)
            self.copy.store.remove(self._place)
        return report

    def _clone(self) -> None:
        jobs = [job for job in self.copy.jobs if job.name in FIND + ANSWER]
        wanted = {table.name for job in jobs for table in (*job.writes, *(read.table for read in job.reads.values()))}
        for table in self.copy.tables:
            if table.name in wanted | {"job_runs"} and self.real.store.exists(table):
                self.real.store.clone(table, self.copy.store)

    def _lost(self) -> DataFrame:
        """Users of the wave: one row a user; chosen by hash."""
        before = day_range(self.wave.first - timedelta(days=RECENT_DAYS), self.wave.first - timedelta(days=1))
        people = self.real.store.read(self.real.tables.daily_activity, days_predicate(before)).select("user_id").distinct()
        segmented = self._with_segments(people)
        if self.wave.segment:
            column = f"segment_{self.wave.segment}"
            if column not in segmented.columns:
                known = ", ".join(sorted(c.removeprefix("segment_") for c in segmented.columns if c.startswith("segment_")))
                raise ConfigError(f"--segment {self.wave.segment}: no such segment; there are: {known}")
            segmented = segmented.where(F.col(column) == F.lit(self.wave.value))
        lot = F.pmod(F.xxhash64("user_id", F.lit("drill")), F.lit(PARTS))
        gone = segmented.where(lot < int(self.wave.share * PARTS)).select("user_id")
        gone = self.real.store.materialise(f"{self._place}/gone", gone)
        if gone.isEmpty():
            raise ConfigError(
                f"the wave has no users: {self.wave}; none who was active in the {RECENT_DAYS} days before is in the segment\n"
                "Hint: give a larger --share or another --segment"
            )
        return gone

    def _with_segments(self, people: DataFrame) -> DataFrame:
        job = next(job for job in self.real.jobs if job.name == "measure_activity")
        step = Step(job, self.wave.first, (self.wave.first,))
        users, first_seen = (self.real.reader.cut(step, job.reads[alias]) for alias in ("users", "first_seen"))
        return with_segments(people.withColumn("day", F.lit(self.wave.first)), users, self.settings, first_seen)

    def _plant(self, gone: DataFrame) -> None:
        """Remove the users from the copy's daily_activity, from the first day of the wave on."""
        table, where = self.copy.tables.daily_activity, days_predicate(day_range(self.wave.first, self.wave.last))
        self.copy.store.refresh()
        left = self.copy.store.read(table, where).join(gone, "user_id", "left_anti").select(*table.schema.names)
        self.copy.store.replace(table, left, where, {"job": "drill", "day": str(self.wave.first)})

    def _played(self, gone: DataFrame) -> Iterator[Milestone]:
        # take over: claims of runs that are under way in the warehouse are copied with job_runs, and do not concern the copy
        started = time.monotonic()
        self._finder.run(Order(("measure_activity",), self.wave.first, self.wave.last, take_over=True))
        a_day = (time.monotonic() - started) / len(day_range(self.wave.first, self.wave.last))
        for day in day_range(self.wave.first, self.wave.last):
            started = time.monotonic()
            self._finder.run(Order(("raise_alerts",), day, day, take_over=True))
            minutes = (a_day + time.monotonic() - started) / 60
            if warnings := [text for text in self._new_warnings(day) if self._names_wave(text)]:
                yield from self._answered(gone, day, warnings, minutes)
                return
        yield from (Milestone(name) for name in ("found", "explained", "owner informed", "actions planned"))

    def _new_warnings(self, day: date) -> list[str]:
        """Group and base warnings of ``day`` that only the copy raises: 'segment=value (owner): evidence'."""
        about = "scope <> 'user'"
        keys = ["rule_id", "segment", "value"]
        ours, theirs = (
            of.store.read(of.tables.risk_alerts, f"day = DATE'{day}'").where(about) for of in (self._finder, self.real)
        )
        new = ours.join(theirs.select(*keys), keys, "left_anti").orderBy(*keys)  # bounded by rules and groups
        return [f"{r['segment']}={r['value']} ({r['owner']}): {r['evidence']}" for r in new.collect()]

    def _names_wave(self, warning: str) -> bool:
        """Whether a warning is about all users or about the wave's group. Other small groups may fall by chance."""
        return warning.startswith(f"{BASE} ") or self.wave.where in warning

    def _answered(self, gone: DataFrame, day: date, warnings: list[str], minutes: float) -> Iterator[Milestone]:
        yield Milestone("found", day, minutes, "; ".join(text.split(" (")[0] for text in warnings))
        explained = next((text for text in warnings if self.wave.where in text), None)
        yield Milestone("explained", day if explained else None, minutes, explained or f"no warning names {self.wave.where}")
        started = time.monotonic()
        self.copy.store.refresh()
        self.copy.run(Order(ANSWER[:-2], day, day, take_over=True))
        planned_after = minutes + (time.monotonic() - started) / 60
        self.copy.run(Order(ANSWER[-2:], day, day, take_over=True))
        informed_after = minutes + (time.monotonic() - started) / 60
        tables, today = self.copy.tables, f"day = DATE'{day}'"
        tasks = self.copy.store.read(tables.notifications, today).where("kind = 'task'").select("message_id", "destination")
        sent = self.copy.store.read(tables.deliveries, today).where("outcome = 'sent'").select("message_id")
        owners = sorted({r["destination"] for r in tasks.join(sent, "message_id").collect()})  # bounded by group warnings
        yield Milestone("owner informed", day if owners else None, informed_after, ", ".join(owners))
        actions = self.copy.store.read(tables.retention_actions, today).where("arm IS NOT NULL")
        counts = actions.join(gone.withColumn("lost", F.lit(True)), "user_id", "left").agg(F.count("*"), F.count("lost")).first()
        planned, of_wave = counts if counts else (0, 0)
        text = f"{planned:,}, of them {of_wave:,} for users of the wave"
        yield Milestone("actions planned", day if planned else None, planned_after, text)


def copied(settings: Settings, place: str) -> Settings:
    """Settings of a copy: tables under ``place``, or in a schema of their own beside that of a catalog; files under ``place``.

    Messages are only written to files.
    """
    catalog = settings.storage.schema_name
    schema = f"{catalog}_drill_{place.rpartition('/')[2]}" if catalog else None
    tables = {"root": None if catalog else f"{place}/tables", "schema_name": schema}
    storage = settings.storage.model_copy(update={**tables, "files": f"{place}/files"})
    sending = settings.sending.model_copy(update={"kind": "file", "folder": f"{place}/files/outbox"})
    return settings.model_copy(update={"storage": storage, "sending": sending})


def _by_groups(job: Job) -> Job:
    if job.name != "raise_alerts":
        return job
    features = replace(job.reads["features"], must_exist=False)
    return replace(job, reads={**job.reads, "features": features})
