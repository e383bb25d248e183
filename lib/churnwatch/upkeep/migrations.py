"""Migrations as runs: they run alone, leave a row in job_runs with the versions before and after, and can be rolled back."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

from churnwatch import claims
from churnwatch.core import ConfigError, Table
from churnwatch.io import definitions
from churnwatch.io.operator_log import record_action
from churnwatch.io.protocol import PROPERTY, PROTOCOL, stored_protocol
from churnwatch.io.store import Written
from churnwatch.runner import Runner
from churnwatch.settings.terms import DONE, MIGRATE

Changes = Callable[[list[Table], bool], Iterator[str]]  # (tables, dry run) -> a line a change


def run_changes(runner: Runner, changes: Changes) -> Iterator[str]:
    """Make the changes of all tables, job_runs first, and yield their lines. No other run is under way meanwhile.

    Raises WriteConflict when another run lives.
    """
    log = runner.tables.job_runs
    others = [table for table in runner.tables if table != log]
    # an older version may have written job_runs: it is brought into the form of this version before a row is added
    if not (_outdated(runner) or list(changes([log, *others], True))):
        return
    before = {table.name: runner.store.newest(table) for table in runner.tables}
    yield from changes([log], False)
    claim = _claimed(runner)
    started = datetime.now(UTC)
    try:
        yield from changes(others, False)
        if _outdated(runner):
            definitions.set_properties(runner.store, log, {PROPERTY: str(PROTOCOL)})
            yield f"{log.name}: protocol set to {PROTOCOL}"
        after = {table.name: runner.store.newest(table) for table in runner.tables}
        # a roll-back keeps the rows of what people did
        actions = runner.tables.operator_actions
        changed = [name for name in after if after[name] != before[name] and name != actions.name]
        record_action(runner.store, actions, "migrate", "warehouse", ", ".join(changed) or None, runner.leases.owner.person)
        runner.ledger.write(
            claim.run_id,
            MIGRATE,
            "",
            claim.day,
            DONE,
            (),
            inputs=[(name, before[name], None, claim.day) for name in changed],
            outputs=[Written(name, version, 0) for name in changed if (version := after[name]) is not None],
            seconds=(datetime.now(UTC) - started).total_seconds(),
            message=f"by {runner.leases.owner.person}; churnwatch migrate --undo rolls back",
        )
    except BaseException as error:
        runner.ledger.write(claim.run_id, MIGRATE, "", claim.day, claims.ending(error), (), message=str(error)[:2000])
        raise
    finally:
        runner.ledger.flush()
        runner.leases.release_all()


def undo(runner: Runner) -> Iterator[str]:
    """Restore the tables that the newest migration changed to their versions before it; yield a line a table.

    Tables that it created stay: an older version of the package does not look at them.
    Raises ConfigError, before anything is changed, when there is no migration, or when rows were written since. Raises
    WriteConflict when another run lives.
    """
    runner.store.refresh()
    restored = _versions_before(runner)
    log = runner.tables.job_runs.name
    faults = [
        f"{name}: {text}" for name, (_, after) in restored.items() if (text := _written_since(runner, name, after, name == log))
    ]
    if faults:
        raise ConfigError(
            "cannot roll back, nothing was changed: rows were written since the migration, and would be lost\n"
            + "\n".join(f"  {fault}" for fault in faults)
        )
    _claimed(runner)
    try:
        # job_runs last: until then it says which migration is to be rolled back
        for name in sorted(restored, key=lambda name: (name == log, name)):
            version = restored[name][0]
            if version is None:
                yield f"{name}: was created by the migration, and stays"
                continue
            definitions.restore(runner.store, runner.tables[name], version)
            yield f"{name}: restored to version {version}"
        actions, note = runner.tables.operator_actions, f"rolled back: {', '.join(restored)}"
        record_action(runner.store, actions, "migrate", "warehouse", note, runner.leases.owner.person)
    finally:
        runner.leases.release_all()


def _outdated(runner: Runner) -> bool:
    log = runner.tables.job_runs
    return runner.store.exists(log) and stored_protocol(runner.store.properties(log)) != PROTOCOL


def _claimed(runner: Runner) -> claims.Claim:
    day: date = datetime.now(UTC).date()
    claim = claims.Claim(uuid.uuid4().hex, MIGRATE, "", day, (day,), ())
    runner.store.refresh()
    claims.take(runner.ledger, runner.leases, claim)
    return claim


def _versions_before(runner: Runner) -> dict[str, tuple[int | None, int]]:
    """Per table that the newest migration changed: its versions before and after."""
    rows = runner.store.read(runner.tables.job_runs, f"job = '{MIGRATE}' AND status = '{DONE}'")
    newest = rows.orderBy("at", ascending=False).select("inputs", "outputs").head()
    if newest is None:
        raise ConfigError("there is no migration to roll back")
    before = {one["table"]: one["version"] for one in newest["inputs"]}
    return {one["table"]: (before[one["table"]], one["version"]) for one in newest["outputs"]}


def _written_since(runner: Runner, name: str, after: int, is_log: bool) -> str | None:
    """Who has written the table since the version ``after``; of job_runs the rows of migrations do not count."""
    for version, stamp in runner.store.commits_from(runner.tables[name], after + 1):
        jobs = {row["job"] for row in stamp.get("rows", ())}
        if not (is_log and jobs <= {MIGRATE}):
            who = (
                f"run {stamp['run_id']} ({stamp.get('job')})"
                if "run_id" in stamp
                else ", ".join(sorted(jobs)) or "another program"
            )
            return f"version {version} was written by {who}"
    return None
