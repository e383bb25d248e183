"""What users do in a day, and the features of it: measures.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from churnwatch.settings.base import Count, Days, Name, SettingsPart
from churnwatch.settings.feature_families import MONTHS_KEPT_DAYS, FeatureFamilies

VALUED = ("sum", "min", "max", "last")  # kinds of measures that store values of events


class Measure(SettingsPart):
    """A measure per user and day over the columns of ``events``, stored as an integer: counts, cents, milliseconds."""

    kind: Literal["count", "sum", "min", "max", "distinct", "last", "transition"]
    """How events become a number. count: number of events. sum, min, max: of the value `of`. distinct: number of different
    values. last: the newest value of the day. transition: how often a user's step `from` is directly followed, within the
    session gap, by the step `to`; without `to`: how often nothing followed `from` (drop-outs); without `from`: how often
    `to` came first. A drop-out that goes on after midnight is taken back on the next day."""
    of: str | None = None
    """Spark SQL of the value over columns of events; for a transition the name of the step. Needed but for kind count."""
    scale: float | None = Field(default=None, gt=0, examples=[1000])
    """Kinds sum, min, max and last: factor by which each value is multiplied before it is rounded to a whole number, such as
    1000 where `of` is in megabytes and the measure in kilobytes. Needed where `of` may have fractions."""
    where: str | None = None
    """Spark SQL condition: only such events count. Null: all events."""
    from_: str | None = Field(default=None, alias="from")
    """First step of a transition."""
    to: str | None = None
    """Second step of a transition."""
    comment: str | None = None
    """What the measure is, with its unit; it becomes the column's comment and the text on pages."""
    actionable: bool = False
    """Whether the company can change it, as it can crashes or waiting times. Of these measures, `improvement` of user_scores
    names the one whose usual value would lower the user's risk most."""

    @model_validator(mode="after")
    def _of(self) -> "Measure":
        if self.kind != "count" and self.of is None:
            raise ValueError(f"kind {self.kind} needs of: the value over columns of events")
        steps = [step for step in (self.from_, self.to) if step is not None]
        if self.kind == "transition" and not steps:
            raise ValueError("kind transition needs from, to or both")
        if self.kind != "transition" and steps:
            raise ValueError(f"from and to belong to kind transition, not to {self.kind}")
        if self.scale is not None and self.kind not in VALUED:
            raise ValueError(f"scale belongs to the kinds {', '.join(VALUED)}, not to {self.kind}")
        return self


class Bots(SettingsPart):
    """Who is a program and not a person. A day is a bot's day when one of the limits is exceeded. A user is a bot who had such
    days on a share of the active days that a job reads; bots are neither trained on nor scored, nor in any rate."""

    events_a_day: Count | None = None
    """Most acts of a person in a day; a user with more is a bot. Null: not a sign."""
    hours_a_day: int | None = Field(default=None, ge=1, le=24)
    """A user with acts in this many different hours of the clock, or more, is a bot. Null: not a sign."""
    days_share: float = Field(default=0.2, gt=0, le=1)
    """Least share of a user's active days on which a limit is exceeded, for the user to be a bot: one odd day in a month makes
    nobody one."""

    @property
    def limited(self) -> bool:
        """Whether any limit is set; without one nobody is a bot."""
        return self.events_a_day is not None or self.hours_a_day is not None


class Indicator(SettingsPart):
    """A ratio per segment: ``of`` summed over its users, divided by ``per`` summed over them.

    Both are Spark SQL over summed measures and ``active_days`` of the last days; a condition counts as 1 where it is true,
    so that ``orders >= 2`` counts users.
    """

    of: str
    """Numerator, summed over the users of the segment."""
    per: str = "1"
    """Denominator, summed likewise; 1: the number of users who were active in these days."""
    days: Days = 30
    """Days that end with the as-of day."""
    comment: str | None = None
    """What the indicator is, for readers."""


class Measures(FeatureFamilies):
    """measures.yaml: measures per user and day, and the features made of them."""

    acts: Annotated[list[str], Field(min_length=1)] | None = Field(default=None, examples=[["login", "purchase"]])
    """Event types that are acts of the user. Only acts make a user active: active days, sessions, hours, bots, first_seen,
    activity_trend, cohort_churn, the population and `last_active_day` count nothing else. Bills, messages that were sent,
    refunds and the like are events and no acts; measures count them all the same. With this key features have the measure
    `acts` beside `events`. Null: every event is an act."""
    measures: dict[Name, Measure]
    """Measures by name; the name becomes a column."""
    windows_days: list[Days] = [1, 7, 14, 30, 60, 90]
    """Windows of features, rising: each measure gets one feature per window."""
    trend_days: Days = 7
    """Trends compare the last n days with the n days before; windows of n and 2n days are needed."""
    ratios: dict[Name, str] = {}
    """Features per window that are Spark SQL over measures, by name."""
    segments: list[Name] = []
    """Attributes of users by which rates, trends and warnings are split."""
    population_days: Days = 90
    """Days of silence after which a user no longer gets features; at most 394 days, or the longest window."""
    bots: Bots = Bots()
    """Limits beyond which a user is a bot."""
    indicators: dict[Name, Indicator] = {}
    """Ratios of segments by name, stored in activity_trend."""

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
        """Days of the longest indicator; 0 without indicators."""
        return max((indicator.days for indicator in self.indicators.values()), default=0)

    @property
    def memory_days(self) -> int:
        """Largest value of ``<measure>_days_since``; what lies further back is null."""
        return max(self.longest_window, self.population_days)

    @property
    def activity_days(self) -> int:
        """Days of daily_activity that features read: the longest window, and at least 31 where features of months are made."""
        return max(self.longest_window, 31) if self.months_of or self.months_days else self.longest_window

    @property
    def months_days(self) -> int:
        """Days of monthly_activity to read before O; 0: none. A month counts as 31 days, which is an upper bound."""
        silent = self.population_days if self.population_days > self.longest_window else 0
        return max(silent, 31 * self.months + 1 if self.months else 0)
