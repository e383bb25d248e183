"""What a stored table promises, and the spans of it that a job may read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

from pyspark.sql.types import ArrayType, DataType, MapType, StructField, StructType


def column(name: str, data_type: Any, comment: str, nullable: bool = True) -> StructField:
    """A column of a contract: name, Spark type (object or simple name), comment with unit."""
    field_ = StructType().add(name, data_type, nullable).fields[0]
    return StructField(name, field_.dataType, nullable, {"comment": comment})


def new_fields(stored: DataType, declared: DataType, path: str) -> dict[str, DataType] | None:
    """Fields of structs in the column ``path`` that ``declared`` has after those of ``stored``, by path; None where the two
    differ in another way, {} where they do not."""
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
    """Days relative to the output day O: ``first`` .. ``last``, both included; ``first`` None reads from the beginning.

    ``as_of``: one row per pick key, the one that was in force on O, with the columns ``day`` (in force from) and
    ``until`` (last day in force): a range of days joins on ``O >= day AND O <= until``; for a single day that is
    always true, except that a job that writes the table itself gets the state of the day before O too. With ``first`` -n
    also the rows that were in force n days before O: a join on those days finds them.
    """

    first: int | None
    last: int
    as_of: bool = False

    def days(self, first_output: date, last_output: date) -> tuple[date | None, date]:
        """First (None: the beginning) and last day to read for the output days ``first_output`` .. ``last_output``."""
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
    """A table and the span of it that a job reads; ``needed``: its days must have been built, where others may lack."""

    table: "Table"
    span: Span
    needed: bool = False


@dataclass(frozen=True)
class Table:
    """The contract of a stored table.

    ``kind`` day: rows of a day are replaced by ``replace_key``; log: insert-only rows, state is the newest row.
    ``pick``: which row per ``pick_key`` ``as_of()`` takes. ``rules``: name -> SQL that no row may make false.
    ``complete``: a day within a span that is read must have been written, even if empty: a missing one stops the reader.
    ``instance_column``: names the job instance that wrote a row, where instances have lags of their own.
    ``full_column``: boolean column that marks a restatement of all keys, from which ``as_of()`` may start to read.
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
    keep_days: int | None = None
    complete: bool = False
    instance_column: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = set(self.schema.names)
        for what, wanted in (("key", self.keys), ("partition", self.partitions), ("pick key", self.pick_key)):
            if missing := [name for name in wanted if name not in names]:
                raise ValueError(f"{self.name}: {what} columns that the schema lacks: {missing}")
        if "day" not in names:
            raise ValueError(f"{self.name}: every table has a column day")
        for field_ in self.schema.fields:
            if not (field_.metadata or {}).get("comment"):
                raise ValueError(f"{self.name}.{field_.name}: every column has a comment")
            if field_.name in self.keys and isinstance(field_.dataType, ArrayType | MapType):
                raise ValueError(f"{self.name}.{field_.name}: a key is a plain value")

    def on(self, needed: bool = False) -> Read:
        """Reads the output day itself; ``needed``: a day that was never built stops the job."""
        return Read(self, Span(0, 0), needed)

    def trailing(self, days: int) -> Read:
        """Reads the ``days`` days that end with the output day."""
        return Read(self, Span(1 - days, 0))

    def before(self, days: int | None = None) -> Read:
        """Reads the ``days`` days (None: all) that end with the day before the output day."""
        return Read(self, Span(None if days is None else -days, -1))

    def following(self, first: int, last: int) -> Read:
        """Looks ahead: reads O+first .. O+last; a ``first`` below 0 reaches back too."""
        return Read(self, Span(first, last))

    def as_of(self, since_days: int = 0) -> Read:
        """Reads one row per pick key: the one in force on the output day; ``since_days`` n: all in force on O-n .. O.

        Raises ValueError where the contract has no ``pick``.
        """
        if self.pick is None:
            raise ValueError(f"{self.name} has no pick: it cannot be read as of a day")
        return Read(self, Span(-since_days if since_days else None, 0, as_of=True))
