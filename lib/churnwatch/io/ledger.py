"""``job_runs`` as the runner uses it: what ran, for which days, how it ended, and what runs now."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
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
KNOWN_DAYS = 62  # before today: runs since then are known without a question about them
MORE_DAYS = 31  # are read in addition when a question reaches further back, because the next one may too


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

    Only the rows are read that are about the days of the questions, or were written since: ``first`` of a question is the first
    of these days, None: all. So what is read does not grow with the length of history. Runs under way are always among them.
    Rows that ``write`` adds wait in memory, and count as stored, until ``flush`` commits them together.
    """

    def __init__(self, store: Store, table: Table, config_hash: str, code_hash: str, owner: Owner) -> None:
        self._store, self._table, self._owner = store, table, owner
        self._hashes = {"config_hash": config_hash, "code_hash": code_hash}
        self._read_version: int | None = -1
        self._is_read = self._whole = False  # whole: every row is known
        self._since: date | None = datetime.now(UTC).date() - timedelta(days=KNOWN_DAYS)
        self._runs: dict[tuple[str, str, str, date], Run] = {}
        self._by_job: dict[str, dict[tuple[str, date], Run]] = {}
        self._waiting: list[Mapping[str, Any]] = []
        self._rows: dict[str, dict[date, float]] = {}
        self._recorded: dict[str, int] = {}

    def refresh(self, newest: bool = True) -> None:
        """Read the table again when it has a new version; not ``newest``: only up to the commit of the last ``flush``."""
        version = self._store.newest(self._table) if newest else self._store.version(self._table)
        if version != self._read_version:
            self._load(version)

    def reach(self, first: date | None) -> None:
        """Know the runs of days from ``first`` on (None: all runs), and all that were recorded after them."""
        if self._whole or self._since is None or (first is not None and first >= self._since):
            return
        self._since = None if first is None else first - timedelta(days=MORE_DAYS)
        if self._is_read:
            self._load(self._store.version(self._table) if self._read_version == -1 else self._read_version)

    def _load(self, version: int | None) -> None:
        with few_rows_settings(self._store.spark, enabled=True):
            rows, self._whole = self._store.rows_since(self._table, self._since, version)
        self._runs, self._by_job, self._rows, self._recorded = {}, {}, {}, {}
        for row in sorted(rows, key=lambda r: (r["at"], r["status"] != RUNNING)):
            self._apply_row(row)
        for waiting in self._waiting:
            self._apply_row(waiting)
        self._read_version, self._is_read = version, True

    def _apply_row(self, row: Mapping[str, Any]) -> None:
        key = (row["run_id"], row["job"], row["instance"], row["day"])
        before = self._runs.get(key)
        days, meaning, again = _days_of(row["days"]), dict(row.get("meaning") or ()), row.get("restated") or ()
        restated = {r["table"]: _days_of([s for s in again if s["table"] == r["table"]]) for r in again}
        started = before.started_at if before else row["at"]
        read, wrote = (_versions(row[name]) for name in ("inputs", "outputs"))
        rows = {output["table"]: output["rows"] for output in row["outputs"] or ()}
        run = Run(*key, row["status"], started, row["at"], days, row["message"] or "", row["seconds"], read, wrote, rows)
        self._runs[key] = run = replace(run, restated=restated, meaning=meaning)
        self._by_job.setdefault(run.full_name, {})[run.run_id, run.day] = run
        # what a done step has read was whole when it read it, and so is what a run of the whole flow has left to readers
        for versions in (wrote,) if run.job == ALL else (wrote, read) if run.status == DONE else ():
            self._recorded |= {table: max(version, self._recorded.get(table, version)) for table, version in versions.items()}
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

    def done_days(self, full_name: str, first: date | None) -> frozenset[date]:
        """Output days from ``first`` on that runs of the job have finished."""
        self.reach(first)
        return frozenset(day for day in self._done(full_name) if first is None or day >= first)

    def first_day(self, full_name: str, enough: date | None = None) -> date | None:
        """The first output day that the job has finished; with ``enough`` perhaps a later one, up to that day."""
        self.reach(enough)
        first = min(self._done(full_name), default=None)
        if enough is None or first is None or first > enough:
            self.reach(None)
            first = min(self._done(full_name), default=None)
        return first

    def last_day(self, full_name: str) -> date | None:
        """The last output day that the job has finished."""
        if not self._done(full_name):
            self.reach(None)
        return max(self._done(full_name), default=None)

    def _done(self, full_name: str) -> frozenset[date]:
        return frozenset().union(*(r.days for r in self._runs_of(full_name) if r.status == DONE))

    def _runs_of(self, full_name: str) -> Iterable[Run]:
        return self._by_job.get(full_name, {}).values()

    def rows_between(self, table: str, first: date | None, last: date) -> float:
        """Rows of ``table`` on the days ``first`` (None: the beginning) .. ``last``, as the newest runs have recorded them.

        A run of several days counts as if each day had an equal share of its rows. Days before those that are known count as
        these do on average, and not at all without ``first``; infinity where days are not known and nothing is of the others.
        """
        by_day, since = self._rows.get(table, {}), None if self._whole else self._since

        def known(begin: date | None) -> float:
            return sum(rows for day, rows in by_day.items() if (begin is None or begin <= day) and day <= last)

        if since is None or (first is not None and first >= since):
            return known(first)
        if not by_day:
            return math.inf
        if first is None:
            return known(None)
        usual = sum(by_day.values()) / ((max(by_day) - min(by_day)).days + 1)
        return known(since) + usual * (min(since, last + timedelta(days=1)) - first).days

    def runs(self, first: date | None) -> list[Run]:
        """Every run of days from ``first`` on by its newest row, in the order of their first rows; others may be among them."""
        self.reach(first)
        return list(self._runs.values())

    def recorded(self, table: str) -> int | None:
        """Newest version of ``table`` that a step which ended as done has written or read, or that a run of the whole flow has
        left to readers; None when no known run has."""
        return self._recorded.get(table)

    def messages(self, full_name: str, first: date) -> list[str]:
        """Messages of the done runs of the job about days from ``first`` on, oldest first; earlier ones may be there too."""
        return [run.message for run in self._in_order(full_name, first, lambda r: r.at) if run.status == DONE]

    def is_done(self, run_id: str, day: date | None) -> bool:
        """Whether the step of that id, of the run day ``day`` (None: unknown), has ended as done."""
        self.reach(day)
        return any(run.run_id == run_id and run.status == DONE for run in self._runs.values())

    def good_days(self, full_name: str, first: date | None) -> frozenset[date]:
        """Output days from ``first`` on whose newest run of the job was done: a day that was done, and then failed, is not
        among them."""
        newest: dict[date, str] = {}
        for run in self._in_order(full_name, first, lambda r: r.started_at):
            newest |= dict.fromkeys(run.days, run.status)
        return frozenset(day for day, status in newest.items() if status == DONE and (first is None or day >= first))

    def last_attempt(self, full_name: str, first: date, until: date) -> date | None:
        """Newest D of ``first`` .. ``until`` on which the job was done; one refused for too little history is tried again."""
        self.reach(first)
        days = [r.day for r in self._runs_of(full_name) if r.day >= first and r.day <= until and r.status == DONE]
        return max(days, default=None)

    def written_at(self, full_name: str, first: date | None) -> dict[date, tuple[datetime, datetime]]:
        """Per output day from ``first`` on: when the newest done run of it started and ended. Earlier days that were written
        after these may be there too."""
        newest: dict[date, tuple[datetime, datetime]] = {}
        for run in self._in_order(full_name, first, lambda r: r.at):
            if run.status == DONE:
                newest |= {day: (run.started_at, run.at) for day in run.days}
        return newest

    def _in_order(self, full_name: str, first: date | None, key: Callable[[Run], datetime]) -> list[Run]:
        self.reach(first)
        return sorted(self._runs_of(full_name), key=key)

    def check_protocol(self) -> None:
        """Raise ConfigError when another version of this package writes the warehouse in a way that this one does not."""
        check_protocol(self._store.properties(self._table))

    def running(self) -> list[Run]:
        """Runs without an end, earliest first: they are under way, or their process has died."""
        return sorted((r for r in self._runs.values() if r.status == RUNNING), key=lambda r: (r.started_at, r.run_id))

    def restated_at(self, table: str, first: date | None) -> dict[date, tuple[datetime, datetime]]:
        """Per day of ``table`` that a done run of other days has written again: when the newest such run started and ended.

        Of the runs of days from ``first`` on, and of those that were recorded after them.
        """
        self.reach(first)
        newest: dict[date, tuple[datetime, datetime]] = {}
        for run in sorted((r for r in self._runs.values() if r.status == DONE and table in r.restated), key=lambda r: r.at):
            newest |= {day: (run.started_at, run.at) for day in run.restated[table]}
        return newest

    def meanings(self, full_name: str, first: date | None) -> dict[date, Mapping[str, str]]:
        """Per output day from ``first`` on: the hashes of what its columns meant at the newest done run of it, by column."""
        newest: dict[date, Mapping[str, str]] = {}
        for run in self._in_order(full_name, first, lambda r: r.at):
            if run.status == DONE:
                newest |= {day: run.meaning for day in run.days if first is None or day >= first}
        return newest


def _versions(tables: Sequence[Mapping[str, Any]] | None) -> dict[str, int]:
    """Table -> version of a row's inputs or outputs; tables that were not stored are left out."""
    return {one["table"]: one["version"] for one in tables or () if one["version"] is not None}


def _days_of(ranges: Sequence[Mapping[str, date]] | None) -> frozenset[date]:
    return frozenset(d for r in ranges or () for d in day_range(r["first"], r["last"]))
