"""Where it runs: conf/<where>.yaml."""

from pydantic import Field, model_validator

from churnwatch.settings.base import SettingsPart, Share


class Storage(SettingsPart):
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


class Clock(SettingsPart):
    """The business day's zone, and the days after which late events are no longer waited for."""

    time_zone: str = "UTC"
    settle_days: int = Field(default=2, ge=0)


class Mlflow(SettingsPart):
    """Where models and their runs are kept."""

    tracking_uri: str
    experiment: str = "churnwatch"
    model: str = "churnwatch"


class Activity(SettingsPart):
    """Layout of daily_activity and what a session is."""

    buckets: int = Field(default=4, ge=1)
    session_gap_minutes: int = Field(default=30, ge=1)
    distinct_cap: int = Field(default=200, ge=1)


class Quality(SettingsPart):
    """Gates of ingest."""

    max_rejected_share: Share = 0.05
    min_rows_share_of_usual: Share | None = None
    allow_empty_days: bool = True


class IdKey(SettingsPart):
    """Where the secret that keys the hashes of user ids lies: a file made at set-up, or an environment variable."""

    file: str | None = None
    env: str | None = None


class Privacy(SettingsPart):
    """What may leave the tables."""

    min_group_size: int = Field(default=10, ge=1)
    id_key: IdKey
    pseudonymise: bool = False


class Runs(SettingsPart):
    """How runs guard each other."""

    stale_run_minutes: int = Field(default=120, ge=1)
