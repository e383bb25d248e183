"""Convert the times of a source to instants in UTC and to business days."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DateType, NullType, StringType, TimestampNTZType, TimestampType

from churnwatch.core import ConfigError

SHAPE = r"^\d{4}-\d{1,2}-\d{1,2}([T ].*)?$"  # without it Spark would read '12:30' as today at 12:30
DATE_ALONE = r"^\d{4}-\d{1,2}-\d{1,2}$"
ZONED = r":\d{2}([.,]\d+)? *([Zz]|[+-]\d{1,2}(:?\d{2})?|[A-Za-z][A-Za-z_/+\-0-9]*)$"
UTC = ("UTC", "Etc/UTC", "GMT", "Z")
# Unicode's white space, and characters without any width that come along when text is copied
BLANKS = "".join(
    [*map(chr, range(0x09, 0x0E)), *map(chr, range(0x1C, 0x21)), "\x85\xa0\u1680\u180e", *map(chr, range(0x2000, 0x200C))]
    + ["\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"]
)


def text_of(value: Column) -> Column:
    """Return the value as text without blanks around it; null when nothing is left."""
    return F.nullif(F.btrim(value.cast("string"), F.lit(BLANKS)), F.lit(""))


def instant(value: Column, kind: DataType, zone: str, field: str) -> Column:
    """Convert a time of the type ``kind`` to an instant in UTC; null when the text is not a time.

    Text with Z, an offset or a zone names an instant. Text without one, a DATE (its midnight) and a TIMESTAMP_NTZ are
    local times in ``zone``. A local time that a change of the clocks skips is read one hour later; of one that occurs
    twice the first is taken. Raises ConfigError for other types, such as epoch numbers.
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
        f"{field} is {kind.simpleString()}; a text, a date or a timestamp is allowed. "
        "Hint: map epoch numbers by timestamp_seconds(...) or timestamp_millis(...)"
    )


def business_day(moment: Column, zone: str) -> Column:
    """Return the date that an instant falls on in ``zone``."""
    return F.to_date(moment if zone in UTC else F.from_utc_timestamp(moment, zone))


def date_of(value: Column, kind: DataType, source_zone: str, clock_zone: str, field: str) -> Column:
    """Return a date unchanged, whatever the zones; of a time return its business day in ``clock_zone``."""
    if isinstance(kind, DateType):
        return value
    day = business_day(instant(value, kind, source_zone, field), clock_zone)
    if isinstance(kind, StringType):
        text = text_of(value)
        return F.when(text.rlike(DATE_ALONE), text.try_cast("date")).otherwise(day)
    return day


def _local(moment: Column, zone: str) -> Column:
    return moment if zone in UTC else F.to_utc_timestamp(moment, zone)
