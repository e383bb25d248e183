"""What `churnwatch maintain` keeps, and for how long: the key `maintenance` of conf/<where>.yaml."""

from pydantic import Field

from churnwatch.settings.base import Count, Days, SettingsPart


class Maintenance(SettingsPart):
    """What `churnwatch maintain` keeps, and for how long. Ages of rows are counted back from the newest ingested day, ages of
    files from now."""

    keep_versions_days: int = Field(default=14, ge=7, le=21)
    """Days for which replaced files of tables are kept. Until then a run under way, a reader of an older version and a
    rollback find them. Erased users are gone for good after it."""
    keep_days: dict[str, Days] = Field(default={}, examples=[{"rejected_events": 90, "events": 400}])
    """Table -> days whose rows are kept. Rows of other tables are kept for ever, except copies that jobs make for
    themselves. A table keeps at least the days that jobs read."""
    join_from_files: Count = 32
    """Files of a table, or of one of its partitions, from which on small files are joined."""
    keep_pages_days: Days = 400
    """Days for which report pages of earlier days are kept."""
    keep_outbox_days: Days | None = Field(default=None, examples=[90])
    """Days for which messages that are files are kept. Null: for ever, because another system may still fetch them."""
    keep_inbox_days: Days = 90
    """Days for which typed acknowledgements are kept as files; they stand in `alert_events` from the start."""
    keep_trials_days: Days = 14
    """Days for which finished trials of a training that never ended are kept, so that it can be resumed."""
    keep_scratch_days: Days = 2
    """Days for which scratch files of dead processes, and what an interrupted drill left, are kept. A run that is under way
    keeps its files."""
    keep_attempts_days: Days = 90
    """Days for which MLflow keeps training runs that were not released; their rows in `model_runs` stay."""
