"""Aggregate canonical events to one row per user and active day."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, FractionalType, StringType

from churnwatch.activity.acts import is_act
from churnwatch.activity.cutting import only_small_values, with_parts
from churnwatch.activity.kinds import bounded_sum, merged_value, rounded_integer, smallest
from churnwatch.activity.paths import beside_paths, path_measures, with_crossings
from churnwatch.core import ConfigError, only_days, to_ranges, wall_seconds
from churnwatch.core.job import Frames
from churnwatch.settings import Measure, Settings
from churnwatch.settings.names import ACTS, act_measure, active_columns, definition_column
from churnwatch.tables import tables


def per_user_day(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """Build ``daily_activity``: one row per user and day of ``days`` with events, also when none of them is an act; counts,
    cents and milliseconds as integers. Sessions, hours and bots count acts alone.

    Two steps keep the work per user bounded. Events are first combined per user and slot (as long as the session gap), on
    the map side, before any shuffle; then slots are summed per day, and only distinct values that may be among the smallest
    are collected. One shuffle by bucket serves the window of sessions, the second sum and the files, so that a bucket is
    never split over files. Rows of transitions take the same shuffle, window and sum.
    """
    target = tables(settings).daily_activity
    read = inputs["events"].transform(only_days_and_evenings, days, settings)
    slots = (
        read.transform(per_user_slot, days, settings)
        .transform(beside_paths, read, settings)
        .withColumn("bucket", bucket(settings))
        .repartition("bucket")
        # first key of the sort, because numbers are compared faster than user ids with a common beginning
        .withColumn("user_hash", F.xxhash64("user_id"))
        .transform(with_parts, settings)
    )
    daily = (
        slots.transform(with_session_start, settings)
        .transform(with_crossings, earlier(), settings)
        .transform(only_small_values, earlier(), settings)
        .transform(only_days, days)
        .groupBy("user_hash", "bucket", "user_id", "day")
        .agg(
            F.sum(F.col("starts_session").cast("long")).alias("sessions"),
            *(add_up(name).alias(name) for name, (_, add_up) in _measures(settings).items()),
            *(F.sum(name).alias(name) for name in path_measures(settings)),
        )
        .withColumn("bot", is_bot(settings))
        .select(*target.schema.names)
        .sortWithinPartitions("day", "bucket", "user_id")
    )
    return {target.name: daily}


def bucket(settings: Settings) -> Column:
    """Return the bucket of ``user_id`` in daily_activity, 0 .. buckets - 1."""
    return F.pmod(F.xxhash64("user_id"), F.lit(settings.activity.buckets)).cast("int")


def is_bot(settings: Settings) -> Column:
    """Test whether a day has more acts than ``bots.events_a_day``, or acts in at least ``bots.hours_a_day`` hours; false
    without limits."""
    bots, found = settings.measures.bots, F.lit(False)
    if bots.events_a_day is not None:
        found |= F.col(ACTS) > bots.events_a_day
    if bots.hours_a_day is not None:
        found |= F.bit_count("hours") >= bots.hours_a_day
    return found


def only_days_and_evenings(events: DataFrame, days: Sequence[date], settings: Settings) -> DataFrame:
    """Keep events of ``days``, and those within one session gap before each run of consecutive days."""
    zone, gap = ZoneInfo(settings.clock.time_zone), timedelta(minutes=settings.activity.session_gap_minutes)
    kept = F.lit(False)
    for first, last in to_ranges(days):
        # in UTC, because local arithmetic is wrong across a change of the clocks
        evening = datetime(first.year, first.month, first.day, tzinfo=zone).astimezone(UTC) - gap
        kept |= F.expr(
            f"(day >= DATE'{first}' AND day <= DATE'{last}')"
            f" OR (day = DATE'{first - timedelta(days=1)}' AND event_time >= TIMESTAMP'{evening.isoformat(sep=' ')}')"
        )
    return events.where(kept)


def per_user_slot(events: DataFrame, days: Sequence[date], settings: Settings) -> DataFrame:
    """Return one row per user, day, slot and value of the distinct measures (null: none), with all measures of
    ``daily_activity`` except sessions.

    Values are keys and not sets, because sets do not fit Spark's fast hash table (three times the time of a rollup) and
    grow with the number of values.
    """
    seconds = 60 * settings.activity.session_gap_minutes
    slot = F.expr(f"unix_seconds(event_time) - pmod(unix_seconds(event_time), {seconds})")
    measures = [one.alias(name) for name, (one, _) in _measures(settings, events).items() if one is not None]
    keys = {name: _hashed(measure) for name, measure in settings.measures.measures.items() if measure.kind == "distinct"}
    made = {"slot": slot, "hour_bit": _hour_bit(days, settings), **keys}
    return events.withColumns(made).groupBy("user_id", "day", "slot", *keys).agg(*measures)


def earlier() -> WindowSpec:
    """Return the window over a user's earlier rows, by time. The day comes first, so that the sum per day needs no other sort."""
    of_user = Window.partitionBy("user_hash", "bucket", "user_id").orderBy("day", "first_time")
    return of_user.rowsBetween(Window.unboundedPreceding, -1)


