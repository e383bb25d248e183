"""Families of features: the aggregates and columns that each adds on the way from activity to one row per user."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.names import base_measures, counted_measures, measure_names

Kinds = dict[str, str]


@dataclass(frozen=True)
class FeatureFamily:
    """Columns of a family of features.

    ``per_ring``: aggregates over the activity rows of one (user, snapshot, ring), with their measures and ``age``.
    ``per_user``: aggregates over the rings of one (user, snapshot).
    ``intermediate``: (name, column) pairs, computed in order; each may use those before it.
    ``output``: the columns that are returned.
    """

    per_ring: Sequence[Column] = ()
    per_user: Sequence[Column] = ()
    intermediate: Sequence[tuple[str, Column]] = ()
    output: Sequence[Column] = ()


def merge_families(families: Iterable[FeatureFamily]) -> FeatureFamily:
    """Merge families into one."""
    families = list(families)
    return FeatureFamily(
        per_ring=[column for family in families for column in family.per_ring],
        per_user=[column for family in families for column in family.per_user],
        intermediate=[pair for family in families for pair in family.intermediate],
        output=[column for family in families for column in family.output],
    )


def measure_kinds(settings: Settings) -> Kinds:
    """Map each measure to how its days are aggregated (count, sum, min, max, last or distinct); those of every domain first."""
    counted, measures = counted_measures(settings), settings.measures.measures
    names = [*base_measures(settings), *measure_names(settings)]
    return {name: "count" if name in counted else measures[name].kind for name in names}


def window_value(name: str, kind: str, where: Column, age: Column) -> Column:
    """Aggregate a measure over the rows that meet ``where``. Without such a row: 0 for counts and sums, else null.

    A count is at least 0: the first day of a window may hold -1 for a path that began on the day before it. ``age``: days
    from the row to the snapshot. The kind ``last`` takes the youngest row with a value; a user has one row a day, so there
    are no ties.
    """
    value = F.when(where, F.col(name))
    if kind == "last":
        return F.max_by(value, F.when(value.isNotNull(), -age))
    if kind in ("count", "sum"):
        total = F.coalesce(F.sum(value), F.lit(0).cast("long"))
        return F.greatest(total, F.lit(0).cast("long")) if kind == "count" else total
    return F.min(value) if kind == "min" else F.max(value)
