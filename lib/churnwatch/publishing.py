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

Versions = Mapping[str, int | None]  # of each table; None: it is not stored


class InputsChanged(Exception):
    """Raised when a commit of a step lost to other work, and a table that the step reads has changed since it read it."""


def publish(
    step: Step,
    run_id: str,
    frames: Mapping[str, Any],
    scoped: Mapping[str, Scope],
    read: Versions,
    store: Store,
    reader: Reader,
) -> list[Written]:
    """Commit the ``frames`` of a step, by table; of a log table also slices, each built when the one before it is committed.

    ``read``: the versions of the inputs from which the frames were built. Returns what was written, by table. Where a table
    needed no commit, it names the version that readers take: a newer one may be half of another step.
    Raises ContractError when ``frames`` are not what the job declares, or break a contract; InputsChanged when the step must be
    built again, because its commit lost to other work that has changed an input.
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
                again = partial(_unless_inputs_changed, frames[table.name], step, read, reader)
                end = store.replace(table, frames[table.name], replaced(step, table.name, scoped), stamp, again)
        except Exception as error:
            error.add_note(_place(table, written))
            raise
        written.append(end if end.committed else replace(end, version=reader.version(table) or 0))
    return written


def replaced(step: Step, table: str, scoped: Mapping[str, Scope] | None = None) -> str:
    """SQL of the rows of ``table`` that the step replaces."""
    special = step.job.where(step.days, **(scoped or {})) if step.job.where else {}
    return special.get(table) or days_predicate(step.days)


def _unless_inputs_changed(frame: DataFrame, step: Step, read: Versions, reader: Reader) -> DataFrame:
    """``frame``, to be committed once more after a conflict. Raises InputsChanged when it was built from old versions.

    A conflict means that somebody else has committed to the table. That was other work: of two runs of the same job and day the
    second ends with WriteConflict. ``frame`` is computed from fixed versions of the inputs. As long as readers still take these
    versions, a new build would give the same rows, and the frame is written as it is. This holds for most jobs, which do not
    read the table that they write. Where an input has changed, the step is built again from its first table on, so that all its
    tables come from the same versions, and these are the versions that job_runs names.

    An input may also change without a conflict, when the other run writes another partition. This is not looked for: job_runs
    names the versions that were read, and ``--resume`` builds a step again that is older than its inputs.
    """
    reader.refresh()
    tables = {one.table.name: one.table for one in step.job.reads.values()}
    if changed := sorted(name for name, table in tables.items() if reader.version(table) != read[name]):
        raise InputsChanged(f"{', '.join(changed)} changed while {step.title} was built")
    return frame


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
