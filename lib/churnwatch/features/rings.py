"""Aggregate daily activity to windows by age rings: every stored row is summed once, whatever the number of windows."""

from collections.abc import Iterator, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.acts import acts
from churnwatch.activity.kinds import has_value_of_kind
from churnwatch.activity.people import bot_by_days
from churnwatch.activity.snapshots import per_snapshot
from churnwatch.features.families import FeatureFamily, Kinds, measure_kinds, merge_families, window_value
from churnwatch.features.habit import habit, hours, slopes
from churnwatch.features.months import month_columns, per_snapshot_of_months, with_months
from churnwatch.features.sets import sets
from churnwatch.settings import Settings
from churnwatch.settings.names import ACTS, last_day_column, window_column


def per_user_window(activity: DataFrame, days: Sequence[date], settings: Settings, months: DataFrame | None = None) -> DataFrame:
    """Return one row per day of ``days`` and user active within the longest window or in a month of ``months``, with
    ``<measure>_<window>d``, ``active_days_<window>d`` and ``<measure>_days_since`` as integers, ``bot``, and the columns of
    the configured families.

    A ring is the set of ages that a window adds to the next shorter one (1-7, 8-14, 15-30 days ...). Older days form one
    more ring, and each calendar month one of its own. After one shuffle by user, rows are summed per (user, day, ring), and
    the few rings of a user are summed into windows.
    """
    m, kinds = settings.measures, measure_kinds(settings)
    family = merge_families([windows(kinds, settings), sets(kinds, settings), slopes(settings), habit(settings), hours(settings)])
    if m.months_of:
        family = merge_families([family, month_columns(kinds, settings)])
    measures = [name for name in kinds if name != ACTS]
    rows = activity.select("day", "user_id", "bot", *(["hours"] if m.active_hours else []), acts().alias(ACTS), *measures)
    if months is None:
        seen = rows.repartition("user_id").transform(per_snapshot, days, oldest=m.activity_days - 1)
    else:
        rows = with_months(rows, months, days, settings)
        seen = rows.repartition("user_id").transform(per_snapshot_of_months, days, settings)
    # sorted, because sets do not fit Spark's fast hash table (without sets Spark drops the sort). The hash comes first,
    # because numbers are compared faster than user ids with a common beginning
    user = ["user_hash", "user_id", "snapshot"]
    ring = [*user, "ring", *(["current"] if m.months_of else [])]
    return (
        seen.transform(with_ring, settings)
        .withColumn("user_hash", F.xxhash64("user_id"))
        .sortWithinPartitions(*ring)
        .groupBy(*ring)
        .agg(*family.per_ring)
        .sortWithinPartitions(*user)  # already sorted so: it costs nothing, but the planner does not know it
        .groupBy(*user)
        .agg(*family.per_user)
        .withColumnRenamed("snapshot", "day")
        .transform(_with_columns, family.intermediate)
        .select("day", "user_id", *family.output)
    )


def _with_columns(frame: DataFrame, columns: Sequence[tuple[str, Column]]) -> DataFrame:
    for name, value in columns:
        frame = frame.withColumn(name, value)
    return frame


def with_ring(seen: DataFrame, settings: Settings) -> DataFrame:
    """Add ``ring``: 0 .. w - 1 for the days of the w windows, w for older days, and w + n for the n-th month before that of
    ``snapshot``. When months are features also ``current``: true for days in the month of ``snapshot``."""
    m = settings.measures
    oldest = len(m.windows_days) - (m.activity_days == m.longest_window)
    ring = F.lit(oldest)
    for index in reversed(range(oldest)):
        ring = F.when(F.col("age") < m.windows_days[index], index).otherwise(ring)
    if "back" in seen.columns:
        ring = F.when(F.col("back") > 0, F.col("back") + len(m.windows_days)).otherwise(ring)
    seen = seen.withColumn("ring", ring)
    if not m.months_of:
        return seen
    return seen.withColumn("current", F.coalesce(F.col("age") < F.dayofmonth("snapshot"), F.lit(False)))


def windows(kinds: Kinds, settings: Settings) -> FeatureFamily:
    """Compute windows of all measures except distinct ones, days since, and ``bot`` (by the days of the longest window)."""
    names = {name: kind for name, kind in kinds.items() if kind != "distinct"}
    return FeatureFamily(
        per_ring=[*_per_ring(names), *(_since(name, kind, settings) for name, kind in kinds.items() if name != "sessions")],
        per_user=list(_per_user(kinds, settings)),
        output=list(_output(kinds, settings)),
    )


def _per_ring(kinds: Kinds) -> Iterator[Column]:
    yield F.count_if(F.col(ACTS) > 0).alias("active_days")
    yield F.count_if("bot").alias("bot_days")
    for name, kind in kinds.items():
        # the row of a month has no age, but is alone in its ring
        age = F.coalesce("age", F.lit(0))
        total = kind in ("count", "sum")  # a ring may be below zero; its windows are not
        yield (F.sum(name) if total else window_value(name, kind, F.lit(True), age)).alias(name)


def _since(name: str, kind: str, settings: Settings) -> Column:
    age: Column = F.when(has_value_of_kind(name, kind), F.col("age"))
    if settings.measures.memory_days > settings.measures.longest_window:
        age = F.coalesce(F.datediff("snapshot", last_day_column(name)), age)
    return F.min(age).alias(f"{name}_days_since")


def _per_user(kinds: Kinds, settings: Settings) -> Iterator[Column]:
    windows = settings.measures.windows_days
    for name, kind in {"active_days": "count", **kinds}.items():
        if kind != "distinct":
            for index, window in enumerate(windows):
                age = F.col(f"{name}_days_since") if kind == "last" else F.lit(0)
                yield window_value(name, kind, F.col("ring") <= index, age).alias(window_column(name, window))
    for name in kinds:
        if name != "sessions":
            yield F.min(f"{name}_days_since").alias(f"{name}_days_since")
    yield F.sum(F.when(F.col("ring") < len(windows), F.col("bot_days"))).alias("bot_days")


def _output(kinds: Kinds, settings: Settings) -> Iterator[Column]:
    m = settings.measures
    for name, kind in {"active_days": "count", **kinds}.items():
        if kind != "distinct":
            yield from (F.col(window_column(name, window)) for window in m.windows_days)
    for name in kinds:
        if name != "sessions":
            since = F.col(f"{name}_days_since")
            # months are read whole, so days beyond memory_days are dropped here
            yield F.when(since < m.memory_days, since).alias(f"{name}_days_since")
    active_days = F.col(window_column("active_days", m.longest_window))
    yield bot_by_days(F.coalesce("bot_days", F.lit(0)), active_days, settings).alias("bot")
