"""How far the features of a day lie from those of four weeks before."""

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.reports.long import per_feature
from churnwatch.settings import Settings, feature_names

REFERENCE_DAYS = 28  # whole weeks: the same weekday
SNAPSHOT_DAYS = 7  # snapshots may be weekly: the oldest of a week is taken
DECILES = [n / 10 for n in range(1, 10)]
ACCURACY = 10000
EMPTY_SHARE = 1e-4  # stands for an empty bin, whose logarithm does not exist
MISSING = -1


def feature_drift(features: DataFrame, day: date, settings: Settings) -> DataFrame:
    """One row per feature: population stability index against the reference day, over its deciles and one bin for missing.

    The reference is the oldest stored day of O-28 .. O-22; without one, or without features on O, no rows.
    PSI = sum of (p - r) ln(p / r) over the bins (Siddiqi, Credit Risk Scorecards, 2006): under 0.1 little has changed,
    over 0.25 much. Equal deciles (a feature that is mostly 0) make one bin.
    """
    first, last = day - timedelta(days=REFERENCE_DAYS), day - timedelta(days=REFERENCE_DAYS - SNAPSHOT_DAYS + 1)
    reference_day = F.min(F.when(F.col("day").between(first, last), F.col("day")))
    reference = features.where(F.col("day").between(first, last)).agg(reference_day.alias("day")).first()
    reference_of = reference["day"] if reference else None
    # a bot is not scored, and one alone moves a decile of a small base
    both = features.where("bot IS NOT TRUE").where(F.col("day").isin([day, reference_of or day]))
    values = per_feature(both, ["day"], feature_names(settings))
    binned = values.join(F.broadcast(_edges(values, reference_of)), "feature").select("day", "feature", _bin().alias("bin"))
    counts = binned.groupBy("feature", "bin").agg(
        F.count_if(F.col("day") == day).alias("now"),
        F.count_if(F.col("day") == F.lit(reference_of)).alias("before"),
    )
    return _per_feature_index(counts, day, reference_of)


def _edges(values: DataFrame, reference: date | None) -> DataFrame:
    deciles = F.array_distinct(F.percentile_approx("value", DECILES, ACCURACY))
    return values.where(F.col("day") == F.lit(reference)).groupBy("feature").agg(deciles.alias("edges"))


def _bin() -> Column:
    above = F.size(F.filter("edges", lambda edge: edge < F.col("value")))
    return F.when(F.col("value").isNull() | F.col("edges").isNull(), F.col("value").isNotNull().cast("int") - 1).otherwise(above)


def _per_feature_index(counts: DataFrame, day: date, reference: date | None) -> DataFrame:
    missing = F.col("bin") == MISSING
    totals = counts.groupBy("feature").agg(F.sum("now").alias("all_now"), F.sum("before").alias("all_before"))
    with_shares = (
        counts.join(F.broadcast(totals), "feature")
        .where("all_now > 0 AND all_before > 0")
        .select(
            "feature", "bin", (F.col("now") / F.col("all_now")).alias("p"), (F.col("before") / F.col("all_before")).alias("r")
        )
    )
    p, r = (F.greatest(F.col(name), F.lit(EMPTY_SHARE)) for name in ("p", "r"))
    return (
        with_shares.groupBy("feature")
        .agg(
            F.round(F.sum((p - r) * F.log(p / r)), 9).alias("psi"),
            F.coalesce(F.sum(F.when(missing, F.col("p"))), F.lit(0.0)).alias("missing_share"),
            F.coalesce(F.sum(F.when(missing, F.col("r"))), F.lit(0.0)).alias("reference_missing_share"),
        )
        .select(
            F.lit(day).alias("day"),
            "feature",
            F.lit(reference).cast("date").alias("reference_day"),
            "psi",
            "missing_share",
            "reference_missing_share",
        )
    )
