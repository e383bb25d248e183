"""Bring stored tables up to their contracts."""

from collections.abc import Iterator, Sequence
from functools import partial

from pyspark.sql.types import DataType

from churnwatch.core import ConfigError, Table, new_fields, to_ranges
from churnwatch.io import definitions
from churnwatch.io.contracts import STATISTICS, changed_properties, changed_rules, fixed_columns, statistics_columns
from churnwatch.runner import Runner
from churnwatch.upkeep.migrations import run_changes


def migrate(runner: Runner, dry_run: bool) -> Iterator[str]:
    """Create missing tables, add new nullable columns, let columns that were taken out be null, and replace changed rules and
    comments; yield a line for each change.

    Raises ConfigError, before anything is changed, for a change that cannot be made in place: another type of a column, other
    buckets. Raises WriteConflict when another run lives.
    """
    everything = list(runner.tables)
    lines = _changes(runner, everything, True) if dry_run else run_changes(runner, partial(_changes, runner))
    yield next(lines, "every table is as its contract says")
    yield from lines


def _changes(runner: Runner, tables: Sequence[Table], dry_run: bool) -> Iterator[str]:
    faults: list[str] = []
    plans: list[tuple[Table, dict[str, DataType] | None]] = []
    rules: list[tuple[Table, list[str]]] = []
    relaxed: list[tuple[Table, list[str]]] = []
    for table in tables:
        if not runner.store.exists(table):
            plans.append((table, None))
            continue
        stored = {f.name: f.dataType for f in runner.store.stored_schema(table).fields}
        new: dict[str, DataType] = {}
        for f in table.schema.fields:
            more = new_fields(stored[f.name], f.dataType, f.name) if f.name in stored else {f.name: f.dataType}
            if more is None:
                was = stored[f.name].simpleString()
                faults.append(f"{table.name}.{f.name} is stored as {was}, the contract says {f.dataType.simpleString()}")
            new |= more or {}
        properties = runner.store.properties(table)
        faults += [f"{table.name}: {line}" for line in changed_properties(table, properties)]
        if fixed := fixed_columns(table, runner.store.stored_schema(table)):
            relaxed.append((table, fixed))
        if new:
            plans.append((table, new))
        if changed := changed_rules(table, properties):
            rules.append((table, changed))
    if faults:
        raise ConfigError("cannot migrate, nothing was changed:\n" + "\n".join(f"  {fault}" for fault in faults))
    yield from _relaxed(runner, relaxed, dry_run)
    yield from _migrated(runner, plans, dry_run)
    yield from _with_rules(runner, rules, dry_run)
    yield from _with_comments(runner, tables, dry_run)
    yield from _with_statistics(runner, tables, dry_run)


def _relaxed(runner: Runner, columns: list[tuple[Table, list[str]]], dry_run: bool) -> Iterator[str]:
    for table, names in columns:
        if not dry_run:
            definitions.relax_columns(runner.store, table, names)
        yield f"{table.name}: {', '.join(names)} {'would stay' if dry_run else 'stay'} stored, nullable and unread"


def _with_rules(runner: Runner, rules: list[tuple[Table, list[str]]], dry_run: bool) -> Iterator[str]:
    for table, changed in rules:
        if not dry_run:
            definitions.set_rules(runner.store, table, changed)
        yield f"{table.name}: rules {'would be ' if dry_run else ''}set: {', '.join(changed)}"


def _with_statistics(runner: Runner, tables: Sequence[Table], dry_run: bool) -> Iterator[str]:
    for table in tables:
        wanted = statistics_columns(table)
        if wanted and runner.store.exists(table) and runner.store.properties(table).get(STATISTICS) != wanted:
            if not dry_run:
                definitions.set_properties(runner.store, table, {STATISTICS: wanted})
            yield f"{table.name}: new files {'would have' if dry_run else 'have'} statistics of {wanted}"


def _with_comments(runner: Runner, tables: Sequence[Table], dry_run: bool) -> Iterator[str]:
    for table in tables:
        if runner.store.exists(table) and (outdated := definitions.outdated_comments(runner.store, table)):
            if not dry_run:
                definitions.set_comments(runner.store, table, outdated)
            yield f"{table.name}: comments {'would be ' if dry_run else ''}set of {len(outdated)} column(s)"


def _migrated(runner: Runner, plans: list[tuple[Table, dict[str, DataType] | None]], dry_run: bool) -> Iterator[str]:
    for table, new in plans:
        if new is None:
            if not dry_run:
                runner.store.create([table])
            yield f"{table.name}: {'would be ' if dry_run else ''}created"
            continue
        if not dry_run:
            definitions.add_columns(runner.store, table, new)
        writers = [job for job in runner.jobs if table in job.writes]
        runner.ledger.refresh()
        days = sorted({d for job in writers for d in runner.ledger.done_days(job.full_name, None)})
        ranges = ", ".join(f"{a} .. {b}" for a, b in to_ranges(days)) or "none"
        yield f"{table.name}: {'would add' if dry_run else 'added'} {', '.join(new)}; days to rebuild: {ranges}"
