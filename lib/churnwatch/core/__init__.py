"""Tables, spans, jobs and errors: the types of the framework, without words of the domain. It imports nothing of ours."""

from churnwatch.core.days import contiguous, day_range, days_predicate, is_snapshot, only_days, to_ranges, wall_seconds
from churnwatch.core.errors import (
    ChurnwatchError,
    ConfigError,
    ContractError,
    DataQualityError,
    Interrupted,
    JobFailed,
    LeaseLost,
    MissingDays,
    NoEventLog,
    Refused,
    Skipped,
    Terminated,
    WriteConflict,
)
from churnwatch.core.job import Due, Job, Scope
from churnwatch.core.keeping import check_keep_days, first_kept_day
from churnwatch.core.restating import SINCE, first_rows, outdated_restatements, restated
from churnwatch.core.table import Read, Span, Table, column, new_fields

__all__ = [
    "ChurnwatchError",
    "ConfigError",
    "ContractError",
    "DataQualityError",
    "Due",
    "Interrupted",
    "Job",
    "JobFailed",
    "LeaseLost",
    "MissingDays",
    "NoEventLog",
    "Read",
    "Refused",
    "SINCE",
    "Scope",
    "Skipped",
    "Span",
    "Table",
    "Terminated",
    "WriteConflict",
    "check_keep_days",
    "column",
    "contiguous",
    "day_range",
    "days_predicate",
    "first_kept_day",
    "first_rows",
    "is_snapshot",
    "new_fields",
    "only_days",
    "outdated_restatements",
    "restated",
    "to_ranges",
    "wall_seconds",
]
