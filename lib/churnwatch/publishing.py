"""Publish what a step has built: one commit a table, in the order in which the job declares its tables."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from pyspark.sql import DataFrame

from churnwatch.core import ContractError, Scope, Table, day_range, days_predicate
from churnwatch.io.store import Store, Written
from churnwatch.reading import Reader, Step


def publish(
    step: Step, run_id: str, frames: Mapping[str, Any], scoped: Mapping[str, Scope], store: Store, reader: Reader
) -> list[Written]:
    """Commit the ``frames`` of a step, by table; of a log table also slices, each built when the one before it is committed.

    Returns what was written, by table. Where a table needed no commit, it names the version that readers take: a newer one may
    be half of another step. Raises ContractError when ``frames`` are not what the job declares, or break a contract.
    """
    job = step.job
    if set(frames) != {t.name for t in job.writes}:
        raise ContractError(f"{job.full_name} built {sorted(frames)}, but declares {[t.name for t in job.writes]}")
    stamp = {"run_id": run_id, "job": job.full_name, "day": str(step.day), "days": [str(day) for day in step.days]}
    written: list[Written] = []
    for table in job.writes:
        try:
            if table.kind == "log":
                # closed at once when a commit fails: what a port holds while it builds slices is free for the next run
                with closing(_slices(frames[table.name])) as slices:
                    ends = [_appended(step, table, rows, stamp, store) for rows in slices]
                committed = [end for end in ends if end.committed]
                end = Written(table.name, committed[-1].version if committed else 0, sum(e.rows for e in ends), bool(committed))
            else:
                end = store.replace(table, frames[table.name], replaced(step, table.name, scoped), stamp)
        except Exception as error:
            error.add_note(_place(table, written))
            raise
        written.append(end if end.committed else replace(end, version=reader.version(table) or 0))
    return written


def replaced(step: Step, table: str, scoped: Mapping[str, Scope] | None = None) -> str:
    """SQL of the rows of ``table`` that the step replaces."""
    special = step.job.where(step.days, **(scoped or {})) if step.job.where else {}
    return special.get(table) or days_predicate(step.days)


def _slices(built: Any) -> Generator[DataFrame]:
    if isinstance(built, DataFrame):
        yield built
    else:
        yield from built


def _appended(step: Step, table: Table, rows: DataFrame, stamp: Mapping[str, Any], store: Store) -> Written:
    again = partial(_only_new, step, table, rows, store)
    return store.append(table, again(), stamp, again)


def _only_new(step: Step, table: Table, frame: DataFrame, store: Store) -> DataFrame:
    """Rows of a log table whose key is not stored yet, so that a second run adds nothing.

    Looks at the days of the step, and at those that the job reads of the table: it may add rows to them, as attempts to send
    messages of earlier days are.
    """
    first, last = min(step.days), max(step.days)
    for read in step.job.reads.values():
        if read.table == table:
            first = min(first, read.span.days(first, last)[0] or first)
    stored = store.read(table, days_predicate(day_range(first, last)), first, last)
    stored = stored.select(*table.keys)  # one row a key
    return frame.join(stored, list(table.keys), "left_anti").select(*frame.columns)


def _place(table: Table, written: Sequence[Written]) -> str:
    """Where a step broke off, for the message of its error."""
    committed = ", ".join(f"{one.table} version {one.version}" for one in written)
    text = f"It happened while {table.name} was written."
    return f"{text} Committed before it: {committed}; readers keep the versions before these." if committed else text
