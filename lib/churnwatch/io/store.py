"""Access to Delta: create tables from their contracts, read them at a version, replace days and append rows.

No other module uses Delta. SQL and DataFrame calls replace the ``DeltaTable`` class, because they also work on Spark Connect
and with catalogs.
"""

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from churnwatch.core import ContractError, Table, WriteConflict
from churnwatch.io.commits import COMMITS, commit_files, commit_info, commits_from, is_local
from churnwatch.io.conform import conformed, quoted
from churnwatch.io.contracts import STATISTICS, contract_differences, statistics_columns
from churnwatch.io.delta_errors import ERRORS, is_broken_rule, is_conflict, is_missing
from churnwatch.io.keys import without_ids
from churnwatch.io.local_tables import LocalTables, read_rows
from churnwatch.io.locks import Locks
from churnwatch.io.protocol import PROPERTY, PROTOCOL
from churnwatch.io.staging import Staging, absolute
from churnwatch.settings import Settings

COMMITS_BEFORE = 1000  # of other writers that may have come before ours since we looked
LONGEST_PAUSE = 8.0  # seconds between two tries of a commit
# Delta puts the version of each commit into this setting of the session: one look-up less than DESCRIBE HISTORY (0.5 s)
LAST_COMMIT = "spark.databricks.delta.lastCommitVersionInSession"
JOINED_BELOW = "spark.databricks.delta.optimize.minFileSize"  # OPTIMIZE leaves files of this size and more as they are


Again = Callable[[], DataFrame] | None


@dataclass(frozen=True)
class Written:
    """What a write did: the table's version after it, the number of rows that it wrote, and whether a commit was needed."""

    table: str
    version: int
    rows: int
    committed: bool = True


