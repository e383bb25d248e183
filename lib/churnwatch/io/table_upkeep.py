"""Keep stored tables small: join small files, delete old rows, and remove files that no kept version refers to."""

import os
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import unquote, urlparse

from churnwatch.core import ConfigError, Table, days_predicate
from churnwatch.io.commits import is_local
from churnwatch.io.local_tables import table_files
from churnwatch.io.store import Store

SHORTEST_HOURS = 168  # Delta's own limit: younger files may belong to a writer or to a reader of an older version
BUCKETS = "churnwatch.buckets"  # property of tables whose files hold whole buckets, in order


@dataclass(frozen=True)
class SmallFiles:
    """Files of a table that can be joined: how many, and the days that hold them; no days: the table has no partitions."""

    files: int
    days: tuple[date, ...] = ()


class TableUpkeep:
    """Upkeep of the tables of one store. Everything works by the table's name, so also with a catalog."""

    def __init__(self, store: Store) -> None:
        self._store, self._spark = store, store.spark

    def small_files(self, table: Table, at_least: int) -> SmallFiles:
        """Find partitions (or the whole table, where it has none) of ``at_least`` files that are small on average.

        Tables laid out by bucket have none: each of their files holds whole buckets on purpose.
        """
        if BUCKETS in table.properties or "bucket" in table.schema.names or (table.partitions and "day" not in table.partitions):
            return SmallFiles(0)
        detail = self._spark.sql(f"DESCRIBE DETAIL {self._store.sql_name(table)}").collect()[0]
        if detail["numFiles"] < at_least or detail["sizeInBytes"] / detail["numFiles"] > table.file_bytes:
            return SmallFiles(0)
        if not table.partitions:
            return SmallFiles(detail["numFiles"])
        files = self._store.read(table).inputFiles()  # as many as the table has
        per_day = Counter(unquote(file).rsplit("/day=", 1)[-1].split("/")[0] for file in files)  # over further partitions too
        many = {date.fromisoformat(day): n for day, n in per_day.items() if n >= at_least and day[:1].isdigit()}
        return SmallFiles(sum(many.values()), tuple(sorted(many)))

    def join(self, table: Table, days: tuple[date, ...] = ()) -> None:
        """Join small files, of ``days`` or of the whole table, without changing a row: readers and appends are not disturbed."""
        self._store.compact(table, days_predicate(days) if days else None)

    def rows_before(self, table: Table, first_kept: date) -> int:
        """Count the rows of days before ``first_kept``."""
        return self._store.read(table, f"day < DATE'{first_kept}'").count()

    def delete_before(self, table: Table, first_kept: date) -> None:
        """Delete the rows of days before ``first_kept``. Their files stay until ``remove_old_files``."""
        self._store.alter(table, f"DELETE FROM {self._store.sql_name(table)} WHERE day < DATE'{first_kept}'")

    def old_files(self, table: Table, hours: float) -> int | None:
        """Count the data files of a local table that its newest version does not name and that are older than ``hours``: at
        most these would be removed. None: the table is not local, or only Delta knows its files."""
        path, version = self._store.path(table), self._store.version(table)
        if not path or version is None or not is_local(path) or (found := table_files(path, version)) is None:
            return None
        folder, oldest = Path(urlparse(path).path), time.time() - hours * 3600
        data = (file for file in folder.rglob("*.parquet") if "_delta_log" not in file.parts)
        return sum(str(file.relative_to(folder)) not in found.files and _modified(file) < oldest for file in data)

    def remove_old_files(self, table: Table, hours: int, longest_run_hours: float) -> int:
        """Remove files that no version of the last ``hours`` names; returns the number of files before that were not needed.

        Raises ConfigError for fewer than 168 hours, and for fewer than the longest run took.
        """
        check_hours(hours, longest_run_hours)
        found = self.old_files(table, hours)
        if found != 0:  # looking costs a few seconds a table
            self._store.alter(table, f"VACUUM {self._store.sql_name(table)} RETAIN {hours} HOURS")
        return found or 0


def check_hours(hours: int, longest_run_hours: float) -> None:
    """Raise ConfigError where files are to be removed that a run may still need."""
    if hours < SHORTEST_HOURS:
        raise ConfigError(
            f"files of the last {hours} hours would be removed, at least {SHORTEST_HOURS} hours are kept; nothing was removed. "
            "Hint: maintenance.keep_versions_days: 14"
        )
    if hours < longest_run_hours:
        raise ConfigError(
            f"files of the last {hours} hours would be kept, but the longest run took {longest_run_hours:.0f} hours and may "
            "read older ones; nothing was removed. Hint: raise maintenance.keep_versions_days"
        )


def _modified(file: Path) -> float:
    try:
        return os.stat(file).st_mtime
    except FileNotFoundError:
        return time.time()
