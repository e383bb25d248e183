"""Warning rules and causes of churn: rules.yaml and causes.yaml."""

from datetime import date

from pydantic import Field, model_validator

from churnwatch.settings.base import Name, SettingsPart
from churnwatch.settings.terms import MODEL, LevelName, Scope


class Rule(SettingsPart):
    """A warning rule: users, segments or the whole base for which ``when`` is true are warned of."""

    id: Name
    """Name of the rule, unique; `model` is taken by the model's own warnings."""
    title: str
    """What the rule warns of, in a few words."""
    scope: Scope = "user"
    """Subject of the rule: each user, each segment (group), or all users (base)."""
    when: str
    """Spark SQL condition; null does not warn. Scope user: over features, attributes, scores, `day`, and `<indicator>_base`.
    Scopes group and base: over the day's row of activity_trend, indicators and `<indicator>_usual`, the detector of sudden
    falls and context series. `churnwatch rules test` shows whom a rule would warn of."""
    level: LevelName
    """Level of its warnings."""
    cause: Name
    """Cause of causes.yaml that its warnings name."""
    owner: str | None = None
    """Who acts. It may hold {column} placeholders; where a value is missing the level's owner acts. Null: see owners.yaml."""
    evidence: str = ""
    """Text of the warning with {column} placeholders; a user id cannot be one."""
    cool_down_days: int = Field(default=7, ge=0, examples=[14])
    """Days after a warning on which the rule does not warn of the same subject again."""
    needs: list[Name] = []
    """Columns that not every operator has. Where one is absent the rule is off, and so is a rule whose evidence or owner
    names it."""
    valid_from: date | None = Field(default=None, examples=["2025-10-01"])
    """First day on which the rule is in force. Null: from the beginning."""
    valid_to: date | None = Field(default=None, examples=["2025-12-31"])
    """Last day on which the rule is in force. Null: for good."""

    @model_validator(mode="after")
    def _forward(self) -> "Rule":
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise ValueError(f"valid_to {self.valid_to} is before valid_from {self.valid_from}")
        return self

    def valid_on(self, day: date) -> bool:
        """Whether the rule is in force on ``day``."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)


class Rules(SettingsPart):
    """rules.yaml: warning rules."""

    rules: list[Rule] = []
    """Warning rules, in the order in which lists show them."""

    @model_validator(mode="after")
    def _unique(self) -> "Rules":
        ids = [rule.id for rule in self.rules]
        if twice := sorted({i for i in ids if ids.count(i) > 1} | ({MODEL} & set(ids))):
            raise ValueError(f"rule ids must be unique and not {MODEL!r}: {twice}")
        return self


class Cause(SettingsPart):
    """A cause of churn, and the measures that point to it."""

    title: str
    """What the cause is, in a few words."""
    measures: list[str]
    """Measures that point to the cause, in all their windows. A measure points to one cause alone."""


class Causes(SettingsPart):
    """causes.yaml: causes of churn."""

    reasons: int = Field(default=3, ge=1, le=20, examples=[5])
    """Reasons that are stored with each score: the measures that moved it most."""
    causes: dict[Name, Cause] = {}
    """Causes by name."""
