"""What churn means: churn.yaml."""

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator

from churnwatch.settings.base import Days, Name, SettingsPart
from churnwatch.settings.losses import LossRule
from churnwatch.settings.terms import ChurnClass

LONG_DAYS = 92  # longer spans are read by month: half a year of daily rows costs four times as much as 31 days and 6 months
WEEK_DAYS = 7
EXACT = 10_000  # shares and factors have at most four decimals, so that cross products of sums fit into 38 digits

# keys that a kind needs, and others that it may have, besides those of SHARED
NEEDED = {
    "inactivity": ("active_within_days",),
    "drop": ("measure", "before_days", "min_before", "keep_share"),
    "event": ("active_within_days",),
    "gap": ("active_within_days", "min_active_days", "times"),
}
ALLOWED = {
    "inactivity": ("events", "active_events"),
    "drop": ("min_before_days",),
    "event": ("events", "active_events", "attribute", "renewed_by"),
    "gap": ("events", "min_gap_days"),
}
SHARED = ("kind", "horizon_days", "lead_days", "class_")


ActiveEvents = Annotated[list[str], Field(min_length=1)] | Literal["acts", "registered"]


class Definition(SettingsPart):
    """A definition of churn. Its label window (the horizon) is O+lead+1 .. O+lead+horizon for the as-of day O.

    - ``inactivity``: eligible with one of ``active_events`` in the ``active_within_days`` that end with O; churned with none of
      ``events`` in the horizon. With ``active_events: registered`` everybody is eligible who registered on or before O.
    - ``drop``: eligible when the sum of ``measure`` over the ``before_days`` that end with O is at least ``min_before``;
      churned when its mean per day of the horizon is below ``keep_share`` of its mean per day before. The mean before is
      over the days of ``before_days`` on which the user and stored history existed; at least ``min_before_days`` of them.
    - ``event``: eligible with one of ``active_events`` and none of ``events`` within ``active_within_days``; churned with one
      of ``events`` in the horizon; no label with one in the lead. With ``attribute`` (a date of the user, such as the end of a
      contract) in place of ``events``: eligible when active and the date, as known at O, lies in the horizon; churned unless
      a ``renewed_by`` event falls in O+1 .. O+lead+horizon, or the date moves beyond the horizon in these days.
    - ``gap``: the usual gap is (last - first) / (n - 1) over the n active days within ``active_within_days``. The threshold
      is min(max(ceil(times x usual gap), min_gap_days), horizon) days. Eligible with n >= ``min_active_days`` while fewer
      days than the threshold have passed since the last event. The pause that counts is the one at the end of the lead:
      from the last event up to O+lead to the next event. Churned when it is longer than the threshold; no label when the
      threshold is reached within the lead. A user whose pause is longer is no longer eligible, until the next event.
    """

    kind: Literal["inactivity", "drop", "event", "gap"] = "inactivity"
    """How churn is recognised. inactivity: no event in the label window. drop: a measure falls below a share of what it
    was. event: an event that ends the relation, or a date of the user that passes without a renewal. gap: a pause longer
    than the user's own usual gap between active days."""
    horizon_days: Days
    """Days of the label window."""
    lead_days: int = Field(default=0, ge=0)
    """Days between the as-of day and the label window. A user who churns in them (kinds event and gap) gets no label."""
    class_: ChurnClass = Field(default="short", alias="class")
    """Kind of churn: short-term, long-term or to a competitor. Reports group definitions by it, and warnings carry it."""
    events: list[str] | None = None
    """Types of events that count (kind event: that end the relation). Null: all acts, see `acts` in measures.yaml."""
    active_events: ActiveEvents | None = Field(default=None, examples=["acts", ["login", "purchase"]])
    """Kinds inactivity and event: what makes a user eligible. A list: events of these types. `acts`: any act. `registered`
    (kind inactivity): the registration, however long ago. Null: `events`; with kind event any act."""
    active_within_days: Days | None = None
    """A user is eligible when active in this many days that end with the as-of day. Needed but for kind drop and for
    `active_events: registered`."""
    measure: str | None = None
    """Kind drop: summed measure of measures.yaml that falls."""
    before_days: Days | None = None
    """Kind drop: days that end with the as-of day, over which the measure is summed."""
    min_before: int = Field(default=1, ge=1)
    """Kind drop: smallest sum before, in the measure's unit, with which a user is eligible."""
    min_before_days: Days | None = None
    """Kind drop: fewest days with a user's history from which the mean before is computed. Null: 7, or before_days if that
    is less. A shop whose customers buy once a month needs more, because one purchase in a first week is no habit."""
    keep_share: float = Field(default=1.0, gt=0, le=1)
    """Kind drop: a user churned who keeps less than this share of the sum before; at most four decimals."""
    attribute: str | None = None
    """Kind event: attribute of users that holds a date, in place of events."""
    renewed_by: list[str] | None = Field(default=None, examples=[["renewal"]])
    """Kind event with attribute: types of events that renew the relation."""
    min_active_days: int = Field(default=2, ge=2)
    """Kind gap: fewest active days from which a usual gap is computed."""
    times: float = Field(default=1.0, gt=0, le=1000)
    """Kind gap: a pause of this many usual gaps is churn; at most four decimals."""
    min_gap_days: Days = 1
    """Kind gap: shortest pause that is churn."""

    @model_validator(mode="after")
    def _of_the_kind(self) -> "Definition":
        needed = () if self.takes_registered and self.kind == "inactivity" else NEEDED[self.kind]
        known = (*needed, *ALLOWED[self.kind])
        faults = [f"lacks {name}" for name in needed if name not in self.model_fields_set]
        strange = sorted(self.model_fields_set - {*known, *SHARED})
        faults += [f"has no {name} (it has {', '.join(known)})" for name in strange]
        if self.takes_registered and self.kind != "inactivity":
            faults.append("cannot take registered users: active_events is a list of event types or acts")
        if self.kind == "event" and (self.events is None) == (self.attribute is None):
            faults.append("has either events or attribute")
        if self.renewed_by is not None and self.attribute is None:
            faults.append("has renewed_by with attribute alone")
        if self.min_gap_days > self.horizon_days:
            faults.append(f"has min_gap_days {self.min_gap_days} above its horizon of {self.horizon_days} days")
        if self.min_before_days and self.before_days and self.min_before_days > self.before_days:
            faults.append(f"has min_before_days {self.min_before_days} above before_days {self.before_days}")
        for name, exact in (("keep_share", self.kept), ("times", self.gaps)):
            if EXACT % exact.denominator:
                faults.append(f"has {name} with more than four decimals")
        if faults:
            raise ValueError("; ".join(f"kind {self.kind} {fault}" for fault in faults))
        return self

    @property
    def ahead_days(self) -> int:
        """Days after O that a label needs: lead + horizon."""
        return self.lead_days + self.horizon_days

    @property
    def seen_days(self) -> int:
        """Days up to O that decide who is eligible; for registered users, those in which their last act is looked for."""
        return self.before_days or self.active_within_days or (self.horizon_days if self.takes_registered else 0)

    @property
    def least_days_before(self) -> int:
        """``min_before_days``, or what holds where it is null."""
        return self.min_before_days or min(WEEK_DAYS, self.seen_days)

    @property
    def counted(self) -> list[str] | None:
        """Event types that the definition's column of daily_activity counts; None: any act."""
        return self.events if self.attribute is None else self.renewed_by or []

    @property
    def takes_registered(self) -> bool:
        """Whether registered users are eligible, however long they have been silent."""
        return self.active_events == "registered"

    @property
    def active_types(self) -> list[str] | None:
        """Event types that make a user eligible; None: any act."""
        if isinstance(self.active_events, list):
            return self.active_events
        return self.events if self.active_events is None and self.kind != "event" else None

    @property
    def kept(self) -> Fraction:
        """``keep_share`` as an exact fraction: 0.3 is 3/10."""
        return Fraction(str(self.keep_share))

    @property
    def gaps(self) -> Fraction:
        """``times`` as an exact fraction."""
        return Fraction(str(self.times))

    @property
    def months_before(self) -> bool:
        """Whether the days up to O are read by month because there are many. Kinds drop and gap always need the days."""
        return self.kind in ("inactivity", "event") and self.seen_days > LONG_DAYS

    @property
    def ends_by_event(self) -> bool:
        """Whether an event ends the relation: kind event with ``events``."""
        return self.kind == "event" and self.attribute is None

    @property
    def lead_decides(self) -> bool:
        """Whether an event in the lead decides that a user gets no label."""
        return self.ends_by_event and self.lead_days > 0

    @property
    def months_after(self) -> bool:
        """Whether the days after O are read by month because there are many."""
        return self.kind in ("inactivity", "event") and self.ahead_days > LONG_DAYS


