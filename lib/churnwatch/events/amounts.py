"""Numbers as sources give them, as whole cents and milliseconds, and what is wrong with the others."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, NullType, NumericType, StringType

from churnwatch.core import ConfigError
from churnwatch.events.instants import text_of

LIMIT = 1e15  # major units or seconds: a thousandth of it still fits into 64 bits


def number(value: Column, kind: DataType, field: str) -> Column:
    """The value as text (of a number type: as it is), null where it is blank; raises ConfigError for other types."""
    if isinstance(kind, StringType | NullType):
        return text_of(F.btrim(value.cast("string"), F.lit(' "')))
    if isinstance(kind, NumericType):
        return value
    raise ConfigError(f"{field} is {kind.simpleString()}, which is no number: map it to a number or a text")


def whole(value: Column, digits: int) -> Column:
    """``value`` * 10^digits as a whole number, rounded half up once, by decimal arithmetic: 19.99 is 1999.

    Null where the value is no finite number or too large (1e15).
    """
    fine = F.when(F.abs(value.try_cast("double")) < LIMIT, value)
    return (fine.try_cast(f"decimal({16 + digits},{digits})") * F.lit(10**digits)).cast("long")


def faults(value: Column, name: str, negative: bool = True) -> dict[str, Column]:
    """Reasons against a number and when they hold: no number, not finite, too large, negative where refused."""
    read = value.try_cast("double")
    finite = ~F.isnan(read) & (F.abs(read) != F.lit(float("inf")))
    decimal = value.try_cast("decimal(38,3)")
    none = value.isNotNull() & (read.isNull() | (finite & (F.abs(read) < LIMIT) & decimal.isNull()))
    reasons = {
        f"bad_{name}": none,
        f"{name}_not_finite": read.isNotNull() & ~finite,
        f"{name}_too_large": finite & (F.abs(read) >= LIMIT),
    }
    if not negative:
        reasons[f"negative_{name}"] = finite & (read < 0)
    return reasons
