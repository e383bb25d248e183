"""What churn means: churn.yaml."""

from fractions import Fraction
from typing import Literal

from pydantic import Field, model_validator

from churnwatch.settings.base import Days, Name, SettingsPart

LONG_DAYS = 92  # above three months, days are read as months: half a year of daily rows costs four times 31 days and 6 months
EXACT = 10_000  # shares and factors have four decimals at the most, so that cross products of sums fit into 38 digits

# beside kind, horizon_days, lead_days and class: what a kind needs, and what else it may have
NEEDED = {
    "inactivity": ("active_within_days",),
    "drop": ("measure", "before_days", "min_before", "keep_share"),
    "event": ("active_within_days",),
    "gap": ("active_within_days", "min_active_days", "times"),
}
ALLOWED = {
    "inactivity": ("events",),
    "drop": (),
    "event": ("events", "attribute", "renewed_by"),
    "gap": ("events", "min_gap_days"),
}
SHARED = ("kind", "horizon_days", "lead_days", "class_")


class Definition(SettingsPart):
    """A definition of churn. The horizon is O+lead+1 .. O+lead+horizon; ``events``: event types, all where left out.

    ``inactivity``: eligible with an event in the ``active_within_days`` that end with O, churned with none in the horizon.
    ``drop``: eligible when the summed ``measure`` over the ``before_days`` that end with O is at least ``min_before``,
    churned when its sum over the horizon, scaled to as many days, is less than ``keep_share`` of it.
    ``event``: eligible when active within ``active_within_days`` and without one of ``events`` in them, churned with one
    in the horizon. With ``attribute`` (a user's date, such as the end of a contract) in place of ``events``: eligible when
    active and the date, as known at O, lies in the horizon; churned unless a ``renewed_by`` event falls in
    O+1 .. O+lead+horizon, or the attribute moves beyond the horizon in these days.
    ``gap``: eligible with at least ``min_active_days`` days with events in the ``active_within_days``, the first and last
    of n such days giving the usual gap (last - first) / (n - 1); churned when no event falls in the first
    min(max(ceil(times x usual gap), min_gap_days), horizon) days of the horizon.
    """

    kind: Literal["inactivity", "drop", "event", "gap"] = "inactivity"
    horizon_days: Days
    lead_days: int = Field(default=0, ge=0)
    class_: Literal["short", "long", "competitor"] = Field(default="short", alias="class")
    events: list[str] | None = None
    active_within_days: Days | None = None
    measure: str | None = None
    before_days: Days | None = None
    min_before: int = Field(default=1, ge=1)
    keep_share: float = Field(default=1.0, gt=0, le=1)
    attribute: str | None = None
    renewed_by: list[str] | None = None
    min_active_days: int = Field(default=2, ge=2)
    times: float = Field(default=1.0, gt=0, le=1000)
    min_gap_days: Days = 1

    @model_validator(mode="after")
    def _of_the_kind(self) -> "Definition":
        known = (*NEEDED[self.kind], *ALLOWED[self.kind])
        faults = [f"lacks {name}" for name in NEEDED[self.kind] if name not in self.model_fields_set]
        strange = sorted(self.model_fields_set - {*known, *SHARED})
        faults += [f"has no {name} (it has {', '.join(known)})" for name in strange]
        if self.kind == "event" and (self.events is None) == (self.attribute is None):
            faults.append("has either events or attribute")
        if self.renewed_by is not None and self.attribute is None:
            faults.append("has renewed_by with attribute alone")
        if self.min_gap_days > self.horizon_days:
            faults.append(f"has min_gap_days {self.min_gap_days} above its horizon of {self.horizon_days} days")
        for name, exact in (("keep_share", self.kept), ("times", self.gaps)):
            if EXACT % exact.denominator:
                faults.append(f"has {name} with more than four decimals")
        if faults:
            raise ValueError("; ".join(f"kind {self.kind} {fault}" for fault in faults))
        return self

    @property
    def ahead_days(self) -> int:
        """Days after O that a label looks at: lead + horizon."""
        return self.lead_days + self.horizon_days

    @property
    def seen_days(self) -> int:
        """Days up to O that decide who is eligible."""
        return self.before_days or self.active_within_days or 0

    @property
    def counted(self) -> list[str] | None:
        """Event types that the definition's column of daily_activity counts; None: all."""
        return self.events if self.attribute is None else self.renewed_by or []

    @property
    def kept(self) -> Fraction:
        """``keep_share`` as it is written: 0.3 is 3/10."""
        return Fraction(str(self.keep_share))

    @property
    def gaps(self) -> Fraction:
        """``times`` as it is written."""
        return Fraction(str(self.times))

    @property
    def months_before(self) -> bool:
        """Whether the days up to O are so many that they are read as months; sums and habits need the days themselves."""
        return self.kind in ("inactivity", "event") and self.seen_days > LONG_DAYS

    @property
    def months_after(self) -> bool:
        """Whether the days ahead are so many that they are read as months."""
        return self.kind in ("inactivity", "event") and self.ahead_days > LONG_DAYS


class Churn(SettingsPart):
    """churn.yaml."""

    primary: Name
    definitions: dict[Name, Definition]

    @model_validator(mode="after")
    def _primary(self) -> "Churn":
        if self.primary not in self.definitions:
            raise ValueError(f"primary {self.primary!r} is none of the definitions {sorted(self.definitions)}")
        return self
