"""What `churnwatch simulate --plant` writes for each warning rule: planted.yaml. The flow never reads it."""

from pydantic import Field, model_validator

from churnwatch.settings.base import Count, Days, Name, SettingsPart
from churnwatch.settings.terms import BASE_SCOPE

Past = Field(default=None, ge=0)


class PlantedEvents(SettingsPart):
    """Events of one type. Either days_ago or months_ago says when."""

    type: Name
    """Type of the events."""
    days_ago: int | None = Past
    """Day of the (first) events, counted back from the last day of the world; 0: that day."""
    until_days_ago: int | None = Past
    """Last day of the events, counted back likewise. Null: the events are on one day."""
    months_ago: int | None = Past
    """The events are on the first of the calendar month this many months before the last day's; 0: its own month."""
    every_days: Days = 1
    """Distance of the days, where there are several."""
    count: Count = 1
    """Events per day."""
    amount: float | None = None
    """Amount of each event, in major units."""
    duration_s: float | None = None
    """Duration of each event."""
    item: str | None = None
    """Item of each event."""
    properties: dict[str, str] = {}
    """Properties of each event."""

    @model_validator(mode="after")
    def _one_time(self) -> "PlantedEvents":
        if (self.days_ago is None) == (self.months_ago is None):
            raise ValueError("planted events have either days_ago or months_ago")
        if self.until_days_ago is not None and (self.days_ago is None or self.until_days_ago > self.days_ago):
            raise ValueError("until_days_ago comes after days_ago: it is the smaller number")
        return self


class Pattern(SettingsPart):
    """What a planted user is and does."""

    attributes: dict[Name, str] = {}
    """Attributes by name; others are those of usual users."""
    days_ahead: dict[Name, int] = {}
    """Attributes that are dates, in days after the last day of the world."""
    registered_days_ago: Days = 500
    """Day of the registration, in days before the last day."""
    as_usual: bool = True
    """Whether the user also has the events of usual users."""
    users: Count = 1
    """Fewest users who are planted, where the rule of a group needs a large one."""
    events: list[PlantedEvents] = []
    """Events of the user."""


class Series(SettingsPart):
    """A context series."""

    scopes: list[str] = [BASE_SCOPE]
    """Scopes: base, or segment=value."""
    value: float
    """Value from the first day on."""
    later: float
    """Value in the last later_days days."""
    later_days: Days = Field(default=14, examples=[14])
    """Days that end with the last day."""


class Planted(SettingsPart):
    """planted.yaml: users for whom a warning rule fires, rule by rule, and usual users for whom no rule fires."""

    usual: Pattern = Pattern()
    """Users for whom no rule fires."""
    rules: dict[Name, Pattern] = {}
    """Id of a rule -> a user for whom it fires."""
    market: dict[Name, Series] = {}
    """Context series by name."""
