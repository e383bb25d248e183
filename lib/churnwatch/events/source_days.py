"""Count the rows of each source by day, hour and null field, and compare a day with what is usual of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.core.job import Frames
from churnwatch.settings import EventSource, Settings, Source

# mapped field -> column of an event; the others are never null
NULLABLE = {
    "amount": "amount_cents",
    "duration_s": "duration_ms",
    "item_id": "item_id",
    "session_id": "session_id",
    "channel": "channel",
    "properties": "properties",
}
OWN_FIELDS = ("registered_on", "changed_at", "value")  # of statements; further mapped fields of users are attributes
NULL_SHARE_DAYS, FEWEST_DAYS, FEWEST_ROWS = 7, 3, 20  # a usual share of nulls: the median of 7 days, of at least 3
USUAL_WEEKS, FEWEST_WEEKS, USUAL_EVENTS = 4, 2, 20  # an hour is expected where its median of 4 weeks is 20 events or more


def count_source_days(events: DataFrame, statements: DataFrame, settings: Settings) -> DataFrame:
    """Count the accepted rows of each source and day: a row per (day, source)."""
    local = F.from_utc_timestamp("event_time", settings.clock.time_zone)
    of_events = _counted(
        events,
        F.hour(local),
        {name: F.col(column) for name, column in NULLABLE.items()},
        {source.name: list(source.map) for source in settings.sources.events},
    )
    sources: list[Source] = [s for s in (settings.sources.users, settings.sources.consents, settings.sources.context) if s]
    fields = {name: F.col(name) for name in OWN_FIELDS}
    if users := settings.sources.users:
        attributes = [name for name in users.map if name not in ("user_id", *OWN_FIELDS)]
        fields |= {name: F.col("attributes")[name] for name in attributes}
    # a run takes older statements in on its first day, whatever that is: they are left out, so that a range counts as days do
    of_the_day = statements.where("stated_on IS NULL OR stated_on = day")
    of_statements = _counted(of_the_day, F.lit(None).cast("int"), fields, {source.name: list(source.map) for source in sources})
    return of_events.unionByName(of_statements)


def _counted(rows: DataFrame, hour: Column, fields: Mapping[str, Column], mapped: Mapping[str, Sequence[str]]) -> DataFrame:
    """Count ``rows`` by day and source; ``mapped``: the fields that each source maps."""
    accepted = rows.where(F.col("verdict") == "accepted")
    names = {name: f"n{index}" for index, name in enumerate(fields)}
    hourly = accepted.groupBy("day", "source", hour.alias("hour")).agg(
        F.count(F.lit(1)).alias("rows"), *(F.count_if(value.isNull()).alias(names[name]) for name, value in fields.items())
    )
    nulls = F.lit(None).cast("map<string,bigint>")
    for source, own in mapped.items():
        if pairs := [part for name in fields if name in own for part in (F.lit(name), F.sum(names[name]))]:
            # the source is part of the grain, so that any of its values is the one
            nulls = F.when(F.first("source") == source, F.create_map(*pairs)).otherwise(nulls)
    hours = F.collect_list(F.when(F.col("hour").isNotNull(), F.struct("hour", F.col("rows"))))
    return hourly.groupBy("day", "source").agg(
        F.sum("rows").alias("rows"),
        F.when(F.size(hours) > 0, F.map_from_entries(F.array_sort(hours))).alias("hours"),
        nulls.alias("nulls"),
    )


@dataclass(frozen=True)
class Hours:
    """Hours of a day of a source: those that usually have events (``expected``), and those of them that have none."""

    expected: list[int]
    missing: list[int]


@dataclass
class SourceDays:
    """Rows of ``source_days`` by source and day: the stored ones, those of the 28 days before a run, and those of this run."""

    rows: dict[tuple[str, date], Mapping[str, Any]] = field(default_factory=dict)
    staged: dict[tuple[str, date], Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def collect(cls, inputs: Frames, settings: Settings) -> "SourceDays":
        """Collect one row per source and day."""
        counted = count_source_days(inputs["events"], inputs["statements"], settings)
        if "source_days" in inputs:
            columns = [F.col(name) for name in counted.columns]
            counted = counted.withColumn("_new", F.lit(True)).unionByName(
                inputs["source_days"].select(*columns, F.lit(False).alias("_new"))
            )
        found = cls()
        for row in counted.collect():
            to = found.staged if row.asDict().get("_new", True) else found.rows
            to[row["source"], row["day"]] = row.asDict()
        return found

    def with_new(self, days: Collection[date]) -> "SourceDays":
        """Return the stored rows, with those of this run in their place on ``days``."""
        new = {key: row for key, row in self.staged.items() if key[1] in days}
        return SourceDays({key: row for key, row in self.rows.items() if key[1] not in days} | new)

    def null_shares(self, source: str, name: str, day: date) -> list[float]:
        """Return the shares of nulls of a field on the last 7 days with rows before ``day``, newest first."""
        days = sorted((d for s, d in self.rows if s == source and d < day), reverse=True)
        known = [self.rows[source, d] for d in days]
        return [row["nulls"][name] / row["rows"] for row in known if name in (row["nulls"] or {})][:NULL_SHARE_DAYS]

    def missing_hours(self, days: Sequence[date], settings: Settings) -> dict[tuple[str, date], Hours]:
        """Return the hours of each source and day where events are usual and there are none; days without such are left out."""
        found = {}
        for source in settings.sources.events:
            for day in days:
                expected = self._expected_hours(source, day, settings)
                has = self._hours(source.name, day)
                if missing := [hour for hour in expected if not has.get(hour)]:
                    found[source.name, day] = Hours(expected, missing)
        return found

    def _expected_hours(self, source: EventSource, day: date, settings: Settings) -> list[int]:
        weeks = [day - timedelta(days=7 * n) for n in range(1, USUAL_WEEKS + 1)]
        known = [self._hours(source.name, d) for d in weeks if (source.name, d) in self.rows]
        if len(known) < FEWEST_WEEKS:
            return []
        usual = {hour for hour in range(24) if median(hours.get(hour, 0) for hours in known) >= USUAL_EVENTS}
        return sorted(usual & _hours_of(day, ZoneInfo(settings.clock.time_zone)))

    def _hours(self, source: str, day: date) -> Mapping[int, int]:
        return self.rows.get((source, day), {}).get("hours") or {}


def null_faults(
    known: SourceDays, judged: Mapping[str, Collection[date]], days: Collection[date], settings: Settings
) -> list[str]:
    """Return a line per mapped field whose share of nulls has risen by more than ``quality.max_null_share_rise`` on one of
    ``days``. ``judged``: the days of each source that are judged."""
    limit = settings.quality.max_null_share_rise
    if limit is None:
        return []
    faults = []
    for (source, day), row in sorted(known.rows.items()):
        if day not in days or day not in judged.get(source, ()) or row["rows"] < FEWEST_ROWS:
            continue
        for name, nulls in (row["nulls"] or {}).items():
            before, share = known.null_shares(source, name, day), nulls / row["rows"]
            if len(before) >= FEWEST_DAYS and share - median(before) > limit:
                faults.append(
                    f"{source} {day}: {name} is null in {share:.1%} of {row['rows']:,} rows, in {median(before):.1%} on the "
                    f"{len(before)} days before; quality.max_null_share_rise allows a rise of {limit:.1%}. Hint: was its column "
                    f"renamed? Correct map.{name} of the source, or run once with --set quality.max_null_share_rise=null"
                )
    return faults


def hour_faults(hours: Mapping[tuple[str, date], Hours], settings: Settings) -> list[str]:
    """Return a line per source and day with fewer of its usual hours than ``quality.min_hours_share``."""
    limit = settings.quality.min_hours_share
    if limit is None:
        return []
    return [
        f"{source} {day}: no event in the hours {', '.join(map(str, one.missing))}, of {len(one.expected)} that usually have "
        f"{USUAL_EVENTS} or more; quality.min_hours_share is {limit:.0%}. Hint: run again when all files have landed"
        for (source, day), one in hours.items()
        if 1 - len(one.missing) / len(one.expected) < limit
    ]


def _hours_of(day: date, zone: ZoneInfo) -> set[int]:
    """Return the hours that the local day has: 2 is missing where the clocks go forward over it."""
    begin = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    halves = ((begin + timedelta(minutes=30 * n)).astimezone(zone) for n in range(50))
    return {moment.hour for moment in halves if moment.date() == day}
