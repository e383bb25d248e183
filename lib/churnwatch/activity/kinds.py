"""Aggregate measures by their kind: slots to a day, days to a month."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, FractionalType, IntegralType, StringType

from churnwatch.settings import Measure


def merged_value(name: str, measure: Measure, cap: int) -> Column:
    """Aggregate the column ``name`` over rows of one user: a sum, a minimum, a maximum, or the ``cap`` smallest values of
    sets. The kind ``last`` is not handled here, because it needs a column that says which row is the newest.
    """
    if measure.kind == "distinct":
        return smallest(F.array_distinct(F.flatten(F.collect_list(name))), cap)
    return {"min": F.min, "max": F.max}.get(measure.kind, F.sum)(name)


def smallest(values: Column, cap: int) -> Column:
    """Return the ``cap`` smallest values, sorted, so that the result does not depend on the order of rows."""
    return F.slice(F.sort_array(values), 1, cap)


def has_value(name: str, measure: Measure) -> Column:
    """Test whether a row has a value of the measure: not zero for sums, not empty for sets, not null for other kinds."""
    if measure.kind == "distinct":
        return F.size(name) > 0
    return F.col(name).isNotNull() if measure.kind in ("min", "max", "last") else F.col(name) != 0


def rounded_integer(value: Column, kind: DataType) -> Column:
    """Round ``value`` to a whole number, so that sums over events are exact; null when it is not a number."""
    if isinstance(kind, IntegralType | BooleanType):
        return value.cast("long")
    if isinstance(kind, StringType):
        value = value.try_cast("double")
    if isinstance(kind, StringType | FractionalType):
        value = F.round(value)
    return value.try_cast("long")
