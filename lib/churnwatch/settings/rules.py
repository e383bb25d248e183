"""Warning rules and causes of churn: rules.yaml and causes.yaml."""

from datetime import date

from pydantic import Field, model_validator

from churnwatch.settings.base import Days, Name, SettingsPart
from churnwatch.settings.terms import MODEL, ChurnClass, LevelName, Scope

# found on simulated apps: lower values name more causes, and more of them wrongly
LEAST = 0.9
PRIOR_EVENTS = 0.2


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
    """Cause of causes.yaml that its warnings name. It is also the user's cause while the rule's `when` is true, unless the cause
    is general and a specific one is found, or `when` names a score."""
    owner: str | None = None
    """Who acts. It may hold {column} placeholders; where a value is missing the level's owner acts. Null: see owners.yaml."""
    definition: Name | None = None
    """Definition of churn.yaml that the rule warns of; its class goes to the warnings. Null: the primary one."""
    class_: ChurnClass | None = Field(default=None, alias="class", examples=["competitor"])
    """Kind of churn that the rule warns of, where no definition has it. Null: the class of the definition."""
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
    """A cause of churn, the measures that belong to it, and those of them that rise where it is at work."""

    title: str
    """What the cause is, in a few words."""
    measures: list[str]
    """Measures that belong to the cause, in all their windows. A measure belongs to one cause alone."""
    symptoms: list[Name] = []
    """Those of `measures` that rise where the cause is at work, such as crashes or complaints; only measures that are summed
    over days (kinds count, sum and transition). The cause is named for a user whose symptoms lie far above what is usual for
    the user's number of events. Empty: only a rule can name the cause."""
    general: bool = False
    """The cause of users without a more specific one, for example falling use. It is named where its `measures` together raise
    the risk. At most one cause; it has no symptoms."""

    @model_validator(mode="after")
    def _symptoms(self) -> "Cause":
        if self.general and self.symptoms:
            raise ValueError(f"a general cause has no symptoms: {self.symptoms}. Hint: remove general or symptoms")
        if strange := [name for name in self.symptoms if name not in self.measures]:
            raise ValueError(f"symptoms are some of the cause's measures: {strange}. Hint: add them to measures")
        return self


class Causes(SettingsPart):
    """causes.yaml: causes of churn."""

    reasons: int = Field(default=3, ge=1, le=20, examples=[5])
    """Reasons that are stored with each score: the measures that moved it most."""
    least: float = Field(default=LEAST, gt=0, examples=[3.0])
    """Least surprise with which a specific cause is named. Surprise is a log-likelihood ratio: 0.9 for one symptom where 0.05 are
    usual, two where 0.55 are, four where 1.8 are. Higher: fewer users get a specific cause, and more of these are right."""
    prior_events: float = Field(default=PRIOR_EVENTS, gt=0, examples=[1.0])
    """Strength of the prior belief that a user is as usual, in symptoms. It makes surprise finite where nothing is usual."""
    windows_days: list[Days] | None = Field(default=None, min_length=1, examples=[[7, 30]])
    """Windows over which surprise is measured, each one of windows_days in measures.yaml; the largest counts. Null: those of 14
    and 30 days that measures.yaml has, else its longest window."""
    causes: dict[Name, Cause] = {}
    """Causes by name."""

    @model_validator(mode="after")
    def _distinct(self) -> "Causes":
        general = [name for name, cause in self.causes.items() if cause.general]
        if len(general) > 1:
            raise ValueError(f"at most one cause is general: {general}")
        owner: dict[str, str] = {}
        for name, cause in self.causes.items():
            for measure in cause.measures:
                if owner.setdefault(measure, name) != name:
                    raise ValueError(
                        f"measure {measure!r} belongs to {owner[measure]!r} and {name!r}. Hint: leave it with one cause"
                    )
        return self

    @property
    def general(self) -> str | None:
        """Name of the general cause; None without one."""
        return next((name for name, cause in self.causes.items() if cause.general), None)

    @property
    def specific(self) -> list[str]:
        """Names of the causes that are not general, in order."""
        return [name for name, cause in self.causes.items() if not cause.general]
