"""Where the raw input lies and how its columns map to events: sources.yaml."""

from typing import Literal

from pydantic import model_validator

from churnwatch.settings.base import Name, SettingsPart


class Source(SettingsPart):
    """One raw input. ``map`` values are Spark SQL over the source's own columns; ``columns`` names headerless CSV."""

    name: Name
    format: Literal["csv", "json", "parquet", "delta", "table"]
    path: str | None = None
    table: str | None = None
    options: dict[str, str] = {}
    columns: list[str] | None = None
    time_zone: str = "UTC"
    file_days: list[int] = [-1, 0, 1]
    event_types: list[str] | None = None
    where: str | None = None
    map: dict[Name, str]

    @model_validator(mode="after")
    def _one_place(self) -> "Source":
        if (self.format == "table") != (self.path is None) or (self.format == "table") != (self.table is not None):
            raise ValueError("a source has a path, or format: table and a table")
        return self

    @property
    def daily(self) -> bool:
        """Whether files belong to days (the path holds ``{day}``)."""
        return bool(self.path and "{day}" in self.path)


EVENT_FIELDS = (
    "event_id",
    "user_id",
    "event_time",
    "event_type",
    "amount",
    "duration_s",
    "item_id",
    "session_id",
    "channel",
    "properties",
)


class EventSource(Source):
    """A source of events; ``map`` knows the canonical fields alone."""

    @model_validator(mode="after")
    def _fields(self) -> "EventSource":
        if unknown := sorted(set(self.map) - set(EVENT_FIELDS)):
            raise ValueError(f"map has unknown fields {unknown}; an event has {', '.join(EVENT_FIELDS)}")
        if missing := [name for name in ("user_id", "event_time", "event_type") if name not in self.map]:
            raise ValueError(f"map lacks {', '.join(missing)}")
        return self


class Sources(SettingsPart):
    """sources.yaml."""

    events: list[EventSource]
    users: Source | None = None
    consents: Source | None = None
    context: Source | None = None
