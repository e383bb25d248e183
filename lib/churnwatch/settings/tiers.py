"""Risk tiers and warning levels: tiers.yaml."""

from pydantic import Field, model_validator

from churnwatch.settings.base import Count, Days, Name, SettingsPart, Share
from churnwatch.settings.terms import LevelName


class ContactProfit(SettingsPart):
    """The profit that contact must bring: probability x ``save_share`` x value of the user, less ``cost_cents``."""

    save_share: Share = Field(examples=[0.2])
    """Share of churners whom contact keeps."""
    cost_cents: int = Field(ge=0, examples=[300])
    """Cost of a contact."""
    least_cents: int = Field(default=0, ge=0)
    """The profit must be above this."""


class Aim(SettingsPart):
    """What the cut of a tier is to achieve: one of precision, cost_ratio and users. It does not depend on the model's own
    probabilities, so that a model that promises too much moves no cut away from the aim."""

    precision: float | None = Field(default=None, gt=0, lt=1, examples=[0.4])
    """Share of the users at or above the cut who churn if nothing is done."""
    cost_ratio: float | None = Field(default=None, gt=0, lt=1, examples=[0.2])
    """Cost of a contact, divided by what the contact of a user who would churn is worth (share that it saves x value of the
    user). The last users whom the cut takes churn as often as this, because further ones cost more than they bring."""
    users: Count | None = Field(default=None, examples=[300])
    """Users a day at or above the cut, whom the team can work."""

    @model_validator(mode="after")
    def _one_aim(self) -> "Aim":
        if sum(a is not None for a in (self.precision, self.cost_ratio, self.users)) != 1:
            raise ValueError("an aim is one of precision, cost_ratio and users. Hint: keep one of them")
        return self

    @property
    def value(self) -> float:
        """The key that is given."""
        return float(self.precision or self.cost_ratio or self.users or 0)


class Adjust(SettingsPart):
    """How far the cut of a tier may move towards its aim, in the cut's own unit."""

    lowest: Share
    """Lowest cut: share of users, or probability."""
    highest: Share
    """Highest cut."""
    step_share: Share = 0.25
    """Largest step, as a share of the cut."""

    def bounded(self, cut: float, wanted: float) -> float:
        """``wanted``, limited to one step from ``cut`` and to the bounds."""
        step = abs(cut) * self.step_share
        return min(self.highest, max(self.lowest, min(cut + step, max(cut - step, wanted))))


class Tier(SettingsPart):
    """A risk tier. It is cut by one of top_share, min_probability, top_users and profit; the last tier has no cut."""

    name: Name
    """Name of the tier."""
    top_share: Share | None = None
    """Users of the highest risk up to this share belong to the tier (with those of the tiers above)."""
    min_probability: Share | None = Field(default=None, examples=[0.6])
    """Users with at least this probability belong to the tier."""
    top_users: Count | None = Field(default=None, examples=[500])
    """This number of users of the highest risk belong to the tier (with those of the tiers above)."""
    profit: ContactProfit | None = None
    """Users whose contact is expected to pay belong to the tier."""
    level: LevelName | None = None
    """Level of the warnings that the model raises for users of the tier. Null: it raises none."""
    aim: Aim | None = None
    """What the cut is to achieve, for top_share and min_probability. Null: no other cut is advised."""
    adjust: Adjust | None = None
    """How far the cut may move towards the aim. Null: it does not move."""

    @property
    def cut(self) -> float | None:
        """The cut that ``adjust`` moves; None where there is none."""
        return self.top_share if self.top_share is not None else self.min_probability

    @model_validator(mode="after")
    def _one_cut(self) -> "Tier":
        if sum(c is not None for c in (self.top_share, self.min_probability, self.top_users, self.profit)) > 1:
            raise ValueError("a tier is cut by one of top_share, min_probability, top_users, profit. Hint: keep one of them")
        if (self.aim or self.adjust) and self.cut is None:
            raise ValueError("aim and adjust are about top_share or min_probability: the tier has neither")
        if (self.aim or self.adjust) and self.level is None:
            raise ValueError("aim and adjust are about a level's warnings: the tier has no level. Hint: give it a level")
        if self.adjust and self.aim is None:
            raise ValueError("adjust moves the cut towards an aim: the tier has none. Hint: add aim: {precision: 0.4}")
        if self.adjust and not self.adjust.lowest <= (self.cut or 0) <= self.adjust.highest:
            raise ValueError(f"the cut {self.cut} lies outside of its bounds {self.adjust.lowest} .. {self.adjust.highest}")
        return self

    @property
    def has_cut(self) -> bool:
        """Whether the tier takes only some users."""
        return any(c is not None for c in (self.top_share, self.min_probability, self.top_users, self.profit))


class Level(SettingsPart):
    """A warning level: who acts, within how many days, and how."""

    name: LevelName
    """Name of the level."""
    owner: str
    """Owner of its warnings, where neither the rule nor a route names one."""
    within_days: int = Field(ge=0)
    """Days within which the owner acts."""
    measure: str = ""
    """What the owner does; it is shown with the warning."""


class Raises(SettingsPart):
    """What raises a warning by one level, at most to the last one; several reasons together raise it once."""

    value_at_risk_top_share: Share | None = None
    """The user's value at risk is among this top share of the day's scored users. Null: not a reason."""
    causes_at_once: int | None = Field(default=None, ge=2)
    """Signals of this many causes on one day. Null: not a reason."""
    second_signal: bool = True
    """A second rule (or the model) signals a cause for which a warning is already open: the open warning rises."""


class Tiers(SettingsPart):
    """tiers.yaml: risk tiers and warning levels."""

    tiers: list[Tier]
    """Tiers from the riskiest down; the last one has no cut and takes all other users."""
    levels: list[Level]
    """Levels from the mildest up."""
    by: Name | None = Field(default=None, examples=["region"])
    """Segment within whose values shares and numbers of users are counted. Null: within all users."""
    stay_share: Share = 0.0
    """A user stays in a tier until the risk is below its cut by more than this share of the cut."""
    open_days: Days = 28
    """Days after its last row for which a warning that nobody closed stays open, and at least until the outcome is known."""
    raises: Raises = Raises()
    """What raises a warning by one level."""

    @property
    def adjusted(self) -> list[Tier]:
        """Tiers whose cut moves towards an aim."""
        return [tier for tier in self.tiers if tier.adjust]

    @model_validator(mode="after")
    def _consistent(self) -> "Tiers":
        if not self.tiers or self.tiers[-1].has_cut or not all(tier.has_cut for tier in self.tiers[:-1]):
            raise ValueError("the last tier, and only that, has no cut: it takes all other users")
        declared = [level.name for level in self.levels]
        used = [tier.level for tier in self.tiers if tier.level]
        if unknown := sorted(set(used) - set(declared)):
            raise ValueError(f"tiers name levels that are not declared: {unknown}. Hint: declare them under levels")
        if twice := sorted({tier.level for tier in self.tiers if tier.adjust and tier.level and used.count(tier.level) > 1}):
            raise ValueError(f"a tier with adjust needs a level of its own; several tiers have {twice}")
        if self.by and any(tier.aim for tier in self.tiers):
            raise ValueError(
                "an aim is about a cut over all users, and `by` cuts within groups. Hint: remove aim and adjust, or by"
            )
        return self
