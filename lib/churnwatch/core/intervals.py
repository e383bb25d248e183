"""Intervals of rates as columns, and how far a computed number is told."""

from pyspark.sql import Column
from pyspark.sql import functions as F

Z95 = 1.959963984540054
DIGITS = 9  # decimals: beyond that a sum of doubles depends on the order of its partitions


def wilson(hits: Column, total: Column, z: float = Z95) -> tuple[Column, Column]:
    """Lower and upper end of the Wilson score interval of ``hits / total``; null where total is 0.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    n = F.when(total > 0, total.cast("double"))
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * F.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # at the ends rounding would leave a residue of 1e-17 where the bound is exact
    low = F.when(hits == 0, F.lit(0.0)).otherwise(F.greatest(F.lit(0.0), middle - half))
    high = F.when(hits == total, F.lit(1.0)).otherwise(F.least(F.lit(1.0), middle + half))
    return F.when(n.isNotNull(), low), F.when(n.isNotNull(), high)
