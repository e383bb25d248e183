"""Windows from daily activity by age rings: every stored row is added up once, whatever the number of windows."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.snapshots import per_snapshot
from churnwatch.settings import Settings
from churnwatch.settings.names import measure_names, summed_measures, window_column

Kinds = dict[str, str]


def per_user_window(activity: DataFrame, days: Sequence[date], settings: Settings) -> DataFrame:
    """One row per (day, user_id) of ``days`` and users active within the longest window: ``<measure>_<window>d``,
    ``active_days_<window>d`` and ``<measure>_days_since`` as integers.

    A ring is what a window adds to the next shorter one (1-7, 8-14, 15-30 days ...). One shuffle by user; then rows
    are added up per (user, day, ring) in narrow sums, and the few rings of a user into windows.
    """
    windows, kinds = settings.measures.windows_days, measure_kinds(settings)
    ring = F.lit(len(windows) - 1)
    for index in reversed(range(len(windows) - 1)):
        ring = F.when(F.col("age") < windows[index], index).otherwise(ring)
    return (
        activity.select("day", "user_id", *kinds)
        .repartition("user_id")
        .transform(per_snapshot, days, oldest=windows[-1] - 1)
        .withColumn("ring", ring)
        .groupBy("snapshot", "user_id", "ring")
        .agg(*_narrow(kinds))
        .groupBy(F.col("snapshot").alias("day"), "user_id")
        .agg(*_wide(kinds, windows))
        .select("day", "user_id", *_columns(kinds, windows))
    )


def measure_kinds(settings: Settings) -> Kinds:
    """Measure -> how its days become a window: sum, min, max or distinct; ``events`` and ``sessions`` first."""
    summed, measures = summed_measures(settings), settings.measures.measures
    names = ["events", "sessions", *measure_names(settings)]
    return {name: "sum" if name in summed else measures[name].kind for name in names}


def _narrow(kinds: Kinds) -> Iterator[Column]:
    yield F.count(F.lit(1)).alias("active_days")
    for name, kind in kinds.items():
        if kind == "distinct":
            yield F.array_distinct(F.flatten(F.collect_list(name))).alias(name)
        else:
            yield _combine(kind)(name).alias(name)
        if name != "sessions":
            yield F.min(F.when(_present(name, kind), F.col("age"))).alias(f"{name}_days_since")


def _present(name: str, kind: str) -> Column:
    if kind == "sum":
        return F.col(name) != 0
    return F.size(name) > 0 if kind == "distinct" else F.col(name).isNotNull()


def _combine(kind: str) -> Callable[[Column | str], Column]:
    return {"sum": F.sum, "min": F.min, "max": F.max}[kind]


def _wide(kinds: Kinds, windows: Sequence[int]) -> Iterator[Column]:
    for name, kind in {"active_days": "sum", **kinds}.items():
        if kind == "distinct":
            # once per measure, not once per window: the sets are the only wide thing here
            yield F.collect_list(F.struct("ring", F.col(name).alias("values"))).alias(f"{name}_sets")
            continue
        for index, window in enumerate(windows):
            value = _combine(kind)(F.when(F.col("ring") <= index, F.col(name)))
            value = F.coalesce(value, F.lit(0).cast("long")) if kind == "sum" else value
            yield value.alias(window_column(name, window))
    for name in kinds:
        if name != "sessions":
            yield F.min(f"{name}_days_since").alias(f"{name}_days_since")


def _columns(kinds: Kinds, windows: Sequence[int]) -> Iterator[Column]:
    for name, kind in {"active_days": "sum", **kinds}.items():
        for index, window in enumerate(windows):
            column = window_column(name, window)
            yield _union_size(f"{name}_sets", index).alias(column) if kind == "distinct" else F.col(column)
    for name in kinds:
        if name != "sessions":
            yield F.col(f"{name}_days_since")


def _union_size(sets: str, ring: int) -> Column:
    """How many values the sets of the rings up to ``ring`` hold together."""
    inside = F.filter(sets, lambda one: one["ring"] <= ring)
    return F.size(F.array_distinct(F.flatten(F.transform(inside, lambda one: one["values"]))))
