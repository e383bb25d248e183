"""``job_runs`` as the runner uses it: what ran, for which days, how it ended, and who is running now."""

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from churnwatch.core import Table, day_range, to_ranges
from churnwatch.io.store import Store, Written
from churnwatch.settings.terms import DONE, REFUSED, RUNNING, SKIPPED

FINISHED = (DONE, SKIPPED, REFUSED)


@dataclass(frozen=True)
class Run:
    """One attempt of a job, as its newest row tells."""

    run_id: str
    job: str
    instance: str
    day: date
    status: str
    started_at: datetime
    at: datetime
    days: frozenset[date]
    message: str

    @property
    def full_name(self) -> str:
        """``job`` or ``job:instance``."""
        return f"{self.job}:{self.instance}" if self.instance else self.job


class Ledger:
    """Runs by their newest rows; bounded by jobs and days, never by users."""

    def __init__(self, store: Store, table: Table, config_hash: str, code_hash: str) -> None:
        self._store, self._table = store, table
        self._hashes = {"config_hash": config_hash, "code_hash": code_hash}
        self._seen: int | None = -1
        self._runs: dict[tuple[str, str, str, date], Run] = {}
        self._ended: list[Mapping[str, Any]] = []  # rows of steps that ended well, not yet stored

    def refresh(self) -> None:
        """Reads the table again where it has a new version; rows that wait count as if they were stored."""
        version = self._store.newest(self._table)
        if version == self._seen:
            return
        rows = self._store.read(self._table).drop("inputs", "outputs").collect()
        self._runs.clear()
        for row in sorted(rows, key=lambda r: (r["at"], r["status"] != RUNNING)):
            self._take(row.asDict())
        for waiting in self._ended:
            self._take(waiting)
        self._seen = version

    def _take(self, row: Mapping[str, Any]) -> None:
        key = (row["run_id"], row["job"], row["instance"], row["day"])
        before = self._runs.get(key)
        days = frozenset(d for r in row["days"] for d in day_range(r["first"], r["last"]))
        started = before.started_at if before else row["at"]
        self._runs[key] = Run(*key, row["status"], started, row["at"], days, row["message"] or "")

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
    ) -> None:
        """Adds a row: ``running`` when a job starts, one of the others when it ends.

        What ended well waits for the next row or ``flush``, so that a step costs one commit and not two (0.5 s each).
        A process that dies in between leaves a running row, as if it had died right after its last table.
        """
        row = {
            "day": day,
            "run_id": run_id,
            "job": job,
            "instance": instance,
            "at": datetime.now(UTC).replace(tzinfo=None),
            "status": status,
            "days": [{"first": a, "last": b} for a, b in to_ranges(days)],
            **self._hashes,
            "inputs": [{"table": t, "version": v, "first": a, "last": b} for t, v, a, b in inputs],
            "outputs": [{"table": w.table, "version": w.version, "rows": w.rows} for w in outputs],
            "seconds": seconds,
            "message": message if status != RUNNING else here(),
        }
        self._take(row)
        self._ended.append(row)
        if status not in FINISHED:
            self.flush()

    def flush(self) -> None:
        """Stores the rows that wait."""
        if not self._ended:
            return
        known, rows = self._seen, self._ended
        self._ended = []
        stamp = {"rows": [{name: row[name] for name in ("run_id", "job", "status")} for row in rows]}
        self._store.log(self._table, rows, stamp)
        newest = self._store.newest(self._table)
        # another writer came between: its rows are read at the next refresh
        self._seen = newest if known is not None and newest == known + 1 else -1

    def done_days(self, full_name: str, statuses: Sequence[str] = (DONE,)) -> frozenset[date]:
        """Output days that runs of the job have finished with one of ``statuses``."""
        return frozenset().union(*(r.days for r in self._runs.values() if r.full_name == full_name and r.status in statuses))

    def good_days(self, full_name: str) -> frozenset[date]:
        """Output days whose newest run of the job was done: a day that was done, and then failed, is not among them."""
        newest: dict[date, str] = {}
        for run in sorted((r for r in self._runs.values() if r.full_name == full_name), key=lambda r: r.started_at):
            newest |= dict.fromkeys(run.days, run.status)
        return frozenset(day for day, status in newest.items() if status == DONE)

    def finished(self, full_name: str, day: date) -> bool:
        """Whether the job's newest run of ``day`` (D) ended well."""
        runs = [r for r in self._runs.values() if r.full_name == full_name and r.day == day]
        return bool(runs) and max(runs, key=lambda r: r.at).status in FINISHED

    def last_attempt(self, full_name: str, before: date) -> date | None:
        """Newest D before ``before`` on which the job was done; one refused for too little history is tried again."""
        days = [r.day for r in self._runs.values() if r.full_name == full_name and r.day < before and r.status == DONE]
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

    def others(self, run_id: str, full_name: str, days: Iterable[date], stale_minutes: int) -> list[Run]:
        """Other live runs of the job whose days overlap, earliest first; a run of a dead process here is not live."""
        wanted = set(days)
        return [r for r in self.live(stale_minutes) if r.run_id != run_id and r.full_name == full_name and r.days & wanted]

    def live(self, stale_minutes: int) -> list[Run]:
        """Runs that are under way, earliest first."""
        young = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=stale_minutes)
        running = [r for r in self._runs.values() if r.status == RUNNING and r.at > young and not _dead(r.message)]
        return sorted(running, key=lambda r: (r.started_at, r.run_id))

    def started_at(self, run_id: str, full_name: str) -> datetime:
        """When the run started."""
        return next(r.started_at for r in self._runs.values() if r.run_id == run_id and r.full_name == full_name)


def here() -> str:
    """This process, as a running row names it."""
    return f"pid {os.getpid()} on {socket.gethostname()}"


def _dead(place: str) -> bool:
    words = place.split()
    if len(words) != 4 or words[3] != socket.gethostname() or int(words[1]) == os.getpid():
        return False
    try:
        os.kill(int(words[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
