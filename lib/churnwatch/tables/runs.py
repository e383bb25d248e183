"""The log of runs, which the runner writes."""

from churnwatch.core import column
from churnwatch.settings.terms import RUN_STATUSES
from churnwatch.tables.columns import INPUTS, OUTPUTS, RANGES, RESTATED, TEXT_BY_NAME, day, one_of, table

OPERATOR_ACTIONS = table(
    "operator_actions",
    "something that a person did to the warehouse by a command; actions on warnings are in alert_events, with their person",
    [
        day("day of the action, UTC"),
        column("action_id", "string", "id of the action", nullable=False),
        column("at", "timestamp", "instant of the action", nullable=False),
        column("who", "string", "person who typed the command: --who, else the user of the operating system", nullable=False),
        column("action", "string", "maintain, migrate, erase, take_over, approve or another command", nullable=False),
        column("about", "string", "what it was done to: a run, a table, a request or the warehouse", nullable=False),
        column("note", "string", "what was done, as text; null: nothing to say"),
    ],
    ("action_id",),
    kind="log",
)


JOB_RUNS = table(
    "job_runs",
    "the start or the end of a run of a job",
    [
        day("last run day D of the run"),
        column(
            "run_id",
            "string",
            "id of the run; that of a step of a run of the whole flow begins with that run's id and a hyphen",
            nullable=False,
        ),
        column("job", "string", "job, or 'all' for a run of the whole flow", nullable=False),
        column("instance", "string", "instance of the job; empty: it has none", nullable=False),
        column("at", "timestamp", "instant at which the row was written", nullable=False),
        column(
            "status",
            "string",
            "running, done, failed, skipped, refused or aborted (by a signal or a take-over, or its process died)",
            nullable=False,
        ),
        column("days", RANGES, "output days", nullable=False),
        # nullable: rows that were stored before this column existed lack it
        column("restated", RESTATED, "other days that the run wrote again, by table, because a change came late"),
        column("meaning", TEXT_BY_NAME, "hash of what each configured column meant when the days were built, by column"),
        column("config_hash", "string", "hash of the settings", nullable=False),
        column("code_hash", "string", "hash of the code of the package", nullable=False),
        column("inputs", INPUTS, "tables read, with version and days"),
        column("outputs", OUTPUTS, "tables written, with version and rows"),
        column("seconds", "double", "duration, seconds; null while running"),
        column("message", "string", "reason of a failure, skip or refusal; counts of ingest; while running the process"),
    ],
    ("run_id", "job", "instance", "day", "status"),
    kind="log",
    # 100 commits of a run of the whole flow (4 a day, 8 to 12 kB each) make a file of 50 kB: it holds a month
    file_bytes=32 << 10,
    rules={"status_known": one_of("status", RUN_STATUSES)},
)
