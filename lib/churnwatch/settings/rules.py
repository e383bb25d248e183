"""rules.yaml and causes.yaml: what is warned of, and what it speaks for."""

from typing import Literal

from pydantic import Field, model_validator

from churnwatch.settings.base import Name, Settings_


class Rule(Settings_):
    """A warning rule. ``when``: boolean Spark SQL over columns of user_features (``day`` included), users and user_scores
    (user scope), or of ``activity_trend`` and ``churn_rates`` (group and base). ``evidence``: text with {column} placeholders."""

    id: Name
    title: str
    scope: Literal["user", "group", "base"] = "user"
    when: str
    level: Literal["blue", "yellow", "orange", "red"]
    cause: Name
    owner: str | None = None
    evidence: str = ""
    cool_down_days: int = Field(default=7, ge=0)


class Rules(Settings_):
    """rules.yaml."""

    rules: list[Rule] = []

    @model_validator(mode="after")
    def _unique(self) -> "Rules":
        ids = [rule.id for rule in self.rules]
        if twice := sorted({i for i in ids if ids.count(i) > 1} | ({"model"} & set(ids))):
            raise ValueError(f"rule ids must be unique and not 'model': {twice}")
        return self


class Cause(Settings_):
    """A cause of churn and the measures (all their windows) that speak for it."""

    title: str
    measures: list[str]


class Causes(Settings_):
    """causes.yaml."""

    causes: dict[Name, Cause] = {}
