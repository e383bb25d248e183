"""What the simulator plants for each warning rule: planted.yaml. The flow never reads it."""

from pydantic import Field, model_validator

from churnwatch.settings.base import Days, Name, SettingsPart
from churnwatch.settings.terms import BASE_SCOPE

Past = Field(default=None, ge=0)


class PlantedEvents(SettingsPart):
    """Events of one kind, ``count`` on each of their days.

    Their days: ``days_ago`` before the last day of the world; with ``until_days_ago`` every ``every_days`` from there on
    up to it; or the first of the calendar month that lies ``months_ago`` before the last day's own. Amounts in major
    units.
    """

    type: Name
    days_ago: int | None = Past
    until_days_ago: int | None = Past
    months_ago: int | None = Past
    every_days: Days = 1
    count: Days = 1
    amount: float | None = None
    duration_s: float | None = None
    item: str | None = None
    properties: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_time(self) -> "PlantedEvents":
        if (self.days_ago is None) == (self.months_ago is None):
            raise ValueError("planted events have days_ago, or months_ago")
        if self.until_days_ago is not None and (self.days_ago is None or self.until_days_ago > self.days_ago):
            raise ValueError("until_days_ago comes after days_ago: it is the smaller number")
        return self


class Pattern(SettingsPart):
    """What a user is and does. ``as_usual``: besides, everything that is usual; attributes are inherited anyhow.

    ``days_ahead``: attributes that are dates, in days after the last day. ``users``: at least so many are planted, where a
    rule of a group asks for a large one.
    """

    attributes: dict[Name, str] = {}
    days_ahead: dict[Name, int] = {}
    registered_days_ago: Days = 500
    as_usual: bool = True
    users: Days = 1
    events: list[PlantedEvents] = []


class Series(SettingsPart):
    """A series of the market: ``value`` from the first day on, ``later`` in the last ``later_days`` days."""

    scopes: list[str] = [BASE_SCOPE]
    value: float
    later: float
    later_days: Days = 14


class Planted(SettingsPart):
    """``usual``: everybody of whom no rule is to speak; ``rules``: id of a rule -> the pattern of which it speaks."""

    usual: Pattern = Pattern()
    rules: dict[Name, Pattern] = {}
    market: dict[Name, Series] = {}
