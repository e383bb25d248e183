"""Find and delete old files under ``storage.files``: scratch of dead processes, pages, messages, trials, drills."""

import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlparse

from churnwatch.io.leases import lease_of
from churnwatch.settings import Settings


@dataclass(frozen=True)
class OldFiles:
    """Entries of one kind that may be deleted: a file or a folder each."""

    kind: str
    entries: tuple[Path, ...]

    @property
    def megabytes(self) -> float:
        """Their size on disk, MB."""
        return sum(file.stat().st_size for entry in self.entries for file in _files(entry)) / 1e6

    def delete(self) -> None:
        """Delete them; one that another process deletes meanwhile is no fault."""
        for entry in self.entries:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def files_folder(settings: Settings) -> Path | None:
    """``storage.files`` as a folder of this machine; None where it is another file system."""
    place = urlparse(settings.storage.files)
    return Path(place.path) if place.scheme in ("", "file") else None


def find_old_files(settings: Settings, newest: date | None, live_runs: Iterable[str]) -> Iterator[OldFiles]:
    """Yield the old entries of each kind that has some. Ages of pages and of the inbox are counted by the day in their names,
    back from ``newest``, the newest ingested day; others from now, by the youngest file in them.

    ``live_runs``: ids of runs that are under way; their scratch stays, however old it is.
    """
    root, keep, live = files_folder(settings), settings.maintenance, set(live_runs)
    if root is None:
        return
    scratch = [entry for name in ("staging", "tmp") for entry in _entries(root / name) if lease_of(entry.name) not in live]
    found = [
        ("scratch", _untouched(scratch, keep.keep_scratch_days)),
        # marks of runs that were taken over: a run of that age has ended, see ``table_upkeep.check_hours``
        ("leases", _untouched((root / "leases").glob("*.taken"), keep.keep_versions_days)),
        ("drills", _untouched(_entries(root / "drill"), keep.keep_scratch_days)),
        ("trials", _untouched(_entries(root / "trials"), keep.keep_trials_days)),
        ("inbox", _days_before(_entries(root / "inbox" / "alert_events"), newest, keep.keep_inbox_days)),
        ("pages", _days_before(_entries(root / "pages"), newest, keep.keep_pages_days)),
    ]
    if keep.keep_outbox_days is not None and "://" not in settings.outbox_folder:
        found.append(("outbox", _untouched(_entries(Path(settings.outbox_folder)), keep.keep_outbox_days)))
    for kind, entries in found:
        if entries:
            yield OldFiles(kind, tuple(sorted(entries)))


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _untouched(entries: Iterable[Path], days: int) -> list[Path]:
    """Entries in which nothing was written for ``days``."""
    oldest = time.time() - days * 86400
    return [entry for entry in entries if max(file.lstat().st_mtime for file in (entry, *_files(entry))) < oldest]


def _days_before(entries: Iterable[Path], newest: date | None, days: int) -> list[Path]:
    """Folders named by a day that is more than ``days`` before ``newest``."""
    if newest is None:
        return []
    first_kept = str(newest - timedelta(days=days - 1))
    return [entry for entry in entries if entry.is_dir() and _is_day(entry.name) and entry.name < first_kept]


def _is_day(name: str) -> bool:
    try:
        date.fromisoformat(name)
    except ValueError:
        return False
    return True


def _files(entry: Path) -> Iterator[Path]:
    if entry.is_dir() and not entry.is_symlink():
        yield from (file for file in entry.rglob("*") if file.is_file())
    elif entry.exists():
        yield entry
