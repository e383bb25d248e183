"""Read monthly rows beside daily ones, so that features look back a year without reading its days."""

from collections.abc import Iterator, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.acts import acts, last_act_day
from churnwatch.activity.snapshots import days_seen, snapshots
from churnwatch.features.families import FeatureFamily, Kinds, window_value
from churnwatch.settings import Settings
from churnwatch.settings.feature_families import MONTHS_KEPT
from churnwatch.settings.names import ACTS, EVENTS, last_day_column, measure_names, month_column


def with_months(rows: DataFrame, months: DataFrame, days: Sequence[date], settings: Settings) -> DataFrame:
    """Append to daily rows the rows of monthly_activity that ended before the month of the last of ``days``, so that one
    shuffle serves both. ``monthly`` is true for the latter; columns that only one of them has are null in the other."""
    m = settings.measures
    last_days: list[Column] = []
    if m.memory_days > m.longest_window:
        last_days = [F.col("last_day").alias(last_day_column(EVENTS)), last_act_day().alias(last_day_column(ACTS))]
        last_days += [F.col(last_day_column(name)) for name in measure_names(settings)]
    of_months = [acts().alias(name) if name == ACTS else F.col(name) for name in m.months_of]
    monthly = months.where(F.col("day") < F.lit(max(days).replace(day=1))).select(
        "day", "user_id", F.lit(True).alias("monthly"), *of_months, *last_days
    )
    return rows.withColumn("monthly", F.lit(False)).unionByName(monthly, allowMissingColumns=True)


def per_snapshot_of_months(rows: DataFrame, days: Sequence[date], settings: Settings) -> DataFrame:
    """Return one row per row of ``rows`` and day of ``days`` that uses it, with ``snapshot``, ``age`` in days (null for a
    month) and ``back``, the number of months from the row's month to the snapshot's (0 for a day)."""
    m = settings.measures
    back = MONTHS_KEPT if m.memory_days > m.longest_window else m.months
    of_days = snapshots(rows.sparkSession, days)
    daily = days_seen(of_days, m.activity_days - 1).select("snapshot", "day", "age", F.lit(0).alias("back"))
    monthly = of_days.select("snapshot", F.explode(F.sequence(F.lit(1), F.lit(back))).alias("back")).select(
        "snapshot", month_end(F.col("snapshot"), F.col("back")).alias("day"), F.lit(None).cast("int").alias("age"), "back"
    )
    used = daily.union(monthly).withColumn("monthly", F.col("back") > 0)
    return rows.join(F.broadcast(used), ["day", "monthly"])  # unique by (day, monthly, snapshot)


def month_end(day: Column, back: Column | int) -> Column:
    """Return the last day of the calendar month ``back`` months before that of ``day``."""
    return F.last_day(F.add_months(day, -back))


def month_columns(kinds: Kinds, settings: Settings) -> FeatureFamily:
    """Compute ``<measure>_m0`` from the days of the current month and ``<measure>_m<n>`` from the row of the n-th month
    before. Distinct measures are in ``sets``."""
    names = [name for name in settings.measures.months_of if kinds[name] != "distinct"]
    return FeatureFamily(
        per_user=[column for name in names for column in _per_user(name, kinds[name], settings)],
        output=[F.col(month_column(name, back)) for name in names for back in range(settings.measures.months + 1)],
    )


def _per_user(name: str, kind: str, settings: Settings) -> Iterator[Column]:
    age = F.col(f"{name}_days_since") if kind == "last" else F.lit(0)
    yield window_value(name, kind, F.col("current"), age).alias(month_column(name, 0))
    for back in range(1, settings.measures.months + 1):
        mine = F.col("ring") == len(settings.measures.windows_days) + back
        # a month has one row, so max returns its value, also for the kind last
        yield window_value(name, kind if kind in ("count", "sum") else "max", mine, age).alias(month_column(name, back))
