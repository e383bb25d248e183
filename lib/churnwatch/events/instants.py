"""Times as sources give them, as instants in UTC and business days."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DateType, NullType, StringType, TimestampNTZType, TimestampType

from churnwatch.core import ConfigError

SHAPE = r"^\d{4}-\d{1,2}-\d{1,2}([T ].*)?$"  # Spark alone would read '12:30' as today at half past twelve
DATE_ALONE = r"^\d{4}-\d{1,2}-\d{1,2}$"
ZONED = r":\d{2}([.,]\d+)? *([Zz]|[+-]\d{1,2}(:?\d{2})?|[A-Za-z][A-Za-z_/+\-0-9]*)$"
UTC = ("UTC", "Etc/UTC", "GMT", "Z")
BLANKS = " \t\r\n\u00a0\u3000"


def text_of(value: Column) -> Column:
    """The value as text without blanks around it; null where nothing is left."""
    return F.nullif(F.btrim(value.cast("string"), F.lit(BLANKS)), F.lit(""))


def instant(value: Column, kind: DataType, zone: str, field: str) -> Column:
    """The instant in UTC of a time of the type ``kind``; null where it is none.

    Text with Z, an offset or a zone is an instant; text without one, a DATE (its midnight) and a TIMESTAMP_NTZ are
    local in ``zone``: a time that a clock skipped is an hour later, one that it showed twice is the first of both.
    Raises ConfigError for types that are no times, such as epoch numbers.
    """
    if isinstance(kind, TimestampType):
        return value
    if isinstance(kind, DateType | TimestampNTZType):
        return _local(value.cast("timestamp"), zone)
    if isinstance(kind, NullType):
        return value.cast("timestamp")
    if isinstance(kind, StringType):
        text = text_of(value)
        read = F.when(text.rlike(SHAPE), text.try_cast("timestamp"))
        return read if zone in UTC else F.when(text.rlike(ZONED), read).otherwise(_local(read, zone))
    raise ConfigError(
        f"{field} is {kind.simpleString()}, which is no time: map it by timestamp_seconds(...) or timestamp_millis(...)"
    )


def business_day(moment: Column, zone: str) -> Column:
    """The date of an instant in ``zone``."""
    return F.to_date(moment if zone in UTC else F.from_utc_timestamp(moment, zone))


def date_of(value: Column, kind: DataType, source_zone: str, clock_zone: str, field: str) -> Column:
    """The date of a day or time: a date alone is itself, whatever the zones; a time's is its business day."""
    if isinstance(kind, DateType):
        return value
    day = business_day(instant(value, kind, source_zone, field), clock_zone)
    if isinstance(kind, StringType):
        text = text_of(value)
        return F.when(text.rlike(DATE_ALONE), text.try_cast("date")).otherwise(day)
    return day


def _local(moment: Column, zone: str) -> Column:
    return moment if zone in UTC else F.to_utc_timestamp(moment, zone)
