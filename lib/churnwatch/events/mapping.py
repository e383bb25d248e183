"""Map the rows of a source to the canonical fields, by the expressions of sources.yaml."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Protocol

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, MapType, NullType, StringType, StructType

from churnwatch.core import ConfigError, DataQualityError, contiguous
from churnwatch.events.ids import user_id
from churnwatch.events.instants import text_of
from churnwatch.settings import Source

OUTSIDE = "outside_days"
MISSING_COLUMN = "UNRESOLVED_COLUMN.WITH_SUGGESTION"
REJECTED = "rejected"
UNDATED = date(1970, 1, 1)  # day of refused rows that have neither a time nor a file of a day


class SourcePort(Protocol):
    """The port to raw input."""

    def find_rows(self, source: Source, days: Sequence[date], without: Collection[date] = ()) -> DataFrame | None:
        """Return rows of the source with ``_file``, ``_file_day``, ``_corrupt`` and ``_raw``; None when there is no file.

        ``without``: days of files that are not read.
        """
        ...

    def list_files(self, source: Source, days: Sequence[date]) -> Mapping[date, str]:
        """Return the state of the files that ``days`` read, by the day of the file (1970-01-01: files have none)."""
        ...

    def find_columns(self, source: Source, file_day: date) -> Sequence[str]:
        """Return the names of the columns in the files of ``file_day`` (1970-01-01: in all files of the source)."""
        ...

    def protect(self, rows: DataFrame, column: str = "user_id") -> DataFrame:
        """Leave out rows of erased users. Where ids are pseudonymised, hash ``column`` and empty ``_raw`` and ``_own``."""
        ...

    def read_at(self) -> datetime:
        """Return the wall clock of this read, UTC."""
        ...


class Mapped:
    """A source's rows with a column ``m_<field>`` for each mapped field; fields that are not mapped are null."""

    def __init__(self, rows: DataFrame, source: Source) -> None:
        own = [name for name in rows.columns if name not in ("_file", "_file_day", "_corrupt", "_raw")]
        if source.where:
            # unreadable rows are kept, because the condition cannot be evaluated on them
            rows = rows.where(f"_corrupt IS NOT NULL OR ({source.where})")
        try:
            self.frame = rows.select(
                *(F.expr(text).alias(f"m_{field}") for field, text in source.map.items()),
                "_file",
                "_file_day",
                "_corrupt",
                "_raw",
                F.struct(*(F.col(f"`{name.replace('`', '``')}`") for name in own)).alias("_own"),
            )
        except AnalysisException as error:
            if error.getCondition() != MISSING_COLUMN:
                raise
            missing = (error.getMessageParameters() or {}).get("objectName", "a column")
            raise DataQualityError(
                f"source {source.name}: the map names {missing}, which the files lack; they have {', '.join(own)}. "
                "Nothing was published. Hint: correct the map in sources.yaml, or the files"
            ) from error
        self._source = source

    def kind(self, field: str) -> DataType:
        """Return the type of the mapped field; NullType when it is not mapped."""
        return self.frame.schema[f"m_{field}"].dataType if field in self._source.map else NullType()

    def value(self, field: str) -> Column:
        """Return the mapped field in the source's type; null when it is not mapped."""
        return F.col(f"m_{field}") if field in self._source.map else F.lit(None)

    def text(self, field: str) -> Column:
        """Return the mapped field as text without blanks at its ends; null when nothing is left."""
        return text_of(self.value(field))

    def user_id(self) -> Column:
        """Return the user id as the source's ``ids`` say it is spelled; null when it is blank."""
        return user_id(self.value("user_id"), self.kind("user_id"), self._source.ids)

    def texts(self, field: str) -> Column:
        """Return a map, a struct or a JSON text as a map of texts. Raises ConfigError for other types."""
        kind, value = self.kind(field), self.value(field)
        if isinstance(kind, NullType | MapType):
            return value.cast("map<string,string>")
        if isinstance(kind, StringType):
            return F.from_json(value, "map<string,string>")
        if isinstance(kind, StructType):
            return F.create_map(*[part for n in kind.names for part in (F.lit(n), value.getField(n).cast("string"))])
        raise ConfigError(f"{self.label(field)} is {kind.simpleString()}; a map, a struct or a JSON text is allowed")

    def json_text(self, field: str) -> Column:
        """Return the JSON text that ``texts`` parses; null when the field is blank or no text."""
        return self.text(field) if isinstance(self.kind(field), StringType) else F.lit(None).cast("string")

    def label(self, field: str) -> str:
        """Name the source, the field and its expression for an error message."""
        return f"source {self._source.name}: map.{field} {self._source.map.get(field)!r}"


