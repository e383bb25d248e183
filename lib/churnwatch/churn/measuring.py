"""Measure churn rates of labelled days."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import functions as F

from churnwatch.activity.segments import sums_per_segment, with_segments
from churnwatch.churn.labelling import only_definition
from churnwatch.core import only_days
from churnwatch.core.intervals import wilson
from churnwatch.core.job import Frames
from churnwatch.settings import Settings


def rates(inputs: Frames, days: Sequence[date], settings: Settings, definition: str) -> Frames:
    """Build ``churn_rates`` of one definition: one row per day, segment and value with eligible users, churned users, and
    the rate with its Wilson interval. Segments are as of the day."""
    labelled = (
        inputs["labels"]
        .transform(only_days, days)
        .transform(only_definition, definition)
        .select("day", "user_id", "churned")
        .transform(with_segments, inputs["users"], settings, inputs["first_seen"])
    )
    sums = {"eligible": F.lit(1), "churned_users": F.col("churned").cast("long")}
    totals = sums_per_segment(labelled, settings, ["day"], **sums)
    churned, eligible = F.col("churned_users"), F.col("eligible")
    low, high = wilson(churned, eligible)
    return {
        "churn_rates": totals.select(
            "day",
            F.lit(definition).alias("definition"),
            "segment",
            "value",
            "eligible",
            churned.alias("churned"),
            F.try_divide(churned, eligible).alias("rate"),
            low.alias("low"),
            high.alias("high"),
        )
    }