class Store(Staging):
    """Delta tables of one warehouse: folders under ``storage.root`` or tables of ``storage.schema``."""

    def __init__(self, spark: SparkSession, settings: Settings) -> None:
        super().__init__(spark, settings.storage.files)
        self._settings, self.storage = settings, settings.storage
        self._versions: dict[str, int | None] = {}
        self._older: dict[str, int | None] = {}  # versions that were the newest at the last refresh or before
        self._checked: set[str] = set()
        self._local = LocalTables(spark)
        self._locks = Locks(settings)
        self._conflict_seconds = settings.runs.conflict_minutes * 60.0
        self.check: Callable[[], None] = lambda: None  # called before each commit of rows: raises when this run may not write

    def refresh(self) -> None:
        """Forget the known versions, so that the next reads look up the newest."""
        self._older |= self._versions
        self._versions.clear()

    def path(self, table: Table) -> str | None:
        """Folder of the table; None when the tables are in a catalog."""
        return f"{absolute(self.storage.root)}/{table.name}" if self.storage.root else None

    def sql_name(self, table: Table) -> str:
        """Name of the table in SQL."""
        path = self.path(table)
        return f"delta.`{path}`" if path else f"{self.storage.schema_name}.{table.name}"

    def exists(self, table: Table) -> bool:
        """Whether the table exists."""
        return self.version(table) is not None

    def create(self, tables: Iterable[Table]) -> list[str]:
        """Create missing tables, with comments and rules in the creating commit; returns the names of the created tables.

        Raises ContractError when a stored table has other columns than its contract. Each table is checked once.
        """
        made = []
        for table in tables:
            if table.name in self._checked:
                continue
            if not self.exists(table):
                with self._locks.of(table.name):
                    self._create(table)
                made.append(table.name)
            elif faults := self.differences(table):
                raise ContractError(
                    f"{table.name} is stored with another contract than the configured one, nothing was written. "
                    "Hint: churnwatch migrate adds columns and replaces rules\n" + "\n".join(f"  {fault}" for fault in faults)
                )
            self._checked.add(table.name)
        return made

    def _create(self, table: Table) -> None:
        columns = ", ".join(
            f"`{f.name}` {f.dataType.simpleString()}{'' if f.nullable else ' NOT NULL'} COMMENT {quoted(f.metadata['comment'])}"
            for f in table.schema.fields
        )
        properties = {"delta.enableDeletionVectors": "false", PROPERTY: str(PROTOCOL), **table.properties}
        if columns_with_statistics := statistics_columns(table):
            properties[STATISTICS] = columns_with_statistics
        if table.kind == "log":
            # a log gets many small commits: a checkpoint after each tenth costs more than reading the commits
            properties["delta.checkpointInterval"] = "100"
        properties |= {f"delta.constraints.{name}": rule for name, rule in table.rules.items()}
        self.spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.sql_name(table)} ({columns}) USING delta"
            + (f" PARTITIONED BY ({', '.join(table.partitions)})" if table.partitions else "")
            + f" COMMENT {quoted(table.comment)} TBLPROPERTIES ("
            + ", ".join(f"{quoted(k)} = {quoted(v)}" for k, v in properties.items())
            + ")"
        )
        self._versions[table.name] = 0

    def differences(self, table: Table) -> list[str]:
        """Columns, rules and properties in which the stored table and its contract differ, a line each."""
        return contract_differences(table, self.stored_schema(table), self.properties(table))

    def stored_schema(self, table: Table) -> StructType:
        """Schema as stored."""
        path, version = self.path(table), self.version(table)
        if path and version is not None and is_local(path) and (found := self._local.files(path, version)):
            return found.schema
        return self.spark.sql(f"SELECT * FROM {self.sql_name(table)}").schema

    def properties(self, table: Table) -> dict[str, str]:
        """Table properties as stored."""
        path, version = self.path(table), self.version(table)
        if path and version is not None and is_local(path) and (found := self._local.files(path, version)):
            return dict(found.properties)
        return {row["key"]: row["value"] for row in self.spark.sql(f"SHOW TBLPROPERTIES {self.sql_name(table)}").collect()}

    def alter(self, table: Table, statement: str) -> DataFrame:
        """Run a statement that commits to the table; returns what it answers."""
        with self._locks.of(table.name):
            answer = self.spark.sql(statement)
        self._versions.pop(table.name, None)
        return answer

    def version(self, table: Table) -> int | None:
        """Newest version known since the last ``refresh``, looked up once; None when the table does not exist."""
        if table.name not in self._versions:
            self._versions[table.name] = self._newest(table)
        return self._versions[table.name]

    def newest(self, table: Table) -> int | None:
        """Look up the newest version; None when the table does not exist."""
        self._versions[table.name] = self._newest(table)
        return self._versions[table.name]

    def _newest(self, table: Table) -> int | None:
        path = self.path(table)
        if path and is_local(path):
            return max((int(file.stem) for file in commit_files(path)), default=None)
        try:
            return int(self.spark.sql(f"DESCRIBE HISTORY {self.sql_name(table)} LIMIT 1").collect()[0]["version"])
        except ERRORS as error:
            if is_missing(error):
                return None
            raise

    def read(
        self,
        table: Table,
        where: str | None = None,
        first: date | None = None,
        last: date | None = None,
        version: int | None = None,
    ) -> DataFrame:
        """Rows of ``version`` (None: the known one) that meet ``where``; an empty frame when the table does not exist.

        ``first``, ``last``: ``where`` keeps no row of an earlier or a later day; None: no bound.
        """
        version = self.version(table) if version is None else version
        if version is None:
            return self.spark.createDataFrame([], table.schema)
        path = self.path(table)
        frame = self._local.rows(path, version, first, last) if path and is_local(path) else None
        if frame is not None:
            frame = frame.where(where) if where else frame
        else:
            # one statement, because each further operation analyses the plan again
            frame = self.spark.sql(
                f"SELECT * FROM {self.sql_name(table)} VERSION AS OF {version}" + (f" WHERE {where}" if where else "")
            )
        # columns that were taken out of the configuration stay stored and are not read
        known = [name for name in frame.columns if name in table.schema.names]
        return frame if len(known) == len(frame.columns) else frame.select(*known)

    def rows_since(self, table: Table, first: date | None, version: int | None) -> tuple[list[dict[str, Any]], bool]:
        """Rows of a small log that are about ``first`` or a later day, or were written since (None: all); whether these are all.

        Other rows may be among them. Rows count as written since two days before ``first``, in any time zone: whoever has a row
        about a day has every row that was written after it. Columns that are not stored are left out.
        """
        written, path = None if first is None else first - timedelta(days=2), self.path(table)
        if path and version is not None and is_local(path) and (found := self._local.files(path, version)):
            files = found.holding(first, None, written)
            if (rows := read_rows(path, files, table.schema)) is not None:
                return rows, len(files) == len(found.files)
        where = f"day >= DATE'{first}' OR at >= TIMESTAMP'{written} 00:00:00'" if first else None
        return self.read(table, where, version=version).toArrow().to_pylist(), first is None or version is None

    def newest_day(self, table: Table, before: date, version: int) -> date | None:
        """Newest day before ``before`` with rows in this version of a table that is partitioned by day; None: there is none."""
        path = self.path(table)
        if path and is_local(path) and (found := self._local.files(path, version)):
            return max((rows.first for rows in found.files.values() if rows.first and rows.first < before), default=None)
        return self.read(table, f"day < DATE'{before}'", version=version).agg({"day": "max"}).collect()[0][0]

    def replace(self, table: Table, frame: DataFrame, where: str, stamp: Mapping[str, Any], again: Again = None) -> Written:
        """Replace the rows that meet ``where`` by ``frame``, in one commit. No rows over no rows makes no commit.

        A commit that lost to other work is tried again, for ``runs.conflict_minutes``. ``again``: called before each further
        try, returns the frame to write then, or raises an error that ends the tries; without it the same frame is written.
        Raises ContractError when rows break the contract, WriteConflict when another run of the same job and days was faster.
        """

        def replacing(writer: Any) -> Any:
            return writer.mode("overwrite").option("replaceWhere", where)

        return self._commit(table, frame, stamp, replacing, where, again, self.check)

    def append(self, table: Table, frame: DataFrame, stamp: Mapping[str, Any], again: Again = None) -> Written:
        """Add rows to a log table, in one commit; ``again``: as for ``replace``."""
        return self._commit(table, frame, stamp, lambda w: w.mode("append"), None, again, self.check)

    def append_rows(self, table: Table, rows: list[Mapping[str, Any]], stamp: Mapping[str, Any]) -> int:
        """Add a few rows, given as dictionaries, to a log table in one commit; returns its version.

        It is not checked whether this run may write: rows of job_runs say what has happened, whoever goes on with the work.
        """
        columns = pa.Table.from_pylist(rows, to_arrow_schema(table.schema, timezone="UTC"))
        frame = self.spark.createDataFrame(columns, table.schema).coalesce(1)
        return self._commit(table, frame, stamp, lambda w: w.mode("append"), None, None, lambda: None).version

    def compact(self, table: Table, where: str | None = None) -> int:
        """Join files of fewer than ``table.file_bytes``, of the partitions ``where``; returns the version after it.

        Readers and appends are not disturbed. Larger files stay: those of a log were joined before, and hold older rows only.
        """
        self.spark.conf.set(JOINED_BELOW, table.file_bytes)
        try:
            self.alter(table, f"OPTIMIZE {self.sql_name(table)}" + (f" WHERE {where}" if where else ""))
        finally:
            self.spark.conf.unset(JOINED_BELOW)
        return self.version(table) or 0

    def _commit(
        self,
        table: Table,
        frame: DataFrame,
        stamp: Mapping[str, Any],
        mode: Any,
        where: str | None,
        again: Again,
        check: Callable[[], None],
    ) -> Written:
        """Commit, and try again after a conflict with other work; the pauses are drawn, so that writers do not meet again."""
        before = self._versions.get(table.name, self._older.get(table.name))
        before = self.version(table) if before is None else before
        deadline, pause = time.monotonic() + self._conflict_seconds, 0.25
        while True:
            check()
            frame = conformed(table, frame)
            try:
                writer = frame.write.format("delta").option("userMetadata", json.dumps(stamp))
                with self._locks.of(table.name):
                    version = self._save(table, mode(writer))
                break
            except ERRORS as error:
                if is_broken_rule(error):
                    raise ContractError(self._broken_rows(table, frame, where, error)) from error
                if not is_conflict(error):
                    raise
                other, before = self._winner(table, stamp, before)
                if time.monotonic() > deadline:
                    raise WriteConflict(
                        f"{table.name}: {other} and others wrote at the same time for {self._conflict_seconds / 60:g} minutes, "
                        "nothing was written. Hint: run again; runs.conflict_minutes sets how long a commit is tried"
                    ) from error
            time.sleep(random.uniform(0.2, 1.0) * pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            self.newest(table)
            frame = again() if again else frame
        if version is None:
            return Written(table.name, self.version(table) or 0, 0, committed=False)
        self._versions[table.name] = version
        return Written(table.name, version, self._rows(table, version))

    def _save(self, table: Table, writer: Any) -> int | None:
        """Write; returns the version of the commit, None when there was nothing to commit."""
        self.spark.conf.unset(LAST_COMMIT)
        path = self.path(table)
        if path:
            writer.save(path)
        else:
            writer.saveAsTable(self.sql_name(table))
        version = self.spark.conf.get(LAST_COMMIT, None)
        return None if version is None else int(version)

    def _rows(self, table: Table, version: int) -> int:
        """Rows that the commit ``version`` wrote."""
        path = self.path(table)
        if path and is_local(path):
            info = commit_info(Path(urlparse(path).path, "_delta_log", f"{version:020}.json"))
        else:
            history = self.spark.sql(f"DESCRIBE HISTORY {self.sql_name(table)} LIMIT {COMMITS}").collect()
            info = next((row.asDict() for row in history if row["version"] == version), {})
        return int((info.get("operationMetrics") or {}).get("numOutputRows", 0))

    def _winner(self, table: Table, stamp: Mapping[str, Any], before: int | None) -> tuple[str, int | None]:
        """Who committed last after the version ``before``, in words, and the newest version.

        Raises WriteConflict when one of these commits did the same work: the same job, for some of the same days.
        """
        others = self.commits_from(table, -1 if before is None else before + 1, COMMITS_BEFORE)
        for _, other in others:
            is_other_work = other.get("run_id") == stamp.get("run_id") or other.get("job") != stamp.get("job")
            if stamp.get("job") and not is_other_work and _days(other) & _days(stamp):
                what = f"run {other.get('run_id')} has just written {stamp.get('job')} for {stamp.get('day')}"
                raise WriteConflict(f"{table.name}: {what}; nothing was written")
        if not others:
            return "another writer", before
        newest, other = others[-1]
        return f"run {other.get('run_id', 'of another program')}", newest

    def commits_from(self, table: Table, first: int, most: int = COMMITS) -> list[tuple[int, dict[str, Any]]]:
        """The commits ``first`` and later, oldest first, with the stamps of what wrote them ({}: none); the newest ``most``."""
        return commits_from(self.spark, self.path(table), self.sql_name(table), first, most)

    def _broken_rows(self, table: Table, frame: DataFrame, where: str | None, error: Exception) -> str:
        """Message for a broken contract: each broken rule, the number of rows that break it, and an example."""
        rules = {f"rule {n}": F.expr(r) for n, r in table.rules.items()}
        rules |= {f"{f.name} is never null": F.col(f.name).isNotNull() for f in table.schema.fields if not f.nullable}
        if where:
            rules[f"rows lie in what is replaced ({where})"] = F.expr(where)
        broken = {name: ~F.coalesce(rule, F.lit(False)) for name, rule in rules.items()}
        key = F.to_json(F.struct(*table.keys))
        counts = frame.agg(
            F.count(F.lit(1)).alias("rows"),
            *(F.count(F.when(b, 1)).alias(f"n{i}") for i, b in enumerate(broken.values())),
            *(F.min(F.when(b, key)).alias(f"k{i}") for i, b in enumerate(broken.values())),
        ).collect()[0]
        lines = [f"{table.name} breaks its contract, nothing was written:"]
        for i, name in enumerate(broken):
            if counts[f"n{i}"]:
                example = without_ids(counts[f"k{i}"], self._settings)
                lines.append(f"  {name}: {counts[f'n{i}']:,} of {counts['rows']:,} rows ({example})")
        return "\n".join(lines) if len(lines) > 1 else f"{lines[0]} {str(error).splitlines()[0]}"

    def clone(self, table: Table, to: "Store") -> None:
        """Create ``table`` in another warehouse with the rows of this one. Its files are referred to, not copied."""
        self.spark.sql(f"CREATE TABLE {to.sql_name(table)} SHALLOW CLONE {self.sql_name(table)}")


def _days(stamp: Mapping[str, Any]) -> set[str]:
    """The output days that a commit names, else its run day."""
    return set(stamp.get("days") or [stamp.get("day")])
