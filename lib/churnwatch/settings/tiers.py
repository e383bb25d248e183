"""tiers.yaml: risk tiers and warning levels."""

from pydantic import Field, model_validator

from churnwatch.settings.base import Days, Name, SettingsPart, Share
from churnwatch.settings.terms import LevelName


class ContactProfit(SettingsPart):
    """What contact must bring: probability x ``save_share`` x value of the user, less ``cost_cents``, above ``least_cents``."""

    save_share: Share
    cost_cents: int = Field(ge=0)
    least_cents: int = Field(default=0, ge=0)


class Adjust(SettingsPart):
    """How far a tier's cut may be moved by what its warnings turned out to be: ``lowest`` .. ``highest`` in the cut's own
    unit (share of users, or probability), by at most ``step_share`` of itself at a time."""

    lowest: Share
    highest: Share
    step_share: Share = 0.25

    def bounded(self, cut: float, wanted: float) -> float:
        """``wanted``, as far as one step from ``cut`` goes, within the bounds."""
        step = abs(cut) * self.step_share
        return min(self.highest, max(self.lowest, min(cut + step, max(cut - step, wanted))))


class Tier(SettingsPart):
    """A risk tier, cut by one of: top share of users, lowest probability, number of users, expected profit of contact."""

    name: Name
    top_share: Share | None = None
    min_probability: Share | None = None
    top_users: int | None = Field(default=None, ge=1)
    profit: ContactProfit | None = None
    level: LevelName | None = None
    adjust: Adjust | None = None

    @property
    def cut(self) -> float | None:
        """The cut that ``adjust`` moves; None where there is none."""
        return self.top_share if self.top_share is not None else self.min_probability

    @model_validator(mode="after")
    def _one_cut(self) -> "Tier":
        if sum(c is not None for c in (self.top_share, self.min_probability, self.top_users, self.profit)) > 1:
            raise ValueError("a tier is cut by one of top_share, min_probability, top_users, profit")
        if self.adjust and self.cut is None:
            raise ValueError("adjust moves top_share or min_probability: the tier has neither")
        if self.adjust and self.level is None:
            raise ValueError("adjust goes by what a level's warnings turned out to be: the tier has no level")
        if self.adjust and not self.adjust.lowest <= (self.cut or 0) <= self.adjust.highest:
            raise ValueError(f"the cut {self.cut} lies outside of its bounds {self.adjust.lowest} .. {self.adjust.highest}")
        return self

    @property
    def has_cut(self) -> bool:
        """Whether the tier takes some users only."""
        return any(c is not None for c in (self.top_share, self.min_probability, self.top_users, self.profit))


class Level(SettingsPart):
    """What a warning level asks for: who acts, within how long, by what."""

    name: LevelName
    owner: str
    within_days: int = Field(ge=0)
    measure: str = ""


class Raises(SettingsPart):
    """What raises a warning by one level, at most to the last; two of them raise it once.

    ``value_at_risk_top_share``: the user's value at risk is among so large a share of the day's scored users;
    ``causes_at_once``: signals of so many causes on one day; ``second_signal``: another rule (or the model) speaks of a
    cause of which a warning is open: the open warning rises.
    """

    value_at_risk_top_share: Share | None = None
    causes_at_once: int | None = Field(default=None, ge=2)
    second_signal: bool = True


class Tiers(SettingsPart):
    """tiers.yaml: tiers from the riskiest down, the last without a cut; levels from the mildest up.

    ``by``: shares and numbers of users count within each value of this segment. ``stay_share``: a user leaves a tier only
    when the risk falls short of its cut by so large a share of the cut. ``open_days``: a warning that nobody closed is open
    for so long after its last row, and at least until what became of it is known.
    """

    tiers: list[Tier]
    levels: list[Level]
    by: Name | None = None
    stay_share: Share = 0.0
    open_days: Days = 28
    raises: Raises = Raises()

    @property
    def adjusted(self) -> list[Tier]:
        """Tiers whose cut is moved by what their warnings turned out to be."""
        return [tier for tier in self.tiers if tier.adjust]

    @model_validator(mode="after")
    def _rest(self) -> "Tiers":
        if not self.tiers or self.tiers[-1].has_cut or not all(tier.has_cut for tier in self.tiers[:-1]):
            raise ValueError("the last tier, and only that, has no cut: it takes all other users")
        named = [level.name for level in self.levels]
        asked = [tier.level for tier in self.tiers if tier.level]
        if unknown := sorted(set(asked) - set(named)):
            raise ValueError(f"tiers name levels that are not declared: {unknown}")
        if twice := sorted({tier.level for tier in self.tiers if tier.adjust and tier.level and asked.count(tier.level) > 1}):
            raise ValueError(f"a tier that is adjusted has a level of its own; several have {twice}")
        return self
