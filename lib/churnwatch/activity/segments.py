"""Segments of users as of a day: the one place that says which user belongs where, and when."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.names import UNKNOWN, segment_names

NEW_DAYS = 30  # under this tenure a user is new
TENURE = "segment_tenure"
COHORT = "segment_cohort"
COHORT_MONTHS = 12  # older users are one cohort


def with_segments(frame: DataFrame, users: DataFrame, settings: Settings, first_seen: DataFrame | None = None) -> DataFrame:
    """Adds ``segment_<name>`` (text, null: not known) as of ``day`` to ``frame`` with (day, user_id); same grain.

    ``users``, ``first_seen``: as-of inputs, unique by user_id on a day. With ``first_seen`` also ``tenure_days``:
    whole days from registration (else the first active day) to ``day``, and ``segment_tenure``: new (under 30 days)
    or established.
    """
    known = users.select(
        F.col("user_id").alias("_user"),
        F.col("day").alias("_from"),
        F.col("until").alias("_until"),
        F.col("registered_on").alias("_registered_on"),
        *(F.col("attributes")[name].alias(f"segment_{name}") for name in settings.measures.segments),
    )
    in_force = (F.col("user_id") == F.col("_user")) & F.col("day").between(F.col("_from"), F.col("_until"))
    joined = frame.join(known, in_force, "left")
    added: list[Column] = [F.col(name) for name in segment_names(settings)]
    if first_seen is not None:
        seen = first_seen.select(F.col("user_id").alias("_seen_user"), F.col("day").alias("_seen_on"))
        in_force = (F.col("user_id") == F.col("_seen_user")) & (F.col("_seen_on") <= F.col("day"))
        joined = joined.join(seen, in_force, "left").withColumn("tenure_days", _tenure_days())
        group = F.when(F.col("tenure_days") < NEW_DAYS, "new").when(F.col("tenure_days").isNotNull(), "established")
        added += [F.col("tenure_days"), group.alias(TENURE)]
    return joined.select(*frame.columns, *added)


def cohort() -> Column:
    """Month (yyyy-MM) in which a user's tenure began, 'older' from the 12th before ``day``'s on; null where it is not known."""
    began = F.date_sub("day", F.col("tenure_days"))
    recent = began >= F.add_months(F.trunc("day", "month"), 1 - COHORT_MONTHS)
    return F.when(recent, F.date_format(began, "yyyy-MM")).when(began.isNotNull(), "older")


def _tenure_days() -> Column:
    # a registration that lies ahead of the day is a fault of the source: the first active day is safer
    registered = F.when(F.col("_registered_on") <= F.col("day"), F.col("_registered_on"))
    return F.datediff(F.col("day"), F.coalesce(registered, F.col("_seen_on")))


def per_segment(frame: DataFrame, settings: Settings) -> DataFrame:
    """One row per row of ``frame`` and segment: ``segment`` and ``value``, 'all' first; a null value is 'unknown'.

    Takes the columns that ``with_segments`` added, tenure and cohort where they are there, and drops them.
    """
    columns = _labels(frame, settings)
    pairs = [F.struct(F.lit("all").alias("segment"), F.lit("all").alias("value"))]
    for name in columns:
        value = F.coalesce(F.col(name), F.lit(UNKNOWN))
        pairs.append(F.struct(F.lit(name.removeprefix("segment_")).alias("segment"), value.alias("value")))
    return frame.withColumn("_pair", F.explode(F.array(*pairs))).select("*", "_pair.*").drop("_pair", *columns)


def sums_per_segment(frame: DataFrame, settings: Settings, by: Sequence[str], **sums: Column) -> DataFrame:
    """One row per ``by``, segment and value with the sums of whole numbers ``sums``.

    Rows are added up per combination of values first, so that what is repeated per segment does not grow with users.
    """
    columns = _labels(frame, settings)
    groups = [F.coalesce(F.col(name), F.lit(UNKNOWN)).alias(name) for name in columns]
    combined = frame.groupBy(*by, *groups).agg(*(F.sum(value).alias(name) for name, value in sums.items()))
    return per_segment(combined, settings).groupBy(*by, "segment", "value").agg(*(F.sum(n).alias(n) for n in sums))


def _labels(frame: DataFrame, settings: Settings) -> list[str]:
    return [*(name for name in (TENURE, COHORT) if name in frame.columns), *segment_names(settings)]
