"""Leases: a run shows by a heartbeat that it lives, and learns when another run has taken over its work.

A lease is a file ``<storage.files>/leases/<id>.json`` with its owner and a counter, which the owner raises every BEAT_SECONDS.
A lease is dead when its process is gone, or when its counter has not moved for ``runs.lease_minutes`` on the observer's own
clock: clocks of different machines are never compared. Who takes over a lease puts the file ``<id>.taken`` beside it. The
owner looks for this file before every commit and every send.
"""

import getpass
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import urlparse

from churnwatch.core import ConfigError, LeaseLost
from churnwatch.io.commits import is_local
from churnwatch.settings import Settings

BEAT_SECONDS = 60.0
BEATS = 5  # in the time after which a lease is dead, at least
LOOK_SECONDS = 1.0  # between two looks at the counter of another run
NO_PROCESS = ""  # process start where the machine does not tell it
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owner:
    """The process that holds a lease.

    ``boot`` and ``namespace`` (of process ids) name the machine more sharply than ``host``, which containers share.
    ``attempt`` is the orchestrator's name of the attempt: ``<task run>/<number>``, or null.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str
    person: str
    attempt: str | None = None

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}" + (f", attempt {self.attempt}" if self.attempt else "")

    def lives(self, observer: "Owner") -> bool | None:
        """Whether the process lives, as far as ``observer`` can tell at once; null: only its heartbeat can show it.

        An earlier attempt of the observer's own task run is over: an orchestrator starts the next one after its end.
        """
        (task, number), (own_task, own_number) = _parts(self.attempt), _parts(observer.attempt)
        if task and task == own_task and number != own_number:
            return number > own_number
        here = (self.host, self.boot, self.namespace) == (observer.host, observer.boot, observer.namespace)
        if not here or NO_PROCESS in (self.boot, self.started):
            return None
        return process_start(self.pid) == self.started


def this_owner(attempt: str | None = None) -> Owner:
    """This process as the owner of a lease."""
    boot, namespace = _text("/proc/sys/kernel/random/boot_id"), _link("/proc/self/ns/pid")
    try:
        person = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        person = f"uid {os.getuid()}"
    return Owner(socket.gethostname(), boot, namespace, os.getpid(), process_start(os.getpid()), person, attempt)


def process_start(pid: int) -> str:
    """Start of a process in clock ticks since the boot; NO_PROCESS when it has ended, or outside of Linux."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return NO_PROCESS if len(fields) < 20 or fields[0] in ("Z", "X") else fields[19]


def lease_of(run_id: str) -> str:
    """The lease under which a run works: the runs of a run of the whole flow have its id before a hyphen."""
    return run_id.partition("-")[0]


class Lease:
    """A lease that this process holds. Ends with ``release``, which removes its files."""

    def __init__(self, folder: Path, lease_id: str, owner: Owner, seconds: float) -> None:
        self.id, self._owner, self._seconds = lease_id, owner, seconds
        self._file, self._taken = _files(folder, lease_id)
        self._counter, self._beaten, self._ended = 0, 0.0, Event()
        folder.mkdir(parents=True, exist_ok=True)
        self.beat()
        Thread(target=self._beat_on, name=f"lease {lease_id}", daemon=True).start()

    def beat(self) -> None:
        """Raise the counter. Raises OSError when the file cannot be written."""
        self._counter += 1
        content = {"owner": asdict(self._owner), "counter": self._counter, "at": datetime.now(UTC).isoformat()}
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(content))
        os.replace(beside, self._file)
        self._beaten = time.monotonic()

    def check(self) -> None:
        """Raise LeaseLost when another run has taken over, or when no heartbeat could be written for as long as that takes."""
        if self._taken.exists():
            by = self._taken.read_text() or "another run"
            raise LeaseLost(f"this run was taken over by {by}; it writes nothing more")
        if time.monotonic() - self._beaten > self._seconds:
            try:
                self.beat()
            except OSError as error:
                raise LeaseLost(
                    f"the heartbeat of this run cannot be written, so that others count it as dead: {error}\n"
                    f"Hint: check storage.files; then run again"
                ) from error

    def release(self) -> None:
        """Stop the heartbeat and remove the files of the lease."""
        self._ended.set()
        for file in (self._file, self._taken):
            file.unlink(missing_ok=True)

    def _beat_on(self) -> None:
        while not self._ended.wait(min(BEAT_SECONDS, self._seconds / BEATS)):
            try:
                self.beat()
            except OSError as error:
                log.warning("no heartbeat for run %s: %s", self.id, error)
        self._file.unlink(missing_ok=True)  # a last beat may have come after the release


