"""Wilson intervals of rates, as Spark columns and for plain numbers, and the digits to which results are rounded."""

from pyspark.sql import Column
from pyspark.sql import functions as F

Z95 = 1.959963984540054
DIGITS = 9  # decimals of stored results, because further digits of a sum of doubles depend on the order of partitions


def wilson(hits: Column, total: Column, z: float = Z95) -> tuple[Column, Column]:
    """Lower and upper end of the Wilson score interval of ``hits / total`` (95 % by default); null where ``total`` is 0.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    n = F.when(total > 0, total.cast("double"))
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * F.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # the bound is exactly 0 or 1 there, and the formula would leave a residue of 1e-17
    low = F.when(hits == 0, F.lit(0.0)).otherwise(F.greatest(F.lit(0.0), middle - half))
    high = F.when(hits == total, F.lit(1.0)).otherwise(F.least(F.lit(1.0), middle + half))
    return F.when(n.isNotNull(), low), F.when(n.isNotNull(), high)


def wilson_interval(hits: float, total: float, alpha: float = 0.05) -> tuple[float, float]:
    """Wilson score interval of ``hits / total`` at the level 1 - ``alpha`` for plain numbers; (0, 1) where ``total`` is 0.

    Both may be fractions, as an effective sample size is.
    """
    from statsmodels.stats.proportion import proportion_confint  # its import takes a second, and not every process needs it

    return proportion_confint(hits, total, alpha, method="wilson") if total else (0.0, 1.0)
