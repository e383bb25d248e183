"""What raises a warning by a level besides its rules: value at risk, and many causes at once."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.settings import Settings

PARTS = 64  # bins of value a doubling: a cut is exact to 1.1 %
TOP_VALUE = "top_value"


def with_top_value(scores: DataFrame, settings: Settings) -> DataFrame:
    """Adds ``top_value``: whether the user's value at risk is among the configured share of the day's; same grain.

    The cut comes from a histogram of its logarithm, at most some thousand bins, so that nothing is sorted; it takes whole
    bins, and never more users than the share.
    """
    share = settings.tiers.raises.value_at_risk_top_share
    if share is None:
        return scores.withColumn(TOP_VALUE, F.lit(False))
    value = F.greatest(F.col("value_at_risk_cents"), F.lit(0))
    place = F.floor(F.log2(value + 1) * PARTS).cast("int")
    bins = scores.groupBy(place.alias("bin")).agg(F.count("*").alias("users"))
    above = Window.orderBy(F.desc("bin")).rowsBetween(Window.unboundedPreceding, 0)  # over bins, not over users
    everybody = Window.orderBy(F.desc("bin")).rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    cut = (
        bins.select("bin", F.sum("users").over(above).alias("taken"), F.sum("users").over(everybody).alias("all"))
        .where((F.col("taken") <= F.col("all") * share) & (F.col("bin") > 0))
        .agg(F.min("bin").alias("cut"))
    )
    dated = scores.crossJoin(F.broadcast(cut))  # cut: one row
    return dated.withColumn(TOP_VALUE, F.coalesce(place >= F.col("cut"), F.lit(False))).drop("cut")


def immediate_raises(settings: Settings) -> Column:
    """Levels by which the row's warnings are raised: 1 where its value is at the top or it has signals of many causes."""
    raises = settings.tiers.raises
    because = F.coalesce(F.col(TOP_VALUE), F.lit(False))
    if raises.causes_at_once is not None:
        causes = F.size(F.array_distinct(F.transform("signals", lambda one: one["cause"])))
        because = because | (causes >= raises.causes_at_once)
    return because.cast("int")