class Leases:
    """The leases of a warehouse: those that this process holds, and the state of those of others."""

    def __init__(self, settings: Settings, pause: Callable[[float], Any] = time.sleep) -> None:
        self._place = settings.storage.files
        self._seconds, self.owner = settings.runs.lease_minutes * 60.0, this_owner(settings.runs.attempt)
        self._pause = pause
        self._held: dict[str, Lease] = {}
        self._seen: dict[str, tuple[int | None, float]] = {}  # counter, and since when it has not moved
        self._guard = Lock()

    @property
    def folder(self) -> Path:
        """Folder of the leases. Raises ConfigError when ``storage.files`` is no folder of this machine."""
        if not is_local(self._place):
            raise ConfigError(f"storage.files: {self._place} is no folder of this machine. Hint: give the folder of a mount")
        return Path(urlparse(self._place).path).resolve() / "leases"

    def hold(self, lease_id: str) -> Lease:
        """Begin a lease of this process."""
        lease = Lease(self.folder, lease_id, self.owner, self._seconds)
        with self._guard:
            self._held[lease_id] = lease
        return lease

    def release(self, lease_id: str) -> None:
        """End a lease of this process."""
        with self._guard:
            lease = self._held.pop(lease_id, None)
        if lease:
            lease.release()

    def release_all(self) -> None:
        """End the leases of this process."""
        for lease_id in list(self._held):
            self.release(lease_id)

    def check(self) -> None:
        """Raise LeaseLost when another run has taken over a lease of this process."""
        for lease in list(self._held.values()):
            lease.check()

    def lives(self, lease_id: str) -> bool | None:
        """Whether a lease lives, as far as it is known by now; null: its counter must be watched for longer."""
        if lease_id in self._held:
            return True
        content = self._content(lease_id)
        if content and (known := Owner(**content["owner"]).lives(self.owner)) is not None:
            return known
        counter, now = int(content["counter"]) if content else None, time.monotonic()
        before, since = self._seen.setdefault(lease_id, (counter, now))
        if counter != before:
            self._seen[lease_id] = (counter, now)
            return counter is not None  # a file that is removed: the run has ended
        return False if now - since >= self._seconds else None

    def first_living(self, lease_ids: Iterable[str]) -> str | None:
        """Watch leases until one shows that it lives, and return its id; null when all are dead."""
        left = list(dict.fromkeys(lease_ids))
        while left:
            known = {lease_id: self.lives(lease_id) for lease_id in left}
            if living := [lease_id for lease_id in left if known[lease_id]]:
                return living[0]
            if left := [lease_id for lease_id in left if known[lease_id] is None]:
                log.info("watching the heartbeat of run %s", ", ".join(left))
                self._pause(LOOK_SECONDS)
        return None

    def take_over(self, lease_id: str, by: str) -> None:
        """Tell the owner of a lease, if it should still live, that run ``by`` does its work now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _files(self.folder, lease_id)[1].write_text(f"run {by} ({self.owner.person}, {self.owner})")

    def dead(self) -> list[str]:
        """Leases with a file that are known to be dead by now."""
        found = sorted({file.stem for file in self.folder.glob("*.json")}) if self.folder.is_dir() else []
        return [lease_id for lease_id in found if self.lives(lease_id) is False]

    def has_file(self, lease_id: str) -> bool:
        """Whether the lease has a file: its run has not ended, or died."""
        return _files(self.folder, lease_id)[0].exists()

    def forget(self, lease_id: str) -> None:
        """Remove the heartbeat of a dead lease. The mark of a take-over stays, in case the owner wakes up."""
        _files(self.folder, lease_id)[0].unlink(missing_ok=True)

    def _content(self, lease_id: str) -> dict[str, Any] | None:
        try:
            return dict(json.loads(_files(self.folder, lease_id)[0].read_text()))
        except (FileNotFoundError, ValueError):
            return None


def _files(folder: Path, lease_id: str) -> tuple[Path, Path]:
    """The heartbeat of a lease, and the mark that it was taken over."""
    return folder / f"{lease_id}.json", folder / f"{lease_id}.taken"


def _parts(attempt: str | None) -> tuple[str, int]:
    """The task run and the number of an attempt."""
    task, _, number = (attempt or "").rpartition("/")
    return (task, int(number)) if number.isdigit() else (attempt or "", 0)


def _text(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except OSError:
        return ""


def _link(file: str) -> str:
    try:
        return os.readlink(file)
    except OSError:
        return ""