class Churn(SettingsPart):
    """churn.yaml: what churn means."""

    primary: Name
    """Definition that the model predicts and that reports show first."""
    definitions: dict[Name, Definition]
    """Definitions by name; each gets labels and rates."""
    before_data_days: int | None = Field(default=None, ge=0, examples=[0])
    """Number of days from the first stored day on. Users without a known registration who are first seen in these days count as
    users from before the data. Null: the days within which the primary definition takes a user as active. 0 where the data
    begin with the business."""

    losses: list[LossRule] = []
    """Rules that classify each loss, in their order: the first rule that applies counts."""

    @model_validator(mode="after")
    def _rules_of_losses(self) -> "Churn":
        ids = [rule.id for rule in self.losses]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"ids of losses must be unique: {twice}")
        if early := [rule.id for rule in self.losses[:-1] if not rule.signs]:
            raise ValueError(f"losses {early} have no sign and apply to every loss. Hint: only the last rule may have none")
        ending = [name for name, definition in self.definitions.items() if definition.ends_by_event]
        for rule in self.losses:
            if strange := sorted(set(rule.definitions) - set(ending)):
                raise ValueError(f"rule {rule.id} of losses names {strange}, not definitions of kind event with events: {ending}")
        return self

    @model_validator(mode="after")
    def _primary(self) -> "Churn":
        if self.primary not in self.definitions:
            raise ValueError(
                f"primary {self.primary!r} is none of the definitions {sorted(self.definitions)}. Hint: name one of them"
            )
        return self

    @property
    def first_days(self) -> int:
        """``before_data_days``, or what holds where it is null."""
        return self.definitions[self.primary].seen_days if self.before_data_days is None else self.before_data_days
