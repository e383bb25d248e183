"""Where the raw input lies and how its columns map to events: sources.yaml."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from churnwatch.settings.base import Name, SettingsPart


def lossy_options(options: Mapping[str, Any]) -> list[str]:
    """Return the reader's options, or settings of Spark, that skip files or rows which cannot be read.

    >>> lossy_options({"header": "true", "mode": "dropMalformed", "ignoreCorruptFiles": "false"})
    ['mode: dropMalformed']
    """
    skipping = {"ignorecorruptfiles": "true", "ignoremissingfiles": "true", "mode": "dropmalformed"}
    return [
        f"{name}: {value}"
        for name, value in options.items()
        if skipping.get(name.lower().removeprefix("spark.sql.files.")) == str(value).lower()
    ]


class Ids(SettingsPart):
    """How a source spells user ids. Blanks at the ends never count; nothing else is changed by default."""

    fold_case: bool = Field(default=False, examples=[True])
    """Whether upper and lower case are the same: U1 becomes u1."""
    strip_decimal_zero: bool = Field(default=False, examples=[True])
    """Whether 17850.0 is 17850. Tools that read ids as numbers write them so as soon as one is missing."""


class Source(SettingsPart):
    """One raw input: files or a table."""

    name: Name = Field(examples=["players"])
    """Name of the source, unique among all sources; it is stored with every row."""
    format: Literal["csv", "json", "parquet", "delta", "table"] = Field(examples=["csv"])
    """Format of the files (json: JSON lines), or `table` for a table of the catalog."""
    path: str | None = Field(default=None, examples=["./raw/players.csv"])
    """Files or folder of the source. `{day}` stands for the day of a file as yyyy-MM-dd; without it all files are read."""
    table: str | None = Field(default=None, examples=["main.shop.events"])
    """Table of the catalog, for format `table`."""
    options: dict[str, str] = Field(default={}, examples=[{"header": "true"}])
    """Options of Spark's reader, by name."""
    columns: list[str] | None = Field(default=None, examples=[["customer", "date", "amount"]])
    """Column names of CSV files without a header line, in order."""
    time_zone: str = Field(default="UTC", examples=["Europe/Berlin"])
    """IANA name of the zone of times that have no zone of their own."""
    file_days: list[int] = [-1, 0, 1]
    """Which files may hold events of a day, as distances in days from the file's `{day}`."""
    event_types: list[str] | None = Field(default=None, examples=[["login", "purchase"]])
    """All types of events of the source; a row of another type is rejected. Null: any type."""
    where: str | None = Field(default=None, examples=["test_account = false"])
    """Spark SQL condition over the source's columns; other rows are left out."""
    ids: Ids = Ids()
    """How the source spells user ids."""
    map: dict[Name, str] = Field(examples=[{"unit": "userid", "arm": "version"}])
    """Canonical field -> Spark SQL over the source's columns. Amounts in major units, durations in seconds. Events have
    event_id, user_id, event_time, event_type, amount, currency, duration_s, item_id, session_id, channel and properties; a row
    without a currency is in the domain's currency. Users have user_id, registered_on, changed_at and any attribute; consents have
    user_id, channel, purpose, granted and changed_at; context has day, scope, name and value."""

    @field_validator("options")
    @classmethod
    def _reads_everything(cls, options: dict[str, str]) -> dict[str, str]:
        if faults := lossy_options(options):
            raise ValueError(f"{faults[0]} would leave out rows without a word. Hint: remove it; bad rows become rejected_events")
        return options

    @model_validator(mode="after")
    def _one_place(self) -> "Source":
        if (self.format == "table") != (self.path is None) or (self.format == "table") != (self.table is not None):
            raise ValueError("a source has a path, or format: table and a table")
        return self

    @property
    def daily(self) -> bool:
        """Whether files belong to days: the path holds ``{day}``."""
        return bool(self.path and "{day}" in self.path)


EVENT_FIELDS = (
    "event_id",
    "user_id",
    "event_time",
    "event_type",
    "amount",
    "currency",
    "duration_s",
    "item_id",
    "session_id",
    "channel",
    "properties",
)


class EventSource(Source):
    """A source of events; ``map`` has the canonical fields of events alone."""

    repeats: Literal["keep", "drop"] = Field(default="keep", examples=["drop"])
    """What is done with identical rows without an event_id. keep: each is an event. drop: of rows that stand in several files,
    as where a delivery came twice, as many are events as the file with most of them has; the others are duplicates."""

    @model_validator(mode="after")
    def _fields(self) -> "EventSource":
        if unknown := sorted(set(self.map) - set(EVENT_FIELDS)):
            raise ValueError(
                f"map has unknown fields {unknown}; an event has {', '.join(EVENT_FIELDS)}. "
                "Hint: put further columns into properties, as map('name', column)"
            )
        if missing := [name for name in ("user_id", "event_time", "event_type") if name not in self.map]:
            raise ValueError(f"map lacks {', '.join(missing)}")
        return self


NOBODY = (
    "null",
    "(null)",
    "\\N",
    "none",
    "nil",
    "nan",
    "n/a",
    "#n/a",
    "-",
    "undefined",
    "unknown",
    "(not set)",
    "anonymous",
    "guest",
    "not_authenticated",
    "distinct_id",
    "true",
    "false",
    "[object object]",
    "00000000-0000-0000-0000-000000000000",
)


class Sources(SettingsPart):
    """sources.yaml: the raw input."""

    events: list[EventSource]
    """Sources of events."""
    users: Source | None = None
    """Source of users and their attributes."""
    consents: Source | None = None
    """Source of users' consents to be contacted and profiled."""
    context: Source | None = None
    """Source of series that do not belong to one user: prices, competitors, market."""
    nobody: list[str] = Field(default=list(NOBODY), examples=[["null", "guest", "0", "-1"]])
    """User ids that stand for nobody, in any case. Their rows are refused as no_user; `quality.max_nobody_share` limits them.
    0 and -1 are users unless they are listed."""

    @field_validator("nobody", mode="before")
    @classmethod
    def _as_texts(cls, values: Any) -> Any:
        """YAML reads null, true, 0 and -1 without quotes as no texts."""
        plain = {None: "null", True: "true", False: "false"}
        if not isinstance(values, list):
            return values
        return [str(one) if type(one) is int else plain[one] if one is None or type(one) is bool else one for one in values]
