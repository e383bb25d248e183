"""Convert amounts and durations of a source to whole cents and milliseconds, and find those that are no numbers."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, NullType, NumericType, StringType

from churnwatch.core import ConfigError
from churnwatch.events.instants import text_of

LIMIT = 1e15  # major units or seconds: larger values could overflow 64 bits once they are cents or milliseconds


def number(value: Column, kind: DataType, field: str) -> Column:
    """Return a text without blanks and quotes around it (null when blank), and a number unchanged.

    Raises ConfigError for other types.
    """
    if isinstance(kind, StringType | NullType):
        return text_of(F.btrim(value.cast("string"), F.lit(' "')))
    if isinstance(kind, NumericType):
        return value
    raise ConfigError(f"{field} is {kind.simpleString()}; a number or a text is allowed. Hint: cast it in the map")


def scaled_integer(value: Column, digits: int) -> Column:
    """Multiply ``value`` by 10^digits and round half up, in decimal arithmetic: 19.99 with 2 digits is 1999.

    Null when the value is not a finite number or is too large (``number_faults``).
    """
    fine = F.when(F.abs(value.try_cast("double")) < _limit(digits), value)
    return (fine.try_cast(f"decimal({16 + digits},{digits})") * F.lit(10**digits)).cast("long")


def _limit(digits: int) -> float:
    return min(LIMIT, 10.0 ** (18 - digits))


def number_faults(value: Column, name: str, negative: bool = True, digits: int = 2) -> dict[str, Column]:
    """Map each reason to refuse a number to its condition: not a number, not finite, 1e15 or more (with ``digits`` decimals in
    64 bits: 1e14 with 4), and negative unless ``negative`` is allowed."""
    limit = _limit(digits)
    read = value.try_cast("double")
    finite = ~F.isnan(read) & (F.abs(read) != F.lit(float("inf")))
    decimal = value.try_cast("decimal(38,4)")
    unreadable = value.isNotNull() & (read.isNull() | (finite & (F.abs(read) < limit) & decimal.isNull()))
    reasons = {
        f"bad_{name}": unreadable,
        f"{name}_not_finite": read.isNotNull() & ~finite,
        f"{name}_too_large": finite & (F.abs(read) >= limit),
    }
    if not negative:
        reasons[f"negative_{name}"] = finite & (read < 0)
    return reasons
