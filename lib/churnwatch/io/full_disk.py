"""Say which disk was full when a write failed, because Spark's own error names neither the place nor the bytes."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlparse

from churnwatch.io.commits import is_local

FULL = ("No space left on device", "Disk quota exceeded", "not enough space", "DISK_FULL")


def full_disk(error: BaseException, places: Iterable[str | None]) -> str | None:
    """A hint where ``error``, or what it was raised from, says that a disk is full: the fullest disk that holds one of
    ``places``, with its free and total bytes. None for other errors."""
    if not any(mark in text for text in _texts(error) for mark in FULL):
        return None
    disks = [(shutil.disk_usage(folder), place) for place in places if place and (folder := _existing(place))]
    if not disks:
        return "a disk is full, nothing of this step can be read. Hint: churnwatch maintain --dry-run"
    usage, place = min(disks, key=lambda disk: disk[0].free)
    what = (
        f"the disk of {place} was full, nothing of this table was written; now {usage.free:,} of {usage.total:,} bytes are free"
    )
    return f"{what}. Hint: churnwatch maintain --dry-run says what can go; then run again"


def _texts(error: BaseException | None) -> Iterable[str]:
    while error is not None:
        yield str(error)
        error = error.__cause__ or error.__context__


def _existing(place: str) -> Path | None:
    if not is_local(place):
        return None
    path = Path(urlparse(place).path).resolve()
    return next((one for one in (path, *path.parents) if one.exists()), None)
