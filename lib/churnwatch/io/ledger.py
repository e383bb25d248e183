"""``job_runs`` as the runner uses it: what ran, for which days, how it ended, and what runs now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from churnwatch.core import Table, day_range, to_ranges
from churnwatch.io.leases import Owner
from churnwatch.io.protocol import check_protocol
from churnwatch.io.session import few_rows_settings
from churnwatch.io.store import Store, Written
from churnwatch.settings.terms import ALL, DONE, RUNNING

COMPACT_EVERY = 100  # commits of job_runs between two compactions: a reader opens at most so many small files


@dataclass(frozen=True)
class Run:
    """One attempt of a job, as its newest row has it; instants are in UTC."""

    run_id: str
    job: str
    instance: str
    day: date
    status: str
    started_at: datetime
    at: datetime
    days: frozenset[date]
    message: str
    seconds: float | None = None
    read: Mapping[str, int] = field(default_factory=dict)  # table -> version that was read
    wrote: Mapping[str, int] = field(default_factory=dict)  # table -> version after the write; of ``all``: that a reader takes
    rows: Mapping[str, int] = field(default_factory=dict)  # table -> rows that were written
    restated: Mapping[str, frozenset[date]] = field(default_factory=dict)  # table -> other days that were written again
    meaning: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def full_name(self) -> str:
        """``job`` or ``job:instance``."""
        return f"{self.job}:{self.instance}" if self.instance else self.job


class Ledger:
    """Runs by their newest rows; bounded by jobs and days, never by users.

    Rows that ``write`` adds wait in memory, and count as stored, until ``flush`` commits them together.
    """

    def __init__(self, store: Store, table: Table, config_hash: str, code_hash: str, owner: Owner) -> None:
        self._store, self._table, self._owner = store, table, owner
        self._hashes = {"config_hash": config_hash, "code_hash": code_hash}
        self._read_version: int | None = -1
        self._runs: dict[tuple[str, str, str, date], Run] = {}
        self._waiting: list[Mapping[str, Any]] = []
        self._rows: dict[str, dict[date, float]] = {}

    def refresh(self, newest: bool = True) -> None:
        """Read the table again when it has a new version; not ``newest``: only up to the commit of the last ``flush``."""
        version = self._store.newest(self._table) if newest else self._store.version(self._table)
        if version == self._read_version:
            return
        columns = ["run_id", "job", "instance", "day", "at", "status", "days", "restated", "meaning"]
        columns += ["inputs", "outputs", "seconds", "message"]
        with few_rows_settings(self._store.spark, enabled=True):
            stored = self._store.read(self._table)
            # rows that are read before `churnwatch migrate` has added a column lack it
            rows = stored.select(*(name for name in columns if name in stored.columns)).toArrow().to_pylist()
        self._runs.clear()
        self._rows.clear()
        for row in sorted(rows, key=lambda r: (r["at"], r["status"] != RUNNING)):
            self._apply_row(row)
        for row in self._waiting:
            self._apply_row(row)
        self._read_version = version

    def _apply_row(self, row: Mapping[str, Any]) -> None:
        key = (row["run_id"], row["job"], row["instance"], row["day"])
        before = self._runs.get(key)
        days, meaning, again = _days_of(row["days"]), dict(row.get("meaning") or ()), row.get("restated") or ()
        restated = {r["table"]: _days_of([s for s in again if s["table"] == r["table"]]) for r in again}
        started = before.started_at if before else row["at"]
        read, wrote = (_versions(row[name]) for name in ("inputs", "outputs"))
        rows = {output["table"]: output["rows"] for output in row["outputs"] or ()}
        run = Run(*key, row["status"], started, row["at"], days, row["message"] or "", row["seconds"], read, wrote, rows)
        self._runs[key] = replace(run, restated=restated, meaning=meaning)
        for output in (row["outputs"] or ()) if row["job"] != ALL else ():
            share = output["rows"] / len(days) if days else 0.0
            self._rows.setdefault(output["table"], {}).update(dict.fromkeys(days, share))

    def write(
        self,
        run_id: str,
        job: str,
        instance: str,
        day: date,
        status: str,
        days: Iterable[date],
        *,
        inputs: Sequence[tuple[str, int | None, date | None, date]] = (),
        outputs: Sequence[Written] = (),
        seconds: float | None = None,
        message: str | None = None,
        restated: Mapping[str, Iterable[date]] | None = None,
        meaning: Mapping[str, str] | None = None,
    ) -> None:
        """Add a row: ``running`` when a job starts, one of the other statuses when it ends.

        The message of a running row names this process, for people.
        """
        row = {
            "day": day,
            "run_id": run_id,
            "job": job,
            "instance": instance,
            "at": datetime.now(UTC),
            "status": status,
            "days": [{"first": a, "last": b} for a, b in to_ranges(days)],
            "restated": [{"table": t, "first": a, "last": b} for t, d in (restated or {}).items() for a, b in to_ranges(d)],
            "meaning": list(meaning.items()) if meaning else None,
            **self._hashes,
            "inputs": [{"table": t, "version": v, "first": a, "last": b} for t, v, a, b in inputs],
            "outputs": [{"table": w.table, "version": w.version, "rows": w.rows} for w in outputs],
            "seconds": seconds,
            "message": message if status != RUNNING else str(self._owner),
        }
        self._apply_row(row)
        self._waiting.append(row)

    def flush(self, after_seconds: float = 0.0, compact: bool = True) -> None:
        """Commit the rows that wait, if the work that they describe began ``after_seconds`` ago or earlier.

        Join the table's small files now and then, if ``compact``.
        """
        if not self._waiting:
            return
        began = min(row["at"] - timedelta(seconds=row["seconds"] or 0.0) for row in self._waiting)
        if (datetime.now(UTC) - began).total_seconds() < after_seconds:
            return
        rows = self._waiting
        stamp = {"rows": [{name: row[name] for name in ("run_id", "job", "status")} for row in rows]}
        with few_rows_settings(self._store.spark, enabled=True):
            version = self._store.append_rows(self._table, rows, stamp)
        self._waiting = []  # not earlier: rows of a commit that failed wait for the next one
        # a commit of another writer in between is read by the next refresh
        follows = self._read_version is not None and version == self._read_version + 1
        self._read_version = version if follows else -1
        if compact and version // COMPACT_EVERY > (version - 1) // COMPACT_EVERY:
            self._store.compact(self._table)  # other writers may have committed before it: the next refresh reads again

    def done_days(self, full_name: str, statuses: Sequence[str] = (DONE,)) -> frozenset[date]:
        """Output days that runs of the job have finished with one of ``statuses``."""
        return frozenset().union(*(r.days for r in self._runs.values() if r.full_name == full_name and r.status in statuses))

    def rows_between(self, table: str, first: date | None, last: date) -> float:
        """Rows of ``table`` on the days ``first`` (None: the beginning) .. ``last``, as the newest runs have recorded them.

        A run of several days counts as if each day had an equal share of its rows.
        """
        return sum(rows for day, rows in self._rows.get(table, {}).items() if (first is None or first <= day) and day <= last)

    def runs(self) -> list[Run]:
        """Every run by its newest row, in the order of their first rows."""
        return list(self._runs.values())

    def recorded(self, table: str) -> int | None:
        """Newest version of ``table`` that a step which ended as done has recorded; None when there is none."""
        found = (run.wrote.get(table) for run in self._runs.values() if run.status == DONE and run.job != ALL)
        return max((version for version in found if version is not None), default=None)

    def messages(self, full_name: str) -> list[str]:
        """Messages of the done runs of the job, oldest first."""
        done = [run for run in self._runs.values() if run.full_name == full_name and run.status == DONE]
        return [run.message for run in sorted(done, key=lambda run: run.at)]

    def is_done(self, run_id: str) -> bool:
        """Whether the step of that id has ended as done."""
        return any(run.run_id == run_id and run.status == DONE for run in self._runs.values())

    def good_days(self, full_name: str) -> frozenset[date]:
        """Output days whose newest run of the job was done: a day that was done, and then failed, is not among them."""
        newest: dict[date, str] = {}
        for run in sorted((r for r in self._runs.values() if r.full_name == full_name), key=lambda r: r.started_at):
            newest |= dict.fromkeys(run.days, run.status)
        return frozenset(day for day, status in newest.items() if status == DONE)

    def last_attempt(self, full_name: str, until: date) -> date | None:
        """Newest D up to ``until`` on which the job was done; one refused for too little history is tried again."""
        days = [r.day for r in self._runs.values() if r.full_name == full_name and r.day <= until and r.status == DONE]
        return max(days, default=None)

    def written_at(self, full_name: str) -> dict[date, tuple[datetime, datetime]]:
        """Per output day: when the newest done run of it started and ended."""
        newest: dict[date, tuple[datetime, datetime]] = {}
        for run in sorted(
            (r for r in self._runs.values() if r.full_name == full_name and r.status == DONE),
            key=lambda r: r.at,
        ):
            newest |= {day: (run.started_at, run.at) for day in run.days}
        return newest

    def check_protocol(self) -> None:
        """Raise ConfigError when another version of this package writes the warehouse in a way that this one does not."""
        check_protocol(self._store.properties(self._table))

    def running(self) -> list[Run]:
        """Runs without an end, earliest first: they are under way, or their process has died."""
        return sorted((r for r in self._runs.values() if r.status == RUNNING), key=lambda r: (r.started_at, r.run_id))

    def restated_at(self, table: str) -> dict[date, tuple[datetime, datetime]]:
        """Per day of ``table`` that a done run of other days has written again: when the newest such run started and ended."""
        newest: dict[date, tuple[datetime, datetime]] = {}
        for run in sorted((r for r in self._runs.values() if r.status == DONE and table in r.restated), key=lambda r: r.at):
            newest |= {day: (run.started_at, run.at) for day in run.restated[table]}
        return newest

    def meanings(self, full_name: str) -> dict[date, Mapping[str, str]]:
        """Per output day: the hashes of what its columns meant at the newest done run of it, by column."""
        newest: dict[date, Mapping[str, str]] = {}
        for run in sorted((r for r in self._runs.values() if r.full_name == full_name and r.status == DONE), key=lambda r: r.at):
            newest |= dict.fromkeys(run.days, run.meaning)
        return newest


def _versions(tables: Sequence[Mapping[str, Any]] | None) -> dict[str, int]:
    """Table -> version of a row's inputs or outputs; tables that were not stored are left out."""
    return {one["table"]: one["version"] for one in tables or () if one["version"] is not None}


def _days_of(ranges: Sequence[Mapping[str, date]] | None) -> frozenset[date]:
    return frozenset(d for r in ranges or () for d in day_range(r["first"], r["last"]))
