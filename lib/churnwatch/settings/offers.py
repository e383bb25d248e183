"""Campaigns, their offers and hold-outs, and what lift is measured in: offers.yaml."""

from datetime import date

from pydantic import Field, model_validator

from churnwatch.settings.base import Days, Hour, Name, SettingsPart, Share


class Offer(SettingsPart):
    """An offer. Of a campaign's offers the first one that fits the user is taken."""

    name: Name
    """Name of the offer, unique in its campaign."""
    causes: list[Name] = []
    """Causes that the offer answers. Empty: any cause."""
    min_value_cents: int = 0
    """Fewest cents that the user must be worth (value of model.yaml)."""
    channel: Name
    """Channel of the contact; the user must have consented to it."""
    cost_cents: int = Field(ge=0)
    """Cost of the offer."""
    save_share: Share = 0.1
    """Expected share of churners whom the offer keeps."""


class Campaign(SettingsPart):
    """A campaign: which users get offers, and which are held out to measure the effect."""

    name: Name
    """Name of the campaign, unique."""
    tiers: list[Name]
    """Risk tiers whose users are assigned."""
    offers: list[Offer]
    """Offers in order of preference."""
    holdout_share: Share = 0.1
    """Share of the assigned users who are held out (control): they get no offer of this campaign."""
    daily_budget_cents: int | None = None
    """Most cents that the offers of a day may cost. Null: no limit."""
    max_users_a_day: int | None = None
    """Most users assigned in a day. Null: no limit."""
    contact_pause_days: int = Field(default=14, ge=0)
    """Days after an assignment on which the campaign does not assign the user again."""
    expires_days: Days = 7
    """Days after the assignment on which the offer may still be sent and taken."""
    salt: str | None = Field(default=None, examples=["autumn_wave_2"])
    """Salt of the hash that splits offer and control. Null: the campaign's name."""
    from_day: date | None = None
    """First day of assignments. Null: from the beginning."""
    until_day: date | None = None
    """Last day of assignments, after which the lift can be read out. Null: it goes on, and its lift stays interim."""

    @model_validator(mode="after")
    def _wave(self) -> "Campaign":
        if self.until_day and (self.from_day is None or self.until_day < self.from_day):
            raise ValueError("a campaign with until_day needs a from_day on or before it")
        names = [offer.name for offer in self.offers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"offer names repeat: {twice}")
        return self

    def assigns_on(self, day: date) -> bool:
        """Whether users are assigned on ``day``: from_day <= day <= until_day."""
        return (self.from_day is None or self.from_day <= day) and (self.until_day is None or day <= self.until_day)

    @property
    def arm_salt(self) -> str:
        """The salt of the hash that splits offer from control."""
        return self.salt or self.name


class Outcome(SettingsPart):
    """What lift is measured in: the share of users who stayed, or a measure after the assignment."""

    label: str | None = None
    """Definition of churn.yaml, or `primary`: a user counts who did not churn by it."""
    measure: str | None = None
    """Summed measure, in place of label."""
    days: Days | None = None
    """Days after the assignment over which the measure is summed; needed with measure."""
    before_days: Days | None = None
    """Days before the assignment over which the measure is summed as a covariate (CUPED). Null: no covariate."""

    @model_validator(mode="after")
    def _one(self) -> "Outcome":
        if (self.label is None) == (self.measure is None) or (self.measure is not None and self.days is None):
            raise ValueError("an outcome has a label, or a measure with days")
        return self


class Offers(SettingsPart):
    """offers.yaml: campaigns, hold-outs and outcomes."""

    campaigns: list[Campaign] = []
    """Campaigns; each assigns users on its own."""
    global_holdout_share: Share = 0.02
    """Share of all users who never get an offer of any campaign."""
    global_salt: str = "global"
    """Salt of the hash that chooses them."""
    quiet_hours: tuple[Hour, Hour] = (21, 8)
    """Hours of the clock from which and until which nothing is sent to users, in the user's time zone where it is known, else
    in clock.time_zone."""
    time_zone_attribute: Name | None = Field(default=None, examples=["time_zone"])
    """Attribute of users with the IANA name of their time zone, for the quiet hours. Null: no zone is known."""
    campaign_max_days: Days = 60
    """Days back for which assignments are read; a campaign and its outcomes must fit into them."""
    outcomes: dict[Name, Outcome] = {"retained": Outcome(label="primary")}
    """Outcomes by name; lift is measured in each."""
    sample_ratio_alarm_p: Share = 0.01
    """p of the sample-ratio check below which a campaign's arms are reported as off."""

    @property
    def works_days(self) -> int:
        """Days after an assignment on which an offer may still be taken: the longest of all campaigns."""
        return max((campaign.expires_days for campaign in self.campaigns), default=0)

    @model_validator(mode="after")
    def _unique(self) -> "Offers":
        names = [campaign.name for campaign in self.campaigns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"campaign names repeat: {twice}")
        return self
