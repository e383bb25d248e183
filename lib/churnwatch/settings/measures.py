"""What users do in a day, and the features of it: measures.yaml."""

from typing import Literal

from pydantic import Field, model_validator

from churnwatch.settings.base import Days, Name, SettingsPart
from churnwatch.settings.feature_families import MONTHS_KEPT_DAYS, FeatureFamilies


class Measure(SettingsPart):
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


class Bots(SettingsPart):
    """Who is no person: a user is a bot on days with more than ``events_a_day`` events, and on days with events in
    ``hours_a_day`` different hours of the clock or more: who never sleeps. Null: that sign tells nobody."""

    events_a_day: int | None = Field(default=None, ge=1)
    hours_a_day: int | None = Field(default=None, ge=1, le=24)


class Indicator(SettingsPart):
    """A ratio of a segment: ``of`` summed over its users, per ``per`` summed over them.

    Both are Spark SQL over what a user did in the ``days`` days that end with O: summed measures and ``active_days``;
    true counts as 1, so that ``orders >= 2`` counts users. ``per`` 1: users active in these days.
    """

    of: str
    per: str = "1"
    days: Days = 30
    comment: str | None = None


class Measures(FeatureFamilies):
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
        if self.population_days > max(MONTHS_KEPT_DAYS, self.longest_window):
            raise ValueError(f"population_days is at most {MONTHS_KEPT_DAYS}, or the longest window")
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
