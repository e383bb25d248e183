"""The typed settings: frozen, unknown keys refused, units in the names."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings_(BaseModel):
    """Base: frozen, and a key that is not declared is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Days = Annotated[int, Field(ge=1)]
Hour = Annotated[int, Field(ge=0, le=23)]


# --- where it runs: conf/<where>.yaml ------------------------------------------------------------------------------


class Storage(Settings_):
    """``root``: a folder with a Delta table a folder; or ``schema``: catalog tables; ``files``: pages, staging, checkpoints.

    ``input``: where raw input lies, for paths of sources.yaml: ``{storage.input}/events/{day}.csv``.
    """

    root: str | None = None
    schema_name: str | None = Field(default=None, alias="schema")
    files: str
    input: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "Storage":
        if (self.root is None) == (self.schema_name is None):
            raise ValueError("storage has either root (a folder) or schema (catalog tables)")
        return self


class Clock(Settings_):
    """The business day's zone, and the days after which late events are no longer waited for."""

    time_zone: str = "UTC"
    settle_days: int = Field(default=2, ge=0)


class Mlflow(Settings_):
    """Where models and their runs are kept."""

    tracking_uri: str
    experiment: str = "churnwatch"
    model: str = "churnwatch"


class Activity(Settings_):
    """Layout of daily_activity and what a session is."""

    buckets: int = Field(default=4, ge=1)
    session_gap_minutes: int = Field(default=30, ge=1)
    distinct_cap: int = Field(default=200, ge=1)


class Quality(Settings_):
    """Gates of ingest."""

    max_rejected_share: Share = 0.05
    min_rows_share_of_usual: Share | None = None
    allow_empty_days: bool = True


class IdKey(Settings_):
    """Where the secret that keys the hashes of user ids lies: a file made at set-up, or an environment variable."""

    file: str | None = None
    env: str | None = None


class Privacy(Settings_):
    """What may leave the tables."""

    min_group_size: int = Field(default=10, ge=1)
    id_key: IdKey
    pseudonymise: bool = False


class Runs(Settings_):
    """How runs guard each other."""

    stale_run_minutes: int = Field(default=120, ge=1)


class Smtp(Settings_):
    """A mail server; the password only ever comes from an environment variable."""

    host: str
    port: int = 25
    starttls: bool = False
    user: str | None = None
    password: str | None = None
    sender: str = "churnwatch@localhost"
    timeout_seconds: float = 10.0

    @model_validator(mode="after")
    def _not_in_the_clear(self) -> "Smtp":
        if self.password and not self.starttls and self.host not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("a password goes only over starttls, except to this machine")
        return self


class Sending(Settings_):
    """Where messages go: ``file`` writes them into a folder, ``smtp`` mails them. ``destinations``: name -> address."""

    kind: Literal["file", "smtp"] = "file"
    folder: str = "{storage.files}/outbox"
    smtp: Smtp | None = None
    destinations: dict[str, str] = {}
    max_attempts: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _has_server(self) -> "Sending":
        if self.kind == "smtp" and self.smtp is None:
            raise ValueError("sending.kind smtp needs sending.smtp")
        return self


# --- sources.yaml ---------------------------------------------------------------------------------------------------


class Source(Settings_):
    """One raw input. ``map`` values are Spark SQL over the source's own columns; ``columns`` names headerless CSV."""

    name: Name
    format: Literal["csv", "json", "parquet", "delta", "table"]
    path: str | None = None
    table: str | None = None
    options: dict[str, str] = {}
    columns: list[str] | None = None
    time_zone: str = "UTC"
    file_days: list[int] = [-1, 0, 1]
    event_types: list[str] | None = None
    where: str | None = None
    map: dict[Name, str]

    @model_validator(mode="after")
    def _one_place(self) -> "Source":
        if (self.format == "table") != (self.path is None) or (self.format == "table") != (self.table is not None):
            raise ValueError("a source has a path, or format: table and a table")
        return self

    @property
    def daily(self) -> bool:
        """Whether files belong to days (the path holds ``{day}``)."""
        return bool(self.path and "{day}" in self.path)


EVENT_FIELDS = (
    "event_id",
    "user_id",
    "event_time",
    "event_type",
    "amount",
    "duration_s",
    "item_id",
    "session_id",
    "channel",
    "properties",
)


