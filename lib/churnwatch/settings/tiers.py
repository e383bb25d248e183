"""tiers.yaml: risk tiers and warning levels."""

from typing import Literal

from pydantic import Field, model_validator

from churnwatch.settings.base import Name, Settings_, Share


class Tier(Settings_):
    """A risk tier, cut by one of: top share of users, lowest probability, number of users."""

    name: Name
    top_share: Share | None = None
    min_probability: Share | None = None
    top_users: int | None = Field(default=None, ge=1)
    level: Literal["blue", "yellow", "orange", "red"] | None = None

    @model_validator(mode="after")
    def _one_cut(self) -> "Tier":
        cuts = [c for c in (self.top_share, self.min_probability, self.top_users) if c is not None]
        if len(cuts) > 1:
            raise ValueError("a tier is cut by one of top_share, min_probability, top_users")
        return self


class Level(Settings_):
    """What a warning level asks for."""

    name: Literal["blue", "yellow", "orange", "red"]
    owner: str
    within_days: int = Field(ge=0)
    measure: str = ""


class Tiers(Settings_):
    """tiers.yaml: tiers from the riskiest down, the last without a cut; levels from the mildest up."""

    tiers: list[Tier]
    levels: list[Level]

    @model_validator(mode="after")
    def _rest(self) -> "Tiers":
        cuts = [(t.top_share, t.min_probability, t.top_users) for t in self.tiers]
        if not self.tiers or cuts[-1] != (None, None, None) or (None, None, None) in cuts[:-1]:
            raise ValueError("the last tier, and only that, has no cut: it takes all other users")
        named = {level.name for level in self.levels}
        if unknown := sorted({t.level for t in self.tiers if t.level} - named):
            raise ValueError(f"tiers name levels that are not declared: {unknown}")
        return self
