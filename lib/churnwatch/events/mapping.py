"""Rows of a source as the canonical fields, by the expressions of sources.yaml."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Protocol

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, MapType, NullType, StringType, StructType

from churnwatch.core import ConfigError, contiguous
from churnwatch.settings import Source

OUTSIDE = "outside_days"
REJECTED = "rejected"
UNDATED = date(1970, 1, 1)  # rejects of which nothing tells the day


class SourcePort(Protocol):
    """What ingest needs of the port to raw input."""

    def found(self, source: Source, days: Sequence[date]) -> DataFrame | None:
        """Rows of the source with ``_file``, ``_file_day``, ``_corrupt`` and ``_raw``; None where there is no file."""
        ...


class Mapped:
    """A source's rows with a column ``m_<field>`` for each mapped field; fields that are not mapped are null."""

    def __init__(self, rows: DataFrame, source: Source) -> None:
        own = [name for name in rows.columns if name not in ("_file", "_file_day", "_corrupt", "_raw")]
        if source.where:
            # a row that cannot be read passes: nobody knows whether it is meant
            rows = rows.where(f"_corrupt IS NOT NULL OR ({source.where})")
        self.frame = rows.select(
            *(F.expr(text).alias(f"m_{field}") for field, text in source.map.items()),
            "_file",
            "_file_day",
            "_corrupt",
            "_raw",
            F.struct(*(F.col(f"`{name.replace('`', '``')}`") for name in own)).alias("_own"),
        )
        self._source = source

    def kind(self, field: str) -> DataType:
        """Type of the mapped field."""
        return self.frame.schema[f"m_{field}"].dataType if field in self._source.map else NullType()

    def value(self, field: str) -> Column:
        """The mapped field, as the source's type; null where it is not mapped."""
        return F.col(f"m_{field}") if field in self._source.map else F.lit(None)

    def text(self, field: str) -> Column:
        """The mapped field as text, exactly as it is given; null where it is blank."""
        value = self.value(field).cast("string")
        return F.when(F.length(F.btrim(value, F.lit(" \t\r\n\u00a0\u3000"))) > 0, value)

    def texts(self, field: str) -> Column:
        """The mapped field as texts by name: of a map, a struct or JSON. Raises ConfigError where it is none of them."""
        kind, value = self.kind(field), self.value(field)
        if isinstance(kind, NullType | MapType):
            return value.cast("map<string,string>")
        if isinstance(kind, StringType):
            return F.from_json(value, "map<string,string>")
        if isinstance(kind, StructType):
            return F.create_map(*[part for n in kind.names for part in (F.lit(n), value.getField(n).cast("string"))])
        raise ConfigError(f"source {self._source.name}: {field} is {kind.simpleString()}; map it to a map, a struct or JSON")


def raw_text() -> Column:
    """The row as the source gave it: its own text, else its columns as JSON."""
    return F.coalesce(F.col("_raw"), F.to_json("_own"))


def map_text(value: Column) -> Column:
    """A map as text that does not depend on the order of its entries."""
    return F.to_json(F.sort_array(F.map_entries(value)))


def fingerprint(*values: Column) -> Column:
    """MD5 over values; a null is not an empty text."""
    return F.md5(F.concat_ws("\x1f", *(F.coalesce(value.cast("string"), F.lit("\x00")) for value in values)))


def within(days: Sequence[date], day: Column) -> Column:
    """Whether the date ``day`` is one of ``days``; false where it is null."""
    inside = day.between(min(days), max(days)) if contiguous(days) else day.isin(list(days))
    return F.coalesce(inside, F.lit(False))


def home_day(source: Source) -> Column:
    """The business day that a file stands for: its ``{day}``, or what ``file_days`` makes of it; null without ``{day}``."""
    nearest = min(source.file_days, key=lambda offset: (abs(offset), offset), default=0)
    return F.date_sub(F.col("_file_day"), nearest)


def reject_day(source: Source, own_day: Column) -> Column:
    """Where a refused row lies: under its own day, else its file's, else 1970-01-01."""
    return F.coalesce(own_day, home_day(source), F.lit(UNDATED))


def faults_text(reasons: Mapping[str, Column]) -> Column:
    """The reasons that hold, in alphabetical order with commas between; '' where none does.

    Of a row that cannot be read there is no other reason to tell. Text, for arrays are filtered and sorted by
    interpreted lambdas: 30 us a row against 2.
    """
    found = F.concat_ws(",", *(F.when(reasons[reason], F.lit(reason)) for reason in sorted(reasons)))
    return F.when(F.col("_corrupt").isNotNull(), F.lit("broken_row")).otherwise(found)