class EventSource(Source):
    """A source of events; ``map`` knows the canonical fields alone."""

    @model_validator(mode="after")
    def _fields(self) -> "EventSource":
        if unknown := sorted(set(self.map) - set(EVENT_FIELDS)):
            raise ValueError(f"map has unknown fields {unknown}; an event has {', '.join(EVENT_FIELDS)}")
        if missing := [name for name in ("user_id", "event_time", "event_type") if name not in self.map]:
            raise ValueError(f"map lacks {', '.join(missing)}")
        return self


class Sources(Settings_):
    """sources.yaml."""

    events: list[EventSource]
    users: Source | None = None
    consents: Source | None = None
    context: Source | None = None


# --- measures.yaml --------------------------------------------------------------------------------------------------


class Measure(Settings_):
    """A daily measure per user over canonical event columns; stored as an integer (cents, ms, counts)."""

    kind: Literal["count", "sum", "min", "max", "distinct"]
    of: str | None = None
    where: str | None = None
    comment: str | None = None

    @model_validator(mode="after")
    def _of(self) -> "Measure":
        if self.kind != "count" and self.of is None:
            raise ValueError(f"kind {self.kind} needs of")
        return self


class Measures(Settings_):
    """measures.yaml. ``trend_days`` n: the last n days against the n days before; n and 2n are windows."""

    measures: dict[Name, Measure]
    windows_days: list[Days] = [1, 7, 14, 30, 60, 90]
    trend_days: Days = 7
    ratios: dict[Name, str] = {}
    segments: list[Name] = []
    population_days: Days = 90

    @model_validator(mode="after")
    def _windows(self) -> "Measures":
        if sorted(set(self.windows_days)) != self.windows_days:
            raise ValueError("windows_days must rise and not repeat")
        if not {self.trend_days, 2 * self.trend_days} <= set(self.windows_days):
            raise ValueError(f"trend_days {self.trend_days} needs windows of {self.trend_days} and {2 * self.trend_days} days")
        if self.population_days > self.windows_days[-1]:
            raise ValueError(f"population_days is at most the longest window, {self.windows_days[-1]}")
        return self

    @property
    def longest_window(self) -> int:
        """Days of the longest window."""
        return self.windows_days[-1]


# --- churn.yaml -----------------------------------------------------------------------------------------------------


class Definition(Settings_):
    """A definition of churn: eligible when active in the ``active_within_days`` days ending with O, churned when no
    event of ``events`` falls in O+lead+1 .. O+lead+horizon."""

    kind: Literal["inactivity"] = "inactivity"
    events: list[str] | None = None
    horizon_days: Days
    lead_days: int = Field(default=0, ge=0)
    active_within_days: Days
    class_: Literal["short", "long", "competitor"] = Field(default="short", alias="class")

    @property
    def ahead_days(self) -> int:
        """Days after O that a label looks at: lead + horizon."""
        return self.lead_days + self.horizon_days


class Churn(Settings_):
    """churn.yaml."""

    primary: Name
    definitions: dict[Name, Definition]

    @model_validator(mode="after")
    def _primary(self) -> "Churn":
        if self.primary not in self.definitions:
            raise ValueError(f"primary {self.primary!r} is none of the definitions {sorted(self.definitions)}")
        return self


# --- model.yaml -----------------------------------------------------------------------------------------------------


class Gate(Settings_):
    """What a model must show before it is released."""

    min_users: int = 200
    min_positives: int = 50
    min_margin_over_rule: float = 0.0
    min_margin_over_release: float = 0.0
    max_calibration_error: Share = 0.1


class ModelSettings(Settings_):
    """model.yaml. Spans in days, forward in time; ``search`` bounds of the tuner; ``value``: cents a user is worth."""

    algorithms: list[Literal["gbt"]] = ["gbt"]
    every_days: Days = 28
    train_days: Days = 91
    calibration_days: Days = 14
    test_days: Days = 14
    snapshot_every_days: Days = 7
    max_evals: Days = 8
    max_minutes: float = 60.0
    max_trees: Days = 40
    max_depth: int = Field(default=5, ge=1, le=10)
    search_users: Days = 20000
    bootstraps: Days = 200
    partitions: Days = 4
    seed: int = 7
    value: str = "0"
    gate: Gate = Gate()


