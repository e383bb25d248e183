"""Wide rows of features as narrow ones: one aggregation then serves any number of features."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def per_feature(frame: DataFrame, keep: Sequence[str], features: Sequence[str]) -> DataFrame:
    """One row per row of ``frame`` and feature: ``keep``, ``feature``, ``value`` (double; NaN becomes null).

    Narrow rows instead of one wide aggregation: hundreds of aggregates in one plan cost more to compile than the rows to group.
    """
    pairs = F.array(*(F.struct(F.lit(name).alias("feature"), _number(name).alias("value")) for name in features))
    return frame.select(*keep, F.explode(pairs).alias("pair")).select(*keep, "pair.feature", "pair.value")


def _number(name: str) -> Column:
    value = F.col(name).cast("double")
    return F.when(~F.isnan(value), value)
