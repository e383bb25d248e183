"""What a kind of measure means for rows that are put together: slots to a day, days to a month."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, FractionalType, IntegralType, StringType

from churnwatch.settings import Measure


def merged_value(name: str, measure: Measure, cap: int) -> Column:
    """Aggregate of the column ``name`` over rows of one user: sums, extremes, and the ``cap`` smallest of sets.

    ``last`` is not among them: it needs to know which row is the newest.
    """
    if measure.kind == "distinct":
        return smallest(F.array_distinct(F.flatten(F.collect_list(name))), cap)
    return {"min": F.min, "max": F.max}.get(measure.kind, F.sum)(name)


def smallest(values: Column, cap: int) -> Column:
    """The ``cap`` smallest values, sorted: the same whatever the order in which they arrived."""
    return F.slice(F.sort_array(values), 1, cap)


def has_value(name: str, measure: Measure) -> Column:
    """Whether a row has anything of the measure: not zero where it is summed, not empty, not null."""
    if measure.kind == "distinct":
        return F.size(name) > 0
    return F.col(name).isNotNull() if measure.kind in ("min", "max", "last") else F.col(name) != 0


def rounded_integer(value: Column, kind: DataType) -> Column:
    """``value`` as a whole number; fractions are rounded event by event, so that sums are exact; null where it is none."""
    if isinstance(kind, IntegralType | BooleanType):
        return value.cast("long")
    if isinstance(kind, StringType):
        value = value.try_cast("double")
    if isinstance(kind, StringType | FractionalType):
        value = F.round(value)
    return value.try_cast("long")
