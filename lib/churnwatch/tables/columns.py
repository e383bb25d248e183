"""Columns, types and texts that the contracts of several tables share.

Instants are UTC; ``day`` is the business day in ``clock.time_zone``; money is in cents, durations in milliseconds.
"""

from collections.abc import Iterable
from typing import Any

from pyspark.sql.types import ArrayType, DoubleType, IntegerType, LongType, MapType, StringType, StructField, StructType

from churnwatch.core import Table, column

BUSINESS_DAY = "business day, in clock.time_zone"
USER = "key of the user, as the source gives it"
PROBABILITY = "{0} IS NULL OR ({0} >= 0 AND {0} <= 1)"
BUCKET = column(
    "bucket", "integer", "part of the table that holds the user: pmod(xxhash64(user_id), activity.buckets)", nullable=False
)
INTERVAL = "95 % confidence interval"


def _structs(**types: str) -> ArrayType:
    struct = StructType()
    for name, data_type in types.items():
        struct = struct.add(name, data_type)
    return ArrayType(struct)


STRINGS = ArrayType(StringType())
TEXT_BY_NAME = MapType(StringType(), StringType())
COUNT_BY_NAME = MapType(StringType(), LongType())
COUNT_BY_HOUR = MapType(IntegerType(), LongType())
NUMBER_BY_NAME = MapType(StringType(), DoubleType())
REASONS = _structs(measure="string", value="double", contribution="double", cause="string", usual="double", feature="string")
EVIDENCE = _structs(measure="string", days="integer", value="double", usual="double")
IMPROVEMENT = _structs(measure="string", feature="string", value="double", usual="double", probability="double").elementType
SEGMENTS = _structs(segment="string", value="string")
CASES = _structs(
    case_id="string",
    level="string",
    cause="string",
    rule_id="string",
    evidence="string",
    owner="string",
    due_on="date",
    state="string",
    risen_on="date",
)
GRANTS = _structs(channel="string", purpose="string", granted="boolean", since="date")
RANGES = _structs(first="date", last="date")
RESTATED = _structs(table="string", first="date", last="date")
INPUTS = _structs(table="string", version="long", first="date", last="date")
OUTPUTS = _structs(table="string", version="long", rows="long")


def table(name: str, comment: str, columns: list[StructField], keys: tuple[str, ...], **options: Any) -> Table:
    """The contract of the table ``name`` with ``columns``; ``options`` are those of ``Table``."""
    return Table(name=name, comment=comment, schema=StructType(columns), keys=keys, **options)


def day(comment: str = BUSINESS_DAY) -> StructField:
    """The column ``day``, which every table has."""
    return column("day", "date", comment, nullable=False)


def one_of(name: str, values: Iterable[str]) -> str:
    """SQL that is true where the column ``name`` is one of ``values``."""
    return f"{name} IN ({', '.join(f'{value!r}' for value in values)})"


def user(comment: str = USER) -> StructField:
    """The column ``user_id`` of a table with rows per user."""
    return column("user_id", "string", comment, nullable=False)