def is_unreadable(text: Column, parsed: Column) -> Column:
    """Test whether a JSON text is not one object; false for null and the text ``null``. ``parsed``: what ``texts`` made of it.

    The parser reads '{"a": 1} more' as well, so the text must end where an object can end.
    """
    whole = text.startswith("{") & text.endswith("}") & parsed.isNotNull()
    return F.coalesce((text != "null") & ~whole, F.lit(False))


def raw_text() -> Column:
    """Return the row as the source wrote it: its own text, else its columns as JSON. Bytes that are no UTF-8 become U+FFFD,
    because other readers of the table would fail on them."""
    return F.make_valid_utf8(F.coalesce(F.col("_raw"), F.to_json("_own")))


def badly_encoded(*columns: str) -> Column:
    """Test whether one of the texts has bytes that are no UTF-8. Readers of text put U+FFFD in their place, so that two ids
    could become one."""
    text = F.concat_ws(" ", *columns)
    return text.contains("\ufffd") | ~F.is_valid_utf8(text)


def with_control_character(*columns: str) -> Column:
    """Test whether one of the ids has a control character, such as NUL or a tabulator."""
    return F.concat_ws(" ", *columns).rlike(r"\p{Cc}")


def map_text(value: Column) -> Column:
    """Write a map as text that does not depend on the order of its entries."""
    return F.to_json(F.sort_array(F.map_entries(value)))


def fingerprint(*values: Column) -> Column:
    """Return the MD5 of the values; a null and an empty text differ."""
    return F.md5(F.concat_ws("\x1f", *(F.coalesce(value.cast("string"), F.lit("\x00")) for value in values)))


def only_nobody() -> Column:
    """Test whether a refused row has no fault but a user id that stands for nobody."""
    return F.coalesce(F.col("_nobody") & (F.col("_reasons") == "no_user"), F.lit(False))


def is_one_of(days: Sequence[date], day: Column) -> Column:
    """Test whether the date ``day`` is one of ``days``; false when it is null."""
    inside = day.between(min(days), max(days)) if contiguous(days) else day.isin(list(days))
    return F.coalesce(inside, F.lit(False))


def file_days(source: Source, day: date) -> list[date]:
    """Return the days of the files that may hold rows of ``day``; 1970-01-01 where files have no day."""
    return [day + timedelta(days=offset) for offset in source.file_days] if source.daily else [UNDATED]


def file_business_day(source: Source) -> Column:
    """Return the business day whose events a file mainly holds: its ``{day}`` minus the smallest offset of ``file_days``.

    Null when the path has no ``{day}``.
    """
    nearest = min(source.file_days, key=lambda offset: (abs(offset), offset), default=0)
    return F.date_sub(F.col("_file_day"), nearest)


def reject_day(source: Source, own_day: Column) -> Column:
    """Return the day under which a refused row is stored: its own, else its file's, else 1970-01-01."""
    return F.coalesce(own_day, file_business_day(source), F.lit(UNDATED))


def reasons_text(reasons: Mapping[str, Column]) -> Column:
    """Join the reasons that hold, in alphabetical order, by commas; '' when none holds.

    An unreadable row has the reason ``broken_row`` alone. The result is a text and not an array, because arrays are
    filtered and sorted by interpreted lambdas: 30 us a row against 2.
    """
    found = F.concat_ws(",", *(F.when(reasons[reason], F.lit(reason)) for reason in sorted(reasons)))
    return F.when(F.col("_corrupt").isNotNull(), F.lit("broken_row")).otherwise(found)