def with_session_start(slots: DataFrame, settings: Settings) -> DataFrame:
    """Add ``starts_session``: true when the slot has an act, and the user none in the session gap before its first act.

    Acts within a slot are less than the gap apart, so only the first can start a session and counting such slots is exact.
    Rows of transitions have no acts and start none.
    """
    first, last = _act_times(settings)
    idle = F.unix_micros(first) - F.unix_micros(F.max(last).over(earlier()))
    gap = settings.activity.session_gap_minutes * 60_000_000
    starts = F.coalesce(idle > gap, F.lit(True)) & F.coalesce(F.col(act_measure(settings)) > 0, F.lit(False))
    return slots.withColumn("starts_session", starts)


def _act_times(settings: Settings) -> tuple[str, str]:
    """Return the columns of a slot that hold the instants of its first and last act."""
    return ("first_time", "last_time") if settings.measures.acts is None else ("first_act", "last_act")


AddUp = Callable[[str], Column]


def _measures(settings: Settings, events: DataFrame | None = None) -> dict[str, tuple[Column | None, AddUp]]:
    """Map each column of daily_activity except transitions to its aggregate over the events of a slot (None when it is a key
    of the slot or comes from another column) and its aggregate over the slots of a day."""
    cap, counted = settings.activity.distinct_cap, act_measure(settings)
    columns: dict[str, tuple[Column | None, AddUp]] = {
        "events": (F.count(F.lit(1)), F.sum),
        "first_time": (F.min("event_time"), F.min),
        "last_time": (F.max("event_time"), F.max),
        ACTS: (None, lambda _: F.sum(counted)),
        "hours": (F.bit_or("hour_bit"), F.bit_or),
    }
    if settings.measures.acts is not None:
        act = is_act(settings)
        first, last = _act_times(settings)
        columns[ACTS] = (F.count(F.when(act, 1)), F.sum)
        columns[first] = (F.min(F.when(act, F.col("event_time"))), F.min)
        columns[last] = (F.max(F.when(act, F.col("event_time"))), F.max)
        columns["hours"] = (F.bit_or(F.when(act, F.col("hour_bit"))), lambda name: F.coalesce(F.bit_or(name), F.lit(0)))
    paths = path_measures(settings)
    for name, measure in settings.measures.measures.items():
        if name not in paths:
            columns[name] = (_of_slot(name, measure, events), _of_day(measure, cap))
    for name, definition in settings.churn.definitions.items():
        if definition.counted is None:
            columns[definition_column(name)] = (None, lambda _: F.sum(counted))
        else:
            columns[definition_column(name)] = (F.count(F.when(F.col("event_type").isin(definition.counted), 1)), F.sum)
    for name, types in active_columns(settings).items():
        columns[name] = (F.count(F.when(F.col("event_type").isin(types), 1)), F.sum)
    return columns


def _hashed(measure: Measure) -> Column:
    """Return the hash of the value of a distinct measure; null when the event has none."""
    value = F.expr(measure.of or "")
    # nulls are excluded first, because xxhash64 of a null is a number
    return F.when((F.expr(measure.where) if measure.where else F.lit(True)) & value.isNotNull(), F.xxhash64(value))


def _hour_bit(days: Sequence[date], settings: Settings) -> Column:
    """Return the bit of the local hour of ``event_time``; an hour that a change of the clocks repeats has one bit."""
    shown = wall_seconds("event_time", days, ZoneInfo(settings.clock.time_zone))
    return F.expr(f"shiftleft(1, cast(pmod({shown}, 86400) div 3600 AS int))")


def _of_slot(name: str, measure: Measure, events: DataFrame | None) -> Column | None:
    if measure.kind == "distinct":
        return None
    where = F.expr(measure.where) if measure.where else F.lit(True)
    if measure.kind == "count":
        return F.count(F.when(where, F.expr(measure.of) if measure.of else F.lit(1)))
    value = F.expr(measure.of or "")
    if events is not None:
        value = _whole_value(name, value, measure, events.select(value).schema.fields[0].dataType)
    value = F.when(where, value)
    if measure.kind == "last":
        # of events at the same instant the larger value, so that the order of rows does not matter
        return F.max(F.when(value.isNotNull(), F.struct("event_time", value.alias("value"))))
    if measure.kind == "sum":
        return bounded_sum(value)
    return F.min(value) if measure.kind == "min" else F.max(value)


def _whole_value(name: str, value: Column, measure: Measure, kind: DataType) -> Column:
    """Return the value of an event as a whole number, multiplied by ``scale`` before it is rounded.

    Raises ConfigError for fractions and texts without ``scale``, because sums of rounded fractions are wrong: of 22 times 0.4
    nothing is left.
    """
    if measure.scale is not None:
        return F.round(value.try_cast("double") * F.lit(measure.scale)).try_cast("long")
    if isinstance(kind, FractionalType | StringType):
        raise ConfigError(
            f"measure {name}: {measure.of!r} is of type {kind.simpleString()}, whose fractions would be rounded away. Hint: cast "
            "it to bigint where it is whole, or set scale in measures.yaml"
        )
    return rounded_integer(value, kind)


def _of_day(measure: Measure, cap: int) -> AddUp:
    if measure.kind == "last":
        return lambda name: F.max(name)["value"]
    if measure.kind == "distinct":
        return lambda name: smallest(F.collect_set(name), cap)
    return lambda name: merged_value(name, measure, cap)
