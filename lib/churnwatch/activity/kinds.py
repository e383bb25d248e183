"""Aggregate measures by their kind: slots to a day, days to a month."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, FractionalType, IntegralType, StringType

from churnwatch.settings import Measure
from churnwatch.settings.names import COUNTED

LARGEST_SUM = 10**15  # of a user and slot of a day; 365 days of 24 slots are below 2^63


def merged_value(name: str, measure: Measure, cap: int) -> Column:
    """Aggregate the column ``name`` over rows of one user: a sum, a minimum, a maximum, or the ``cap`` smallest values of
    sets. The kind ``last`` is not handled here, because it needs a column that says which row is the newest.
    """
    if measure.kind == "distinct":
        return smallest(F.array_distinct(F.flatten(F.collect_list(name))), cap)
    return {"min": F.min, "max": F.max}.get(measure.kind, F.sum)(name)


def bounded_sum(value: Column) -> Column:
    """Sum whole numbers; 0 without any. A sum beyond LARGEST_SUM, either way, is that number, so that sums of years of such
    days still fit into 64 bits and a few absurd amounts of one user do not stop the day of all."""
    most, zero = F.lit(LARGEST_SUM), F.lit(0).cast("long")
    # null with values: the sum itself did not fit
    total = F.coalesce(F.try_sum(value), F.when(F.count(value) > 0, most), zero)
    return F.greatest(F.least(total, most), -most)


def smallest(values: Column, cap: int) -> Column:
    """Return the ``cap`` smallest values, sorted, so that the result does not depend on the order of rows."""
    return F.slice(F.sort_array(values), 1, cap)


def has_value(name: str, measure: Measure) -> Column:
    """Test whether a row has a value of the measure: above zero for counts, not zero for sums, not empty for sets, not null
    for other kinds."""
    return has_value_of_kind(name, "count" if measure.kind in COUNTED else measure.kind)


def has_value_of_kind(name: str, kind: str) -> Column:
    """Test whether a row has a value of a measure that is aggregated as ``kind``: see ``has_value``."""
    if kind == "count":
        return F.col(name) > 0
    if kind == "sum":
        return F.col(name) != 0
    return F.size(name) > 0 if kind == "distinct" else F.col(name).isNotNull()


def rounded_integer(value: Column, kind: DataType) -> Column:
    """Round ``value`` to a whole number, so that sums over events are exact; null when it is not a number."""
    if isinstance(kind, IntegralType | BooleanType):
        return value.cast("long")
    if isinstance(kind, StringType):
        value = value.try_cast("double")
    if isinstance(kind, StringType | FractionalType):
        value = F.round(value)
    return value.try_cast("long")
