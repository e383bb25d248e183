"""Read user ids as a source spells them, and find ids that stand for nobody."""

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DoubleType, FloatType

from churnwatch.events.instants import text_of
from churnwatch.settings import Ids

DECIMAL_ZERO = r"^([+-]?\d+)\.0+$"
LARGEST_WHOLE = 1e18  # up to here a float is written as a whole number; larger ones are no ids


def user_id(value: Column, kind: DataType, ids: Ids) -> Column:
    """Return the id as text without blanks at its ends; null when nothing is left.

    ``ids.strip_decimal_zero``: '17850.0' and the number 17850.0 become '17850'. ``ids.fold_case``: upper case becomes lower
    case. Nothing else is changed, so that '007' and '7' stay two users.
    """
    text = text_of(value)
    if ids.strip_decimal_zero:
        if isinstance(kind, DoubleType | FloatType):
            whole = (value == F.floor(value)) & (F.abs(value) < LARGEST_WHOLE)
            text = F.when(whole, value.cast("decimal(38,0)").cast("string")).otherwise(text)
        else:
            text = F.regexp_replace(text, DECIMAL_ZERO, "$1")
    return F.lower(text) if ids.fold_case else text


def is_nobody(user: Column, nobody: Sequence[str]) -> Column:
    """Test whether an id is one of ``nobody``, whatever its case; false when it is null."""
    return F.coalesce(F.lower(user).isin(sorted({one.strip().lower() for one in nobody})), F.lit(False))
