"""Groups and the base: how many came back, against what is usual."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.rule_columns import TREND_COLUMNS, usual_column

USUAL_DAYS = 28
FEWEST_USUAL_DAYS = 7  # fewer say nothing about what is usual
BASE = "all"


def per_group(trend: DataFrame, rates: DataFrame, settings: Settings) -> DataFrame:
    """One row a segment and value of the newest day of ``trend``, with what rules may ask for.

    segment, value, active, came_back, share, low, high and the indicators by name; ``share_usual`` and
    ``<indicator>_usual``: median of the 28 days before that day, null with fewer than 7 of them; ``rate_primary``: newest
    churn rate of the primary definition, a share.
    """
    indicators = list(settings.measures.indicators)
    trend = trend.withColumns({name: F.col("indicators")[name] for name in indicators}) if indicators else trend
    newest = trend.agg(F.max("day").alias("newest"))
    dated = trend.crossJoin(F.broadcast(newest))  # newest: one row
    usual = (
        dated.where((F.col("day") < F.col("newest")) & (F.col("day") >= F.date_sub("newest", USUAL_DAYS)))
        .groupBy("segment", "value")
        .agg(*(_usual(name) for name in ["share", *indicators]))
    )
    confirmed = (
        rates.where(F.col("definition") == settings.churn.primary)
        .groupBy("segment", "value")
        .agg(F.max_by("rate", "day").alias("rate_primary"))
    )
    return (
        dated.where(F.col("day") == F.col("newest"))
        .join(usual, ["segment", "value"], "left")  # usual: one row a group
        .join(confirmed, ["segment", "value"], "left")  # confirmed: one row a group
        .select(*TREND_COLUMNS, *(column for name in indicators for column in (name, usual_column(name))))
    )


def _usual(name: str) -> Column:
    return F.when(F.count(name) >= FEWEST_USUAL_DAYS, F.median(name)).alias(usual_column(name))
