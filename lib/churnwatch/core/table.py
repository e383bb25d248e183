"""The contract of a stored table, and the span of days that a job reads of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Literal

from pyspark.sql.types import ArrayType, DataType, MapType, StructField, StructType


def column(name: str, data_type: Any, comment: str, nullable: bool = True) -> StructField:
    """Make a column of a contract. ``data_type``: a Spark type or its simple name; ``comment``: its meaning, with the unit."""
    field_ = StructType().add(name, data_type, nullable).fields[0]
    return StructField(name, field_.dataType, nullable, {"comment": comment})


def new_fields(stored: DataType, declared: DataType, path: str) -> dict[str, DataType] | None:
    """Find the struct fields that ``declared`` adds to ``stored``: {path of the field: its type}.

    ``path`` is the column's name. {} when the types are equal. None when they differ in another way than by fields that
    were added at the end of a struct: such a change cannot be migrated.
    """
    if isinstance(stored, ArrayType) and isinstance(declared, ArrayType):
        return new_fields(stored.elementType, declared.elementType, f"{path}.element")
    if isinstance(stored, StructType) and isinstance(declared, StructType):
        known = len(stored.fields)
        if declared.names[:known] != stored.names:
            return None
        found: dict[str, DataType] = {}
        for old, new in zip(stored.fields, declared.fields, strict=False):
            if (inside := new_fields(old.dataType, new.dataType, f"{path}.{old.name}")) is None:
                return None
            found |= inside
        return found | {f"{path}.{field.name}": field.dataType for field in declared.fields[known:]}
    return {} if stored.simpleString() == declared.simpleString() else None


@dataclass(frozen=True)
class Span:
    """Days relative to the output day O: ``first`` .. ``last``, both included; ``first`` None starts at the oldest day.

    ``as_of``: one row per pick key, the one in force on O. The frame gets the columns ``day`` (in force from) and ``until``
    (last day in force), and a job over several output days joins on ``O >= day AND O <= until``. For one output day that
    condition always holds, with one exception: a job that also writes the table additionally gets the rows in force on
    O-1. With ``first`` -n the rows that were in force on O-n .. O-1 are there too, so that a join on those days finds them.
    """

    first: int | None
    last: int
    as_of: bool = False

    def days(self, first_output: date, last_output: date) -> tuple[date | None, date]:
        """First and last day to read for the output days ``first_output`` .. ``last_output``; first None: the oldest day."""
        first = None if self.first is None else first_output + timedelta(days=self.first)
        return first, last_output + timedelta(days=self.last)

    def __str__(self) -> str:
        if self.as_of:
            return f"as of O{self.first} .. O" if self.first else "as of O"
        if (self.first, self.last) == (0, 0):
            return "O"
        start = "beginning" if self.first is None else f"O{self.first:+d}"
        return f"{start} .. O{self.last:+d}" if self.last else f"{start} .. O"


@dataclass(frozen=True)
class Read:
    """A table and the span of days that a job reads of it.

    ``must_exist``: a day that was never built stops the job. ``newest``: the rows in force on the newest stored day, whatever
    day is run, for jobs that act on people now.
    """

    table: "Table"
    span: Span
    must_exist: bool = False
    newest: bool = False

    def first_day(self, output: date) -> date:
        """The first day of the span of the output day; the output day itself where the span begins with the oldest day."""
        first, _ = self.span.days(output, output)
        return output if self.span.as_of or first is None else first


@dataclass(frozen=True)
class Table:
    """The contract of a stored table.

    - ``keys``: columns that identify a row.
    - ``kind``: ``day`` replaces rows by ``replace_key`` (usually the day); ``log`` only inserts, and the newest row counts.
    - ``rules``: name -> SQL condition; a row for which it is false breaks the contract.
    - ``pick``, ``pick_key``: ``as_of()`` takes the latest or earliest row per pick key.
    - ``full_column``: boolean column, true on rows of a full restatement; ``as_of()`` starts to read at the newest one.
    - ``restatement``: a further table that holds, on the first of a month, every row so far, with ``since``, its day in this
      table (``core.restating``); ``as_of()`` reads its newest day before O, and the days after it of this table. A job that
      writes this table writes both. Only for ``pick`` earliest.
    - ``complete``: every day of a span must have been written, even if empty; a missing day stops the reader. Of a table that
      is read ``as_of``: the output day, and for the job that writes the table all days before it.
    - ``keep_days``: rows older than this many days before the newest ingested day are deleted by ``churnwatch maintain``;
      None: kept for ever.
    - ``file_bytes``: files of fewer bytes are joined. Larger ones stay, so that each of a log's has rows of one time.
    - ``instance_column``: names the job instance that wrote a row, where instances have different lags.
    - ``properties``: further Delta table properties.
    """

    name: str
    comment: str
    schema: StructType
    keys: tuple[str, ...]
    kind: Literal["day", "log"] = "day"
    rules: Mapping[str, str] = field(default_factory=dict)
    replace_key: tuple[str, ...] = ("day",)
    partitions: tuple[str, ...] = ()
    pick: Literal["latest", "earliest"] | None = None
    pick_key: tuple[str, ...] = ()
    full_column: str | None = None
    restatement: "Table | None" = None
    complete: bool = False
    keep_days: int | None = None
    file_bytes: int = 64 << 20
    instance_column: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = set(self.schema.names)
        for what, wanted in (("key", self.keys), ("partition", self.partitions), ("pick key", self.pick_key)):
            if missing := [name for name in wanted if name not in names]:
                raise ValueError(f"table {self.name}: the schema lacks {what} columns {missing}")
        if "day" not in names:
            raise ValueError(f"table {self.name} lacks the column day, which every table has")
        for field_ in self.schema.fields:
            if not (field_.metadata or {}).get("comment"):
                raise ValueError(f"column {self.name}.{field_.name} lacks a comment")
            if field_.name in self.keys and isinstance(field_.dataType, ArrayType | MapType):
                raise ValueError(f"key column {self.name}.{field_.name} is an array or a map; a key is a plain value")

    def on(self, must_exist: bool = False) -> Read:
        """Read the output day alone; ``must_exist``: a day that was never built stops the job."""
        return Read(self, Span(0, 0), must_exist)

    def trailing(self, days: int) -> Read:
        """Read the ``days`` days that end with the output day: O-days+1 .. O."""
        return Read(self, Span(1 - days, 0))

    def before(self, days: int | None = None) -> Read:
        """Read the ``days`` days before the output day: O-days .. O-1; None: all days before it."""
        return Read(self, Span(None if days is None else -days, -1))

    def following(self, first: int, last: int) -> Read:
        """Read O+first .. O+last, which looks ahead; a negative ``first`` also reaches back."""
        return Read(self, Span(first, last))

    def as_of(self, since_days: int = 0) -> Read:
        """Read one row per pick key: the one in force on O. ``since_days`` n: every row that was in force on O-n .. O.

        Raises ValueError when the contract has no ``pick``.
        """
        if self.pick is None:
            raise ValueError(f"table {self.name} has no pick, so that it cannot be read as of a day")
        return Read(self, Span(-since_days if since_days else None, 0, as_of=True))

    def as_of_now(self) -> Read:
        """Read one row per pick key: the newest that is stored, whatever day is run. For jobs that act on people now.

        Raises ValueError when the contract has no ``pick``.
        """
        return replace(self.as_of(), newest=True)
