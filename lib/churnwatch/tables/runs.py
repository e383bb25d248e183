"""The log of runs, which the runner writes."""

from churnwatch.core import column
from churnwatch.settings.terms import RUN_STATUSES
from churnwatch.tables.columns import INPUTS, OUTPUTS, RANGES, day, one_of, table

JOB_RUNS = table(
    "job_runs",
    "runs of jobs: a row when they start, a row when they end",
    [
        day("last D of the run"),
        column("run_id", "string", "run", nullable=False),
        column("job", "string", "job, or 'all'", nullable=False),
        column("instance", "string", "instance of the job, or ''", nullable=False),
        column("at", "timestamp", "instant at which the row was written", nullable=False),
        column("status", "string", "running, done, failed, skipped or refused", nullable=False),
        column("days", RANGES, "output days", nullable=False),
        column("config_hash", "string", "hash of the settings", nullable=False),
        column("code_hash", "string", "hash of the package", nullable=False),
        column("inputs", INPUTS, "tables read, their version and days"),
        column("outputs", OUTPUTS, "tables written, their version and rows"),
        column("seconds", "double", "wall seconds; null while running"),
        column("message", "string", "why it failed, was skipped or refused; counts of ingest"),
    ],
    ("run_id", "job", "instance", "day", "status"),
    kind="log",
    rules={"status_known": one_of("status", RUN_STATUSES)},
)
