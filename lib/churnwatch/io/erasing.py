"""Find, delete and mask rows of stored tables that are about single users.

What stands for users comes in small frames that are joined, never as literals: literals appear in plans, in Spark's pages and in
its event log.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from churnwatch.core import Table
from churnwatch.io.commits import commit_files, is_local
from churnwatch.io.store import Store

ERASED = "erased"
TOKEN = "_token"


@dataclass(frozen=True)
class Match:
    """Rows whose text ``column`` is one of ``tokens``; ``within``: whose text matches one of them as a regular expression."""

    column: str
    tokens: tuple[str, ...]
    within: bool = False


class TableRows:
    """Rows of the tables of one warehouse, found by what stands for users."""

    def __init__(self, spark: SparkSession, store: Store) -> None:
        self._spark, self._store = spark, store

    def rows(self, table: Table, matches: Sequence[Match]) -> DataFrame:
        """Return the rows that meet one of ``matches``, with all columns; a row that meets two of them comes twice.

        A column that the stored table does not have yet is left out.
        """
        rows = self._store.read(table)
        found = [
            rows.join(self._tokens(one), _condition(one), "left_semi")
            for one in matches
            if one.tokens and one.column in rows.columns
        ]
        return reduce(DataFrame.unionByName, found) if found else rows.limit(0)

    def count(self, table: Table, matches: Sequence[Match]) -> int:
        """Count the rows that meet one of ``matches``."""
        return self._keys(table, matches).count()

    def values(self, table: Table, matches: Sequence[Match], column: str) -> tuple[str, ...]:
        """Return the different values of a column; bounded by the rows of the users of one request."""
        return tuple(sorted(row[0] for row in self.rows(table, matches).select(column).distinct().collect() if row[0]))

    def delete(self, table: Table, matches: Sequence[Match]) -> int:
        """Delete the rows that meet one of ``matches``; return how many."""
        found = self._merge(table, self._keys(table, matches), "DELETE")
        self._store.newest(table)
        return int(found["num_deleted_rows"])

    def mask(self, table: Table, matches: Sequence[Match]) -> int:
        """Replace what the expressions of ``matches`` find by ``erased``; return in how many rows."""
        masked = self.count(table, matches)
        for one in matches:
            while self.count(table, [one]):
                self._mask(table, one)
        return masked

    def _mask(self, table: Table, match: Match) -> None:
        """Replace, in each row, what one of the expressions finds; the caller repeats it for the others."""
        joined = self._store.read(table).join(self._tokens(match), _condition(match))
        text = F.max(F.regexp_replace(match.column, F.col(TOKEN), F.lit(ERASED))).alias("text")
        self._merge(table, joined.groupBy(*table.keys).agg(text), f"UPDATE SET `{match.column}` = k.text")
        self._store.newest(table)

    def old_files(self, table: Table, version: int) -> int | None:
        """Count the data files that commits up to ``version`` replaced and that still exist; None where they cannot be seen.

        Commits that are gone from the log are older than its retention: VACUUM has run over their files long before.
        """
        path = self._store.path(table)
        if path is None or not is_local(path):
            return None
        commits = [file for file in commit_files(path) if int(file.stem) <= version]
        actions = (json.loads(line) for file in commits for line in file.read_text(encoding="utf-8").splitlines())
        removed = {action["remove"]["path"] for action in actions if "remove" in action}
        folder = Path(urlparse(path).path)
        return sum((folder / unquote(file)).exists() for file in removed)

    def _keys(self, table: Table, matches: Sequence[Match]) -> DataFrame:
        return self.rows(table, matches).select(*table.keys).distinct()

    def _tokens(self, match: Match) -> DataFrame:
        return F.broadcast(self._spark.createDataFrame(pa.table({TOKEN: pa.array(match.tokens, pa.string())})))

    def _merge(self, table: Table, rows: DataFrame, action: str) -> dict[str, int]:
        view = f"people_of_{table.name}"
        rows.createOrReplaceTempView(view)
        same = " AND ".join(f"t.`{name}` <=> k.`{name}`" for name in table.keys)
        try:
            merge = f"MERGE INTO {self._store.sql_name(table)} t USING {view} k ON {same} WHEN MATCHED THEN {action}"
            return self._store.alter(table, merge).collect()[0].asDict()
        finally:
            self._spark.catalog.dropTempView(view)


def _condition(match: Match) -> Column:
    text = F.col(match.column)
    return F.rlike(text, F.col(TOKEN)) if match.within else text == F.col(TOKEN)