# --- tiers.yaml -----------------------------------------------------------------------------------------------------


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


# --- rules.yaml, causes.yaml ----------------------------------------------------------------------------------------


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


# --- offers.yaml ----------------------------------------------------------------------------------------------------


class Offer(Settings_):
    """An offer: for which causes, for users of at least which value, by which channel, what it costs and may save."""

    name: Name
    causes: list[Name] = []
    min_value_cents: int = 0
    channel: Name
    cost_cents: int = Field(ge=0)
    save_share: Share = 0.1


class Campaign(Settings_):
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


class Outcome(Settings_):
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


class Offers(Settings_):
    """offers.yaml."""

    campaigns: list[Campaign] = []
    global_holdout_share: Share = 0.02
    global_salt: str = "global"
    quiet_hours: tuple[Hour, Hour] = (21, 8)
    campaign_max_days: Days = 60
    outcomes: dict[Name, Outcome] = {"retained": Outcome(label="primary")}
    sample_ratio_alarm_p: Share = 0.01

    @model_validator(mode="after")
    def _unique(self) -> "Offers":
        names = [campaign.name for campaign in self.campaigns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"campaigns stand twice: {twice}")
        return self


# --- experiments.yaml -----------------------------------------------------------------------------------------------


class Experiment(Settings_):
    """An outside experiment's table: one row a unit; ``source.map``: unit, arm, [cluster, stratum, day]; ``outcomes``:
    name -> SQL; ``covariates``: value from before the assignment that steadies the outcome of the same name;
    ``shares``: planned share of every arm; ``day``: of the assignment, where the rows have none."""

    source: Source
    outcomes: dict[Name, str]
    covariates: dict[Name, str] = {}
    control: str
    shares: dict[str, Share]
    day: date | None = None

    @model_validator(mode="after")
    def _arms(self) -> "Experiment":
        if unknown := sorted(set(self.source.map) - {"unit", "arm", "cluster", "stratum", "day"}):
            raise ValueError(f"source.map has unknown fields {unknown}; it has unit, arm, cluster, stratum, day")
        if missing := [field for field in ("unit", "arm") if field not in self.source.map]:
            raise ValueError(f"source.map lacks {', '.join(missing)}")
        if self.control not in self.shares or len(self.shares) < 2:
            raise ValueError(f"shares name every arm, the control {self.control!r} among them")
        if abs(sum(self.shares.values()) - 1) > 1e-9:
            raise ValueError("shares add up to 1")
        if unknown := sorted(set(self.covariates) - set(self.outcomes)):
            raise ValueError(f"covariates without an outcome of the same name: {unknown}")
        return self


# --- all ------------------------------------------------------------------------------------------------------------


class Settings(Settings_):
    """Everything a run knows besides its days. ``spark``: any Spark setting, left alone on Databricks."""

    domain: str
    storage: Storage
    clock: Clock = Clock()
    spark: dict[str, Any] = {}
    mlflow: Mlflow
    activity: Activity = Activity()
    quality: Quality = Quality()
    privacy: Privacy
    runs: Runs = Runs()
    sending: Sending = Sending()
    sources: Sources
    measures: Measures
    churn: Churn
    model: ModelSettings = ModelSettings()
    tiers: Tiers
    rules: Rules = Rules()
    causes: Causes = Causes()
    offers: Offers = Offers()
    experiments: dict[Name, Experiment] = {}

    @property
    def primary(self) -> Definition:
        """The definition of churn that the model predicts."""
        return self.churn.definitions[self.churn.primary]

    def label_lag_days(self, definition: str) -> int:
        """Days until a label of O is known: lead + horizon + settle."""
        return self.churn.definitions[definition].ahead_days + self.clock.settle_days

    def outcome_definition(self, outcome: Outcome) -> str | None:
        """Definition of churn whose label decides ``outcome``; None where it is a measure."""
        return self.churn.primary if outcome.label == "primary" else outcome.label

    def outcome_lag_days(self, outcome: Outcome) -> int:
        """Days after the assignment until ``outcome`` is known: the label's lag, or days + settle."""
        if definition := self.outcome_definition(outcome):
            return self.label_lag_days(definition)
        return (outcome.days or 0) + self.clock.settle_days
