"""Where it runs: the keys of conf/<where>.yaml besides ``sending``."""

from typing import Literal

from pydantic import Field, model_validator

from churnwatch.settings.base import SettingsPart, Share


class Storage(SettingsPart):
    """Where tables, files and raw input lie. Exactly one of ``root`` and ``schema`` is given."""

    root: str | None = None
    """Folder of the tables: one Delta table per folder. A path of the machine or a URI such as hdfs:// or s3a://."""
    schema_name: str | None = Field(default=None, alias="schema")
    """Catalog and schema of the tables, in place of `root`."""
    files: str
    """Folder for pages, staging and checkpoints. The driver must see it as a folder of the machine, such as a mount."""
    input: str | None = Field(default=None, examples=["/mnt/raw"])
    """Folder of the raw input, which paths of sources.yaml may name as `{storage.input}`."""

    @model_validator(mode="after")
    def _one_place(self) -> "Storage":
        if (self.root is None) == (self.schema_name is None):
            raise ValueError("storage has either root (a folder) or schema (catalog tables). Hint: keep one of the two keys")
        return self


class Clock(SettingsPart):
    """The time zone of business days, and how long late events are waited for."""

    time_zone: str = "UTC"
    """IANA name of the zone whose midnight begins a business day."""
    settle_days: int = Field(default=2, ge=0)
    """Days after which a day counts as settled. Labels and training read settled days alone."""
    future_minutes: int = Field(default=5, ge=0)
    """Minutes by which the clock of a device may be ahead: an event of a source without `{day}` that lies further ahead of the
    clock at ingest is rejected as future_event."""


class Mlflow(SettingsPart):
    """Where models and the runs of training are kept."""

    tracking_uri: str
    """Tracking server of MLflow: a database or a server."""
    experiment: str = "churnwatch"
    """Experiment that holds the runs of training."""
    model: str = "churnwatch"
    """Name of the registered model."""


class Activity(SettingsPart):
    """How daily_activity is laid out, and what a session is."""

    buckets: int = Field(default=4, ge=1)
    """Parts by user hash of each day of daily_activity; about 1 to 2 million users each.
    A change needs a rebuild of the table."""
    session_gap_minutes: int = Field(default=30, ge=1)
    """Pause between two events of a user after which the second one begins a new session."""
    distinct_cap: int = Field(default=200, ge=1)
    """Most distinct values of a measure of kind `distinct` that are kept per user and day or month. From this number on,
    numbers of different values are estimated (standard error 7 % for 200)."""


class Quality(SettingsPart):
    """Gates of ingest: a day that fails one is not published."""

    max_rejected_share: Share = 0.05
    """Largest share of rejected rows of a source, among the rows whose user is not in `sources.nobody`."""
    max_nobody_share: Share = 0.2
    """Largest share of rows of a source whose user is in `sources.nobody`."""
    max_identical_across_files_share: Share = 0.01
    """Largest share of events of a source with `repeats: keep` and without ids that stand in another file too."""
    max_unreadable_share: Share = 0.05
    """Largest share of the values of a user attribute that are no date, where a churn definition reads the attribute as a
    date."""
    min_rows_share_of_usual: Share | None = None
    """Fewest events of a day, as a share of the median of the 28 days before it. Null: not checked."""
    max_null_share_rise: Share | None = 0.2
    """Largest rise of the share of nulls in a mapped field of a source, over the median of its last 7 days with events. Null:
    not checked."""
    min_hours_share: Share | None = Field(default=None, examples=[0.8])
    """Fewest hours with events, as a share of the hours of the day that usually have 20 events or more on that weekday. Null:
    such hours are named, and the day is published."""
    allow_empty_days: bool = True
    """Whether a day may have no event at all."""


class IdKey(SettingsPart):
    """Where the secret key of the hashes of user ids lies."""

    file: str | None = None
    """File with the key; it is made when it is missing."""
    env: str | None = None
    """Environment variable with the key, at least 16 bytes."""


class Privacy(SettingsPart):
    """What may leave the tables."""

    min_group_size: int = Field(default=10, ge=1)
    """Fewest users of a group that a page, a message or a warning shows."""
    id_key: IdKey
    """Where the key of the hashes lies that stand for user ids in messages and on pages."""
    pseudonymise: bool = Field(default=False, examples=[True])
    """Whether tables hold keyed hashes (HMAC-SHA-256) in place of the user ids of the sources. Rejected rows are then stored
    without their text. It is set before the first ingest of a warehouse, and never changed."""
    table_key: IdKey = IdKey()
    """Where the key of these hashes, and of the list of erased users, lies. It never changes. By default it is derived from the
    first key in the file of `id_key`, which `churnwatch keys rotate` keeps; where `id_key` is an environment variable, hashed
    tables and erasures need it."""


class Runs(SettingsPart):
    """How runs guard each other."""

    parallel_steps: int = Field(default=1, ge=1, le=16, examples=[2])
    """Steps of `run all` that run side by side where neither writes a table that the other one reads or writes; each has a
    Spark session of its own. More than one pays on a cluster, where a step alone leaves cores idle."""
    lease_minutes: float = Field(default=5, gt=0)
    """Minutes without a heartbeat after which a run counts as dead, so that another run takes over its work. They are measured
    by the clock of the run that waits. A run whose process has ended on the same machine is noticed at once."""
    conflict_minutes: float = Field(default=5, gt=0)
    """Minutes for which a commit is tried again that lost to commits of other work on the same table."""
    attempt: str | None = Field(default=None, examples=["daily-2025-03-10/2"])
    """Attempt of the orchestrator that starts this run: `<task run>/<number>`. A later attempt takes over the work of an
    earlier one of the same task run at once. Null: none."""


class Lineage(SettingsPart):
    """Events of OpenLineage about what each step read and wrote."""

    namespace: str | None = Field(default=None, examples=["churnwatch"])
    """Namespace of jobs and tables in the events. Null: no events are sent. The receiver is what openlineage-python finds:
    the environment variable OPENLINEAGE_URL, or a file openlineage.yml. Needs `pip install 'churnwatch[lineage]'`."""


class Logs(SettingsPart):
    """Log lines of the commands."""

    level: Literal["debug", "info", "warning", "error"] = "error"
    """Least severe lines that are written; `-v` on the command line writes those from info on."""
    format: Literal["text", "json"] = "text"
    """text: lines for people. json: an object a line, with `at` (UTC), `level`, `logger`, `source` (file:line), `message`."""
    file: str | None = Field(default=None, examples=["/var/log/churnwatch.log"])
    """File to which lines are added. Null: the command's stderr."""
