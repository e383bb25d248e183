"""Raise a warning's level for reasons besides its rules: much value at risk, or many causes at once."""

from collections.abc import Iterable, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import Settings

PARTS = 64  # bins of value per doubling, so that a cut is exact to 1.1 %
TOP_VALUE = "top_value"


def per_value_bin(scores: DataFrame) -> DataFrame:
    """Count users per bin of value at risk: one row per non-empty ``bin``, a few thousand at most, with ``users``."""
    return scores.groupBy(_bin().alias("bin")).agg(F.count("*").alias("users"))


def top_value_cut(bins: Iterable[Mapping[str, int]], share: float) -> int | None:
    """Return the lowest bin of the users with the most value at risk; None if the share takes no whole bin.

    The cut takes whole bins and never more users than ``share`` of all. Bin 0, without value, is never taken.

    >>> top_value_cut([{"bin": 0, "users": 6}, {"bin": 500, "users": 3}, {"bin": 700, "users": 1}], share=0.3)
    700
    """
    counts = {row["bin"]: row["users"] for row in bins}
    limit, taken, cut = sum(counts.values()) * share, 0, None
    for place in sorted(counts, reverse=True):
        taken += counts[place]
        if taken > limit or place <= 0:
            break
        cut = place
    return cut


def is_top_value(cut: int | None) -> Column:
    """Return whether the row's value at risk lies in bin ``cut`` or above."""
    return F.lit(False) if cut is None else F.coalesce(_bin() >= cut, F.lit(False))


def _bin() -> Column:
    value = F.greatest(F.col("value_at_risk_cents"), F.lit(0))
    return F.floor(F.log2(value + 1) * PARTS).cast("int")


def immediate_raises(settings: Settings) -> Column:
    """Return the levels to add to the row's signals: 1 if its value is at the top or its signals have many causes, else 0."""
    raises = settings.tiers.raises
    because = F.coalesce(F.col(TOP_VALUE), F.lit(False))
    if raises.causes_at_once is not None:
        causes = F.size(F.array_distinct(F.transform("signals", lambda one: one["cause"])))
        because = because | (causes >= raises.causes_at_once)
    return because.cast("int")
