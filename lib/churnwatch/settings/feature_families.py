"""Families of features beyond windows, in measures.yaml: off unless asked for, since each multiplies columns."""

from typing import Annotated

from pydantic import Field, model_validator

from churnwatch.settings.base import Days, Name, SettingsPart
from churnwatch.settings.terms import BASE_SCOPE

MONTHS_KEPT = 13  # monthly partitions that features may read: a year, and the month that it began in
MONTHS_KEPT_DAYS = 394  # what 13 months before O's hold at the least: 1 February of a common year to 1 March of the next

Cuts = Annotated[tuple[float, float, float, float], Field(description="four rising cut points between the scores 1 to 5")]


class Rfm(SettingsPart):
    """Recency, frequency and monetary scores 1 (worst) .. 5 (best) by fixed cut points, so that a score is exact, means the
    same on every day, and no user's score depends on others.

    ``recency``: measure whose days since count; ``frequency``, ``monetary``: measures over ``window_days``.
    """

    recency: Name
    frequency: Name
    monetary: Name
    window_days: Days
    recency_cuts: Cuts
    frequency_cuts: Cuts
    monetary_cuts: Cuts

    @model_validator(mode="after")
    def _rising(self) -> "Rfm":
        for key in ("recency_cuts", "frequency_cuts", "monetary_cuts"):
            if sorted(set(cuts := getattr(self, key))) != list(cuts):
                raise ValueError(f"{key} must rise and not repeat")
        return self


class ContextFeature(SettingsPart):
    """A series of ``context`` as a feature: the value in force on O; with ``change_days`` n also what it is more or less
    than n days before. ``scope``: base, or a segment, whose rows 'segment=value' go to the users with that value."""

    name: str
    scope: Name = BASE_SCOPE
    change_days: Days | None = None


class FeatureFamilies(SettingsPart):
    """Families of features.

    ``slope_weeks`` n: ``<measure>_slope`` over the last n weeks, of ``slopes`` (absent: every summed measure).
    ``habit``: gaps between the user's active days. ``active_share``, ``active_hours``: per window.
    ``rates``: summed measures per day that the user could have been active, per window.
    ``shifts``: distinct measures whose new and given up values are counted.
    ``months`` n: ``<measure>_m0`` (O's month so far) .. ``_m<n>`` of the measures ``months_of``.
    """

    slope_weeks: Annotated[int, Field(ge=2)] | None = None
    slopes: list[Name] | None = None
    habit: bool = False
    active_share: bool = False
    active_hours: bool = False
    rates: list[Name] = []
    shifts: list[Name] = []
    rfm: Rfm | None = None
    months: int = Field(default=0, ge=0, le=MONTHS_KEPT - 1)
    months_of: list[Name] = []
    context: dict[Name, ContextFeature] = {}

    @model_validator(mode="after")
    def _told_whole(self) -> "FeatureFamilies":
        if self.months and not self.months_of:
            raise ValueError("months needs months_of: the measures that get a column a month")
        if self.slopes is not None and self.slope_weeks is None:
            raise ValueError("slopes needs slope_weeks")
        return self

    @property
    def context_days(self) -> int:
        """How many days before O a value of ``context`` may have been in force to matter."""
        return max((one.change_days or 0 for one in self.context.values()), default=0)
