"""Offers of retention work and how they are tried: offers.yaml."""

from datetime import date

from pydantic import Field, model_validator

from churnwatch.settings.base import Days, Hour, Name, SettingsPart, Share


class Offer(SettingsPart):
    """An offer: for which causes, for users of at least which value, by which channel, what it costs and may save."""

    name: Name
    causes: list[Name] = []
    min_value_cents: int = 0
    channel: Name
    cost_cents: int = Field(ge=0)
    save_share: Share = 0.1


class Campaign(SettingsPart):
    """A campaign: which tiers get its offers, the share held out as control, and the days on which it assigns users.

    With ``until_day`` its assignments end, so that it has a read-out day; without, its lift stays interim.
    """

    name: Name
    tiers: list[Name]
    offers: list[Offer]
    holdout_share: Share = 0.1
    daily_budget_cents: int | None = None
    max_users_a_day: int | None = None
    contact_pause_days: int = Field(default=14, ge=0)
    expires_days: Days = 7
    salt: str | None = None
    from_day: date | None = None
    until_day: date | None = None

    @model_validator(mode="after")
    def _wave(self) -> "Campaign":
        if self.until_day and (self.from_day is None or self.until_day < self.from_day):
            raise ValueError("a campaign with until_day has a from_day that is not later")
        names = [offer.name for offer in self.offers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"offers stand twice: {twice}")
        return self

    def assigns_on(self, day: date) -> bool:
        """Whether users are assigned on ``day``: it lies in from_day .. until_day."""
        return (self.from_day is None or self.from_day <= day) and (self.until_day is None or day <= self.until_day)

    @property
    def arm_salt(self) -> str:
        """The salt of the hash that splits offer from control."""
        return self.salt or self.name


class Outcome(SettingsPart):
    """What lift is measured in: not churned by a label, or a measure summed over ``days`` after the assignment."""

    label: str | None = None
    measure: str | None = None
    days: Days | None = None
    before_days: Days | None = None

    @model_validator(mode="after")
    def _one(self) -> "Outcome":
        if (self.label is None) == (self.measure is None) or (self.measure is not None and self.days is None):
            raise ValueError("an outcome has a label, or a measure with days")
        return self


class Offers(SettingsPart):
    """offers.yaml."""

    campaigns: list[Campaign] = []
    global_holdout_share: Share = 0.02
    global_salt: str = "global"
    quiet_hours: tuple[Hour, Hour] = (21, 8)
    campaign_max_days: Days = 60
    outcomes: dict[Name, Outcome] = {"retained": Outcome(label="primary")}
    sample_ratio_alarm_p: Share = 0.01

    @property
    def works_days(self) -> int:
        """Days after its assignment on which an offer may still be taken, of the campaign with the longest."""
        return max((campaign.expires_days for campaign in self.campaigns), default=0)

    @model_validator(mode="after")
    def _unique(self) -> "Offers":
        names = [campaign.name for campaign in self.campaigns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"campaigns stand twice: {twice}")
        return self
