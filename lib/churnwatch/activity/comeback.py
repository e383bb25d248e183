"""Measure per segment how many of last week's users came back this week (the early sign of sudden churn), and indicators."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import functions as F

from churnwatch.activity.acts import acts
from churnwatch.activity.indicators import ratio_sums, ratios, used_measures, window_sums
from churnwatch.activity.people import only_people, was_bot
from churnwatch.activity.segments import COHORT, cohort, sums_per_segment, with_segments
from churnwatch.activity.snapshots import per_snapshot
from churnwatch.core.intervals import wilson
from churnwatch.core.job import Frames
from churnwatch.settings import Settings
from churnwatch.settings.names import ACTS

WEEK_DAYS = 7


def trend(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """Build ``activity_trend``: one row per day O, segment and value that has users active in O-13 .. O (with indicators:
    or in the days of the longest indicator).

    ``active``: users active in O-13 .. O-7. ``came_back``: those of them who were active in O-6 .. O. ``share``: came_back
    / active, with its Wilson interval. Only acts make a user active; indicators add up all events of active users. Bots on
    the days that are read are left out.
    """
    oldest = max(2 * WEEK_DAYS, settings.measures.indicator_days)
    active = F.col(ACTS) > 0
    last_week = F.col("age").between(WEEK_DAYS, 2 * WEEK_DAYS - 1)
    users = (
        inputs["activity"]
        .select("day", "user_id", "bot", "events", acts().alias(ACTS), *used_measures(settings))
        .repartition("user_id")  # shuffled before the join with snapshots, so that a row travels once and not once a snapshot
        .transform(per_snapshot, days, oldest=oldest - 1)
        .groupBy(F.col("snapshot").alias("day"), "user_id")
        .agg(
            F.max(active & last_week).alias("last_week"),
            F.max(active & (F.col("age") < WEEK_DAYS)).alias("this_week"),
            F.max(active).alias("active"),
            was_bot(settings),
            *window_sums(settings),
        )
        .where("active" if settings.measures.indicators else "last_week")
        .transform(only_people)
        .transform(with_segments, inputs["users"], settings, inputs["first_seen"])
        .withColumn(COHORT, cohort())
    )
    sums = {
        "active": F.col("last_week").cast("long"),
        "came_back": (F.col("last_week") & F.col("this_week")).cast("long"),
        **ratio_sums(users, settings),
    }
    totals = sums_per_segment(users, settings, ["day"], **sums)
    low, high = wilson(F.col("came_back"), F.col("active"))
    share = F.try_divide(F.col("came_back"), F.col("active"))
    shares = totals.select(
        "day",
        "segment",
        "value",
        "active",
        "came_back",
        share.alias("share"),
        low.alias("low"),
        high.alias("high"),
        ratios(settings).alias("indicators"),
    )
    return {"activity_trend": shares}
