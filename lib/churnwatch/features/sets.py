"""Count distinct values: sizes of unions of capped sets, and values that are new or given up."""

from collections.abc import Callable, Iterator

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.features.families import FeatureFamily, Kinds
from churnwatch.settings import Settings
from churnwatch.settings.names import month_column, window_column


def sets(kinds: Kinds, settings: Settings) -> FeatureFamily:
    """Compute the windows of distinct measures, and ``<measure>_new`` and ``<measure>_given_up`` of the configured ``shifts``."""
    m = settings.measures
    names = [name for name, kind in kinds.items() if kind == "distinct"]
    keys = ["ring", "current"] if m.months_of else ["ring"]
    return FeatureFamily(
        per_ring=[F.array_distinct(F.flatten(F.collect_list(name))).alias(name) for name in names],
        # collected once per measure and not per window, because sets are the largest columns
        per_user=[F.collect_list(F.struct(*keys, F.col(name).alias("values"))).alias(f"{name}_sets") for name in names],
        output=[column for name in names for column in _output(name, settings)],
    )


def _output(name: str, settings: Settings) -> Iterator[Column]:
    m = settings.measures
    for index, window in enumerate(m.windows_days):
        yield F.size(_union(name, _rings(0, index))).alias(window_column(name, window))
    if name in m.shifts:
        trend = m.windows_days.index(m.trend_days)
        last = _union(name, _rings(0, trend))
        before = _union(name, _rings(trend + 1, len(m.windows_days) - 1))
        yield F.size(F.array_except(last, before)).alias(f"{name}_new")
        yield F.size(F.array_except(before, last)).alias(f"{name}_given_up")
    if name in m.months_of:
        yield F.size(_union(name, lambda one: one["current"])).alias(month_column(name, 0))
        for back in range(1, m.months + 1):
            ring = len(m.windows_days) + back
            yield F.size(_union(name, _rings(ring, ring))).alias(month_column(name, back))


def _rings(first: int, last: int) -> Callable[[Column], Column]:
    return lambda one: (one["ring"] >= first) & (one["ring"] <= last)


def _union(name: str, inside: Callable[[Column], Column]) -> Column:
    """Return the union of the sets of the rings that meet ``inside``."""
    chosen = F.filter(f"{name}_sets", inside)
    return F.array_distinct(F.flatten(F.transform(chosen, lambda one: one["values"])))
