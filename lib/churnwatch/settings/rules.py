"""rules.yaml and causes.yaml: what is warned of, and what it speaks for."""

from datetime import date

from pydantic import Field, model_validator

from churnwatch.settings.base import Name, SettingsPart
from churnwatch.settings.terms import MODEL, LevelName, Scope


class Rule(SettingsPart):
    """A warning rule. ``when``: boolean Spark SQL over columns of user_features (``day`` included), users and user_scores
    (user scope), or of ``activity_trend`` and ``churn_rates`` (group and base). ``evidence``: text with {column} placeholders,
    ``owner`` likewise (the level's where a placeholder's value is missing). ``needs``: columns that not every operator has;
    where one is absent the rule is off, and so is another whose texts tell of it. In force from ``valid_from`` to
    ``valid_to``, both included."""

    id: Name
    title: str
    scope: Scope = "user"
    when: str
    level: LevelName
    cause: Name
    owner: str | None = None
    evidence: str = ""
    cool_down_days: int = Field(default=7, ge=0)
    needs: list[Name] = []
    valid_from: date | None = None
    valid_to: date | None = None

    @model_validator(mode="after")
    def _forward(self) -> "Rule":
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise ValueError(f"valid_to {self.valid_to} is before valid_from {self.valid_from}")
        return self

    def valid_on(self, day: date) -> bool:
        """Whether the rule is in force on ``day``."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)


class Rules(SettingsPart):
    """rules.yaml."""

    rules: list[Rule] = []

    @model_validator(mode="after")
    def _unique(self) -> "Rules":
        ids = [rule.id for rule in self.rules]
        if twice := sorted({i for i in ids if ids.count(i) > 1} | ({MODEL} & set(ids))):
            raise ValueError(f"rule ids must be unique and not {MODEL!r}: {twice}")
        return self


class Cause(SettingsPart):
    """A cause of churn and the measures (all their windows) that speak for it."""

    title: str
    measures: list[str]


class Causes(SettingsPart):
    """causes.yaml; ``reasons``: how many measures are told of each user."""

    reasons: int = Field(default=3, ge=1, le=20)
    causes: dict[Name, Cause] = {}
