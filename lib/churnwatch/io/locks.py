"""Locks beside a local warehouse: one process writes a table at a time.

Delta commits to a local folder by looking whether the file of the commit exists and then renaming: two processes may both
find none, and the second overwrites the first's commit. Object stores and catalogs need no lock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

from filelock import FileLock, Timeout

from churnwatch.core import WriteConflict
from churnwatch.io.commits import is_local
from churnwatch.settings import Settings

FOLDER = "_locks"  # in the folder of the tables


class Locks:
    """The locks of a warehouse, a file a table. A process that dies gives its locks back."""

    def __init__(self, settings: Settings) -> None:
        root = settings.storage.root
        self._folder = Path(urlparse(root).path).resolve() / FOLDER if root and is_local(root) else None
        self._minutes = settings.runs.conflict_minutes

    @contextmanager
    def of(self, table: str) -> Iterator[None]:
        """Hold the lock of a table. Raises WriteConflict when another process holds it for ``runs.conflict_minutes``."""
        if self._folder is None:
            yield
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / f"{table}.lock", timeout=self._minutes * 60.0)
        try:
            lock.acquire()
        except Timeout as error:
            raise WriteConflict(
                f"{table}: another process has written it for {self._minutes:g} minutes, nothing was written. "
                "Hint: run again; runs.conflict_minutes sets how long a run waits"
            ) from error
        try:
            yield
        finally:
            lock.release()
