"""Aggregate daily activity to calendar months, so that long windows read few rows."""

from collections.abc import Iterator, Sequence
from datetime import date

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.activity.acts import acted, acts
from churnwatch.activity.kinds import has_value, merged_value
from churnwatch.activity.people import was_bot
from churnwatch.core import day_range, only_days
from churnwatch.core.days import ONE_DAY
from churnwatch.core.job import Frames
from churnwatch.settings import Measure, Settings
from churnwatch.settings.names import ACTS, SUMMED, active_columns, definition_column, first_day_column, last_day_column
from churnwatch.tables import tables


def per_user_month(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """Build ``monthly_activity``: one row per user and calendar month that ends on one of ``days``, none on other days; and
    ``bots``: the users who were bots in such a month.

    One shuffle by bucket serves both the sums and the layout of files, as in daily_activity.
    """
    target = tables(settings).monthly_activity
    of_months = [day for end in month_ends(days) for day in day_range(end.replace(day=1), end)]
    # a column of its own, because the aggregates below use ``day``, the day of the activity
    monthly = (
        inputs["activity"]
        .transform(only_days, of_months)
        .withColumn("month_end", F.last_day("day"))
        .repartition("bucket")
        .groupBy("month_end", "bucket", "user_id")
        .agg(*_totals(settings))
        .withColumnRenamed("month_end", "day")
        .select(*target.schema.names)
        .sortWithinPartitions("day", "bucket", "user_id")
    )
    return {target.name: monthly, "bots": monthly.where("bot").select("day", "user_id")}


def month_ends(days: Sequence[date]) -> list[date]:
    """Return those of ``days`` that are the last of their calendar month.

    >>> month_ends([date(2024, 2, 28), date(2024, 2, 29), date(2023, 2, 28)])
    [datetime.date(2024, 2, 29), datetime.date(2023, 2, 28)]
    """
    return [day for day in days if (day + ONE_DAY).day == 1]


def _totals(settings: Settings) -> Iterator[Column]:
    yield F.count_if(acted()).alias("active_days")
    yield F.min("day").alias("first_day")
    yield F.max("day").alias("last_day")
    yield F.sum("events").alias("events")
    yield F.sum(acts()).alias(ACTS)
    yield F.max(F.when(acted(), F.col("day"))).alias(last_day_column(ACTS))
    yield F.sum("sessions").alias("sessions")
    yield F.bit_or("hours").alias("hours")
    yield was_bot(settings)
    yield F.count_if("bot").alias("bot_days")
    for name, measure in settings.measures.measures.items():
        yield _of_month(name, measure, settings.activity.distinct_cap).alias(name)
        yield F.max(F.when(has_value(name, measure), F.col("day"))).alias(last_day_column(name))
    for counted in map(definition_column, settings.churn.definitions):
        on_day = F.when(F.col(counted) > 0, F.col("day"))
        yield F.sum(counted).alias(counted)
        yield F.min(on_day).alias(first_day_column(counted))
        yield F.max(on_day).alias(last_day_column(counted))
    for name in active_columns(settings):
        yield F.max(F.when(F.col(name) > 0, F.col("day"))).alias(last_day_column(name))


def _of_month(name: str, measure: Measure, cap: int) -> Column:
    if measure.kind == "last":
        return F.max_by(name, F.when(F.col(name).isNotNull(), F.col("day")))  # a user has one row a day: no ties
    total = merged_value(name, measure, cap)
    if measure.kind == "distinct":
        return F.array_compact(total)  # stored sets allow nulls by their type, the contract does not
    # null on days stored before the measure was configured
    return F.coalesce(total, F.lit(0).cast("long")) if measure.kind in SUMMED else total
