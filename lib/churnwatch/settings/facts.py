"""What the facts mean: sources.yaml, measures.yaml."""

from typing import Literal

from pydantic import Field, model_validator

from churnwatch.settings.base import Days, Name, Settings_
from churnwatch.settings.signals import MEMORY_DAYS, Signals

# --- sources.yaml ---------------------------------------------------------------------------------------------------


class Source(Settings_):
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


class Sources(Settings_):
    """sources.yaml."""

    events: list[EventSource]
    users: Source | None = None
    consents: Source | None = None
    context: Source | None = None


# --- measures.yaml --------------------------------------------------------------------------------------------------


class Measure(Settings_):
    """A daily measure per user over canonical event columns; stored as an integer (cents, ms, counts).

    ``last``: the value of the day's last event that has one. ``transition``: how often a user's step ``from`` is
    followed at once, within the session gap, by the step ``to``, where ``of`` names the step of each event that meets
    ``where``; without ``to``: how often no step followed ``from`` (drop-outs; one that goes on after midnight is taken
    back on the next day); without ``from``: how often ``to`` came first.
    """

    kind: Literal["count", "sum", "min", "max", "distinct", "last", "transition"]
    of: str | None = None
    where: str | None = None
    from_: str | None = Field(default=None, alias="from")
    to: str | None = None
    comment: str | None = None

    @model_validator(mode="after")
    def _of(self) -> "Measure":
        if self.kind != "count" and self.of is None:
            raise ValueError(f"kind {self.kind} needs of")
        steps = [step for step in (self.from_, self.to) if step is not None]
        if self.kind == "transition" and not steps:
            raise ValueError("kind transition needs from, to or both")
        if self.kind != "transition" and steps:
            raise ValueError(f"from and to belong to kind transition, not to {self.kind}")
        return self


class Bots(Settings_):
    """Who is no person: a user is a bot on days with more than ``events_a_day`` events, and on days with events in
    ``hours_a_day`` different hours of the clock or more: who never sleeps. Null: that sign tells nobody."""

    events_a_day: int | None = Field(default=None, ge=1)
    hours_a_day: int | None = Field(default=None, ge=1, le=24)


class Indicator(Settings_):
    """A ratio of a segment: ``of`` summed over its users, per ``per`` summed over them.

    Both are Spark SQL over what a user did in the ``days`` days that end with O: summed measures and ``active_days``;
    true counts as 1, so that ``orders >= 2`` counts users. ``per`` 1: users active in these days.
    """

    of: str
    per: str = "1"
    days: Days = 30
    comment: str | None = None


class Measures(Signals):
    """measures.yaml. ``trend_days`` n: the last n days against the n days before; n and 2n are windows.

    ``population_days``: how long a silent user keeps a row; what lies before the longest window comes from months.
    """

    measures: dict[Name, Measure]
    windows_days: list[Days] = [1, 7, 14, 30, 60, 90]
    trend_days: Days = 7
    ratios: dict[Name, str] = {}
    segments: list[Name] = []
    population_days: Days = 90
    bots: Bots = Bots()
    indicators: dict[Name, Indicator] = {}

    @model_validator(mode="after")
    def _windows(self) -> "Measures":
        if sorted(set(self.windows_days)) != self.windows_days:
            raise ValueError("windows_days must rise and not repeat")
        if not {self.trend_days, 2 * self.trend_days} <= set(self.windows_days):
            raise ValueError(f"trend_days {self.trend_days} needs windows of {self.trend_days} and {2 * self.trend_days} days")
        if self.population_days > max(MEMORY_DAYS, self.longest_window):
            raise ValueError(f"population_days is at most {MEMORY_DAYS}, or the longest window")
        if self.slope_weeks and 7 * self.slope_weeks > self.longest_window:
            raise ValueError(f"slope_weeks {self.slope_weeks} needs a longest window of {7 * self.slope_weeks} days or more")
        if self.rfm and self.rfm.window_days not in self.windows_days:
            raise ValueError(f"rfm.window_days {self.rfm.window_days} is none of windows_days {self.windows_days}")
        return self

    @property
    def longest_window(self) -> int:
        """Days of the longest window."""
        return self.windows_days[-1]

    @property
    def indicator_days(self) -> int:
        """Days that the longest indicator looks at; 0 without indicators."""
        return max((indicator.days for indicator in self.indicators.values()), default=0)

    @property
    def memory_days(self) -> int:
        """How far back ``<measure>_days_since`` knows: beyond it is null."""
        return max(self.longest_window, self.population_days)

    @property
    def activity_days(self) -> int:
        """Days of daily_activity that features read: the longest window, and all of O's month where months matter."""
        return max(self.longest_window, 31) if self.months_of or self.months_days else self.longest_window

    @property
    def months_days(self) -> int:
        """Days up to O of which features read monthly_activity, O itself left out; 0: none. They hold the last day of every
        month that matters: the end of the n-th month before O's is at most 31 n days old."""
        silent = self.population_days if self.population_days > self.longest_window else 0
        return max(silent, 31 * self.months + 1 if self.months else 0)
