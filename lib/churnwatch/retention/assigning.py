"""Record the first assignment of each user to a campaign, so that lift need not look for it in all retention actions."""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import functions as F

from churnwatch.activity.rollup import bucket
from churnwatch.core import days_predicate, first_rows, outdated_restatements, restated
from churnwatch.core.job import Frames
from churnwatch.settings import Settings

KEYS = ("user_id", "campaign")


def record_assignments(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """Build ``assignments``: one row per user and campaign whose first assignment to an arm is on a day of ``days``; and
    ``assignments_restated``: all first assignments so far on each first of a month in ``days``.

    Stored rows of ``days`` are ignored, because this run replaces them.
    """
    assigned = inputs["actions"].where(F.expr(days_predicate(days)) & F.col("arm").isNotNull())
    first = assigned.groupBy(*KEYS).agg(F.min("day").alias("first_day"), F.min_by("arm", "day").alias("arm"))
    found = first.select(F.col("first_day").alias("day"), *KEYS, "arm")
    new = first_rows(found, inputs["assignments"], KEYS, days)
    stored = inputs["assignments"].where(f"NOT ({days_predicate(days)})").select(*new.columns)
    everything = restated(stored.unionByName(new), days).withColumn("bucket", bucket(settings))
    return {
        "assignments_restated": everything.repartition("bucket").sortWithinPartitions("day", "bucket", "user_id"),
        "assignments": new,
    }


def replaced_assignments(days: Sequence[date]) -> Mapping[str, str]:
    """Return the predicate of the restatements that a run for ``days`` replaces."""
    return {"assignments_restated": outdated_restatements(days)}
