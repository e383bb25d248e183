"""Count distinct values from sets of hashes: in windows and months, and those that are new or given up.

Stored sets hold the ``distinct_cap`` smallest hashes of a day or month. So do unions of them: the k smallest hashes of a
union are among the k smallest of its parts. A union with fewer than k hashes is complete, and its size is the number of
values. From k on the number is estimated as (k - 1) / u, where u is the k-th smallest hash as a share of all hashes
(Z. Bar-Yossef et al., Counting distinct elements in a data stream, RANDOM 2002; the unbiased form of K. Beyer et al., On
synopses for distinct-value estimation under multiset operations, SIGMOD 2007). Its standard error is about 1 / sqrt(k - 2):
7 % for 200. The same rule holds for a day, a window and a month.
"""

from collections.abc import Callable, Iterator

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.activity.kinds import smallest
from churnwatch.features.families import FeatureFamily, Kinds
from churnwatch.settings import Settings
from churnwatch.settings.names import month_column, window_column


def sets(kinds: Kinds, settings: Settings) -> FeatureFamily:
    """Compute the windows of distinct measures, and ``<measure>_new`` and ``<measure>_given_up`` of the configured ``shifts``."""
    m = settings.measures
    names = [name for name, kind in kinds.items() if kind == "distinct"]
    keys = ["ring", "current"] if m.months_of else ["ring"]
    cap = settings.activity.distinct_cap
    return FeatureFamily(
        per_ring=[smallest(F.array_distinct(F.flatten(F.collect_list(name))), cap).alias(name) for name in names],
        # collected once per measure and not per window, because sets are the largest columns
        per_user=[F.collect_list(F.struct(*keys, F.col(name).alias("values"))).alias(f"{name}_sets") for name in names],
        # columns of their own, because each is used several times
        intermediate=[(f"_{feature}", union) for name in names for feature, union in _unions(name, settings)],
        output=[column for name in names for column in _output(name, settings)],
    )


def _unions(name: str, settings: Settings) -> Iterator[tuple[str, Column]]:
    """Yield the hashes behind each feature of the measure that is one number of values, and those behind its shifts."""
    m, cap = settings.measures, settings.activity.distinct_cap
    for index, window in enumerate(m.windows_days):
        yield window_column(name, window), _union(name, _rings(0, index), cap)
    if name in m.shifts:
        trend = m.windows_days.index(m.trend_days)
        yield f"{name}_last", _union(name, _rings(0, trend), cap)
        yield f"{name}_before", _union(name, _rings(trend + 1, len(m.windows_days) - 1), cap)
    if name in m.months_of:
        yield month_column(name, 0), _union(name, lambda one: one["current"], cap)
        for back in range(1, m.months + 1):
            ring = len(m.windows_days) + back
            yield month_column(name, back), _union(name, _rings(ring, ring), cap)


def _output(name: str, settings: Settings) -> Iterator[Column]:
    m, cap = settings.measures, settings.activity.distinct_cap
    months = [month_column(name, back) for back in range(m.months + 1)] if name in m.months_of else []
    for feature in [*(window_column(name, window) for window in m.windows_days), *months]:
        yield number_of_values(F.col(f"_{feature}"), cap).alias(feature)
    if name in m.shifts:
        last, before = F.col(f"_{name}_last"), F.col(f"_{name}_before")
        yield _number_missing(last, before, cap).alias(f"{name}_new")
        yield _number_missing(before, last, cap).alias(f"{name}_given_up")


def _rings(first: int, last: int) -> Callable[[Column], Column]:
    return lambda one: (one["ring"] >= first) & (one["ring"] <= last)


def _union(name: str, inside: Callable[[Column], Column], cap: int) -> Column:
    """Return the ``cap`` smallest hashes in the sets of the rings that meet ``inside``, sorted."""
    chosen = F.filter(f"{name}_sets", inside)
    return smallest(F.array_distinct(F.flatten(F.transform(chosen, lambda one: one["values"]))), cap)


def number_of_values(hashes: Column, cap: int) -> Column:
    """Return the number of distinct values behind ``hashes``, the ``cap`` smallest of theirs, sorted; estimated from ``cap``
    on, and then at least ``cap``."""
    last = F.try_element_at(hashes, F.lit(cap)).cast("double")
    share = (last + F.lit(float(1 << 63))) / F.lit(float(1 << 64))
    estimate = F.greatest(F.lit(cap).cast("long"), F.round(F.try_divide(F.lit(cap - 1.0), share)).cast("long"))
    return F.when(F.size(hashes) < cap, F.size(hashes).cast("long")).otherwise(estimate)


def _number_missing(mine: Column, others: Column, cap: int) -> Column:
    """Return the number of values of ``mine`` that are not among ``others``.

    When the union of both reaches ``cap``, the share of such hashes among its ``cap`` smallest is taken of its estimated
    number (Beyer et al., as above). A hash among these belongs to ``mine`` exactly when ``mine`` holds it.
    """
    union = smallest(F.array_union(mine, others), cap)
    missing = F.size(F.array_except(F.array_intersect(union, mine), others)).cast("long")
    estimate = F.round(missing * number_of_values(union, cap) / F.lit(float(cap))).cast("long")
    return F.when(F.size(union) < cap, missing).otherwise(estimate)
