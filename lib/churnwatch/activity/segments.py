"""Assign users to segments as of a day. All jobs use these functions, so that a user has the same segment everywhere."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.names import segment_names
from churnwatch.settings.terms import ALL, UNKNOWN

NEW_DAYS = 30  # a user with a shorter tenure is new
TENURE = "segment_tenure"
COHORT = "segment_cohort"
COHORT_MONTHS = 12  # cohorts of this many months are kept apart; older users are one cohort


def with_segments(
    frame: DataFrame, users: DataFrame, settings: Settings, first_seen: DataFrame | None = None, attributes: bool = False
) -> DataFrame:
    """Add ``segment_<name>`` as of ``day`` to ``frame`` with (day, user_id); null when it is not known. Same grain.

    ``users``, ``first_seen``: as-of inputs, unique by user_id on a day. With ``first_seen`` it also adds ``tenure_days``,
    the whole days from registration (else from the first active day) to ``day``, and ``segment_tenure``: ``new`` (under
    30 days) or ``established``. With ``attributes`` it also adds all attributes by name.
    """
    known = users.select(
        F.col("user_id").alias("_user"),
        F.col("day").alias("_from"),
        F.col("until").alias("_until"),
        F.col("registered_on").alias("_registered_on"),
        *(F.col("attributes")[name].alias(f"segment_{name}") for name in settings.measures.segments),
        *(["attributes"] if attributes else []),
    )
    in_force = (F.col("user_id") == F.col("_user")) & F.col("day").between(F.col("_from"), F.col("_until"))
    joined = frame.join(known, in_force, "left")
    added: list[Column] = [F.col(name) for name in [*segment_names(settings), *(["attributes"] if attributes else [])]]
    if first_seen is not None:
        seen = first_seen.select(F.col("user_id").alias("_seen_user"), F.col("day").alias("_seen_on"))
        in_force = (F.col("user_id") == F.col("_seen_user")) & (F.col("_seen_on") <= F.col("day"))
        joined = joined.join(seen, in_force, "left").withColumn("tenure_days", _tenure_days())
        group = F.when(F.col("tenure_days") < NEW_DAYS, "new").when(F.col("tenure_days").isNotNull(), "established")
        added += [F.col("tenure_days"), group.alias(TENURE)]
    return joined.select(*frame.columns, *added)


def cohort() -> Column:
    """Return the month (yyyy-MM) in which the tenure began; 'older' when it is 12 or more months before the month of ``day``;
    null when the tenure is not known."""
    began = F.date_sub("day", F.col("tenure_days"))
    recent = began >= F.add_months(F.trunc("day", "month"), 1 - COHORT_MONTHS)
    return F.when(recent, F.date_format(began, "yyyy-MM")).when(began.isNotNull(), "older")


def _tenure_days() -> Column:
    # a registration after the day is an error of the source; the first active day is used instead
    registered = F.when(F.col("_registered_on") <= F.col("day"), F.col("_registered_on"))
    return F.datediff(F.col("day"), F.coalesce(registered, F.col("_seen_on")))


def per_segment(frame: DataFrame, settings: Settings) -> DataFrame:
    """Return one row per row of ``frame`` and segment, with ``segment`` and ``value``; also ('all', 'all').

    The columns of ``with_segments``, and tenure and cohort when present, become rows and are dropped. A null value becomes
    'unknown'.
    """
    columns = _labels(frame, settings)
    pairs = [F.struct(F.lit(ALL).alias("segment"), F.lit(ALL).alias("value"))]
    for name in columns:
        value = F.coalesce(F.col(name), F.lit(UNKNOWN))
        pairs.append(F.struct(F.lit(name.removeprefix("segment_")).alias("segment"), value.alias("value")))
    return frame.withColumn("_pair", F.explode(F.array(*pairs))).select("*", "_pair.*").drop("_pair", *columns)


def sums_per_segment(frame: DataFrame, settings: Settings, by: Sequence[str], **sums: Column) -> DataFrame:
    """Return one row per ``by``, segment and value with ``sums``, which are sums of whole numbers.

    Rows are first summed per combination of segment values, so that the rows repeated per segment do not grow with users.
    """
    columns = _labels(frame, settings)
    groups = [F.coalesce(F.col(name), F.lit(UNKNOWN)).alias(name) for name in columns]
    combined = frame.groupBy(*by, *groups).agg(*(F.sum(value).alias(name) for name, value in sums.items()))
    return per_segment(combined, settings).groupBy(*by, "segment", "value").agg(*(F.sum(n).alias(n) for n in sums))


def _labels(frame: DataFrame, settings: Settings) -> list[str]:
    return [*(name for name in (TENURE, COHORT) if name in frame.columns), *segment_names(settings)]
