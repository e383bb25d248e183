"""Families of features beyond windows, in measures.yaml. All are off by default, because each multiplies columns."""

from typing import Annotated

from pydantic import Field, model_validator

from churnwatch.settings.attributes import Attribute, sensitive_kind
from churnwatch.settings.base import Days, Name, SettingsPart
from churnwatch.settings.terms import BASE_SCOPE

MONTHS_KEPT = 13  # monthly partitions that features may read: a year, and the month in which it began
MONTHS_KEPT_DAYS = 394  # fewest days in the 13 months before O's: 1 February of a common year to 1 March of the next

Cuts = tuple[float, float, float, float]


class Rfm(SettingsPart):
    """Recency, frequency and monetary scores from 1 (worst) to 5 (best), by fixed cut points.

    The cut points are fixed so that a score means the same on every day and does not depend on other users.
    """

    recency: Name
    """Measure whose days since the last day with it are scored."""
    frequency: Name
    """Measure whose sum over the window is scored: how often."""
    monetary: Name
    """Measure whose sum over the window is scored: how much."""
    window_days: Days
    """Window of frequency and monetary, one of windows_days."""
    recency_cuts: Cuts
    """Four rising cut points in days; up to the first one scores 5."""
    frequency_cuts: Cuts
    """Four rising cut points; from the last one on scores 5."""
    monetary_cuts: Cuts
    """Four rising cut points in the measure's unit; from the last one on scores 5."""

    @model_validator(mode="after")
    def _rising(self) -> "Rfm":
        for key in ("recency_cuts", "frequency_cuts", "monetary_cuts"):
            if sorted(set(cuts := getattr(self, key))) != list(cuts):
                raise ValueError(f"{key} must rise and not repeat")
        return self


class ContextFeature(SettingsPart):
    """A series of the context as a feature: its value in force on the as-of day."""

    name: str
    """Name of the series."""
    scope: Name = BASE_SCOPE
    """`base`: one value for all users; a segment: users get the row `segment=value` of their own value."""
    change_days: Days | None = None
    """Adds `<feature>_change`: the value minus the value in force this many days before. Null: no such feature."""


class FeatureFamilies(SettingsPart):
    """Families of features beyond windows."""

    slope_weeks: Annotated[int, Field(ge=2)] | None = None
    """Adds `<measure>_slope`: the rise per week of a least-squares line through this many weekly sums. Null: none."""
    slopes: list[Name] | None = None
    """Measures that get a slope. Null: every summed measure."""
    habit: bool = False
    """Adds features of the gaps between a user's active days: longest, usual, ratio and regularity."""
    active_share: bool = False
    """Adds `active_share_<n>d` per window: the share of days with activity."""
    active_hours: bool = False
    """Adds `active_hours_<n>d` per window: the number of different hours of the clock with activity."""
    rates: list[Name] = []
    """Summed measures that get `<measure>_rate_<n>d`: the sum per day on which the user could have been active."""
    shifts: list[Name] = []
    """Measures of kind `distinct` whose new and given-up values of the last trend_days are counted."""
    rfm: Rfm | None = None
    """Recency, frequency and monetary scores. Null: none."""
    months: int = Field(default=0, ge=0, le=MONTHS_KEPT - 1)
    """Adds `<measure>_m0` (the as-of day's month so far) up to `<measure>_m<months>` (calendar months before it)."""
    months_of: list[Name] = []
    """Measures that get a feature per month."""
    context: dict[Name, ContextFeature] = {}
    """Features of context series, by the feature's name."""
    attributes: dict[Name, Attribute] = Field(default={}, examples=[{"plan": {"kind": "category"}}])
    """Attributes of users that become features, by the name that the map of the users has."""
    sensitive_allowed: list[Name] = Field(default=[], examples=[["age"]])
    """Attributes about age, gender, health or a precise place that may be features. Others of that kind are refused."""

    @model_validator(mode="after")
    def _complete(self) -> "FeatureFamilies":
        if self.months and not self.months_of:
            raise ValueError("months needs months_of: the measures that get a column a month")
        for name, attribute in self.attributes.items():
            if (what := sensitive_kind(name, attribute)) and name not in self.sensitive_allowed:
                raise ValueError(
                    f"the attribute {name} is sensitive ({what}) and no feature unless sensitive_allowed names it. "
                    "Hint: take it out of attributes, or name it there where law and consent allow its use"
                )
        if self.slopes is not None and self.slope_weeks is None:
            raise ValueError("slopes needs slope_weeks")
        return self

    @property
    def context_days(self) -> int:
        """Days before O whose values of ``context`` features compare with."""
        return max((one.change_days or 0 for one in self.context.values()), default=0)
