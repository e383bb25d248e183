"""Reads Delta tables in local folders by the data files that their logs name.

Delta finds the files of each scan by a Spark job, which costs more CPU than reading a few thousand rows. Here the log is
replayed on the driver as the Delta protocol says: the newest checkpoint, then the commits after it. What this module does not
know (deletion vectors, column mapping, checkpoints of several parts, files outside of the table's folder) is left to Delta.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructField, StructType

from churnwatch.core import JobFailed

MOST_FILES = 400  # of a read: more are found by Delta, on the workers
SPECIAL = set("{}[]*?\\,")  # have a meaning in patterns of paths


class Days(NamedTuple):
    """What is known of the rows of a file; None: nothing."""

    first: date | None  # smallest day
    last: date | None  # largest day
    written: date | None = None  # date of the newest ``at``


@dataclass(frozen=True)
class TableFiles:
    """The data files of one version of a table, by their path in its folder, its schema and its properties."""

    version: int
    schema: StructType
    files: Mapping[str, Days]
    properties: Mapping[str, str]

    def holding(self, first: date | None, last: date | None, written: date | None = None) -> list[str]:
        """Files that may have rows of the days ``first`` .. ``last``, both in; None: no bound. With ``written`` also those that
        may have rows whose ``at`` lies on ``written`` or later."""
        return sorted(
            path
            for path, rows in self.files.items()
            if (
                (first is None or rows.last is None or rows.last >= first)
                and (last is None or rows.first is None or rows.first <= last)
            )
            or (written is not None and (rows.written is None or rows.written >= written))
        )


class LocalTables:
    """Tables in local folders. The files of the version that was looked at last are remembered."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._known: dict[str, TableFiles] = {}

    def files(self, path: str, version: int) -> TableFiles | None:
        """The files and the schema of a version; None when only Delta can tell."""
        found = self._known.get(path)
        if found is None or found.version != version:
            found = table_files(path, version, found)
        if found is not None:
            self._known[path] = found
        return found

    def rows(self, path: str, version: int, first: date | None, last: date | None) -> DataFrame | None:
        """Rows of the files that may have days of ``first`` .. ``last``, and so of other days too.

        None when only Delta knows the files, when they are many, or when one is missing: Delta then reports it.
        """
        found = self.files(path, version)
        if found is None:
            return None
        files, folder = found.holding(first, last), urlparse(path).path
        if (
            len(files) > MOST_FILES
            or SPECIAL & set(path).union(*files)
            or not all(Path(folder, file).is_file() for file in files)
        ):
            return None
        if not files:
            return self._spark.createDataFrame([], found.schema)
        # one pattern, because each path of a list is a call into the JVM
        pattern = f"{path}/{{{','.join(files)}}}" if len(files) > 1 else f"{path}/{files[0]}"
        schema = StructType([StructField(f.name, f.dataType, True, f.metadata) for f in found.schema.fields])
        # the columns of partitions come last, until they are put in the table's order
        return self._spark.read.schema(schema).option("basePath", path).parquet(pattern).to(schema)


def read_rows(path: str, files: Sequence[str], schema: StructType) -> list[dict[str, Any]] | None:
    """Rows of ``files`` of the table in ``path``, read on the driver, where a hundred small files need no Spark job.

    Columns that a file lacks are left out of its rows. None when only Spark can tell: one has another type than ``schema``, or a
    file is missing.
    """
    types, rows = {f.name: f.dataType.simpleString() for f in schema.fields}, []
    for file in files if len(files) <= MOST_FILES else ():
        try:
            found = pq.ParquetFile(Path(urlparse(path).path, file), coerce_int96_timestamp_unit="us").read()
        except FileNotFoundError:
            return None
        for place, field in enumerate(found.schema):
            if pa.types.is_timestamp(field.type):  # an instant in UTC, without saying so
                found = found.set_column(place, field.name, found.column(place).cast(pa.timestamp("us", "UTC")))
        if any(types.get(f.name) != f.dataType.simpleString() for f in from_arrow_schema(found.schema)):
            return None
        rows += found.to_pylist()
    return rows if len(files) <= MOST_FILES else None


def table_files(path: str, version: int, known: TableFiles | None = None) -> TableFiles | None:
    """The data files of ``version`` of the table in the local folder ``path``; None when only Delta can tell.

    Raises JobFailed where a file of the log is damaged. ``known``: another version of the same table; where it is an earlier
    one, only the commits after it are read.
    """
    log = Path(urlparse(path).path, "_delta_log")
    schema: StructType | None = None
    properties: dict[str, str] = {}
    files: dict[str, Days] = {}
    after, checkpoint = -1, None
    if known is not None and known.version <= version:
        schema, files, after = known.schema, dict(known.files), known.version
        properties = dict(known.properties)
    elif checkpoints := [file for file in log.glob("*.checkpoint*") if _version(file) <= version]:
        checkpoint = max(checkpoints)
        after = int(checkpoint.name[:20])
        if checkpoint.name[20:] != ".checkpoint.parquet":
            return None
    try:
        for action in _actions(log, checkpoint, range(after + 1, version + 1)):
            if not _is_simple(action):
                return None
            if metadata := action.get("metaData"):
                schema = StructType.fromJson(json.loads(metadata["schemaString"]))
                properties = dict(metadata.get("configuration") or {})  # a checkpoint has pairs
            if removed := action.get("remove"):
                files.pop(unquote(removed["path"]), None)
            if added := action.get("add"):
                files[unquote(added["path"])] = _days(added)
    except FileNotFoundError:
        return None
    except ValueError as error:  # of JSON and of Parquet
        raise JobFailed(
            f"{path}: its log is damaged, nothing was written: {str(error).splitlines()[0]}\n"
            'Hint: churnwatch doctor names the file; docs/runbook.md, "A damaged table", says what to do'
        ) from error
    return None if schema is None else TableFiles(version, schema, files, properties)


def _version(checkpoint: Path) -> float:
    """The version in a checkpoint's name; infinity for hidden files: its checksum, and checkpoints that are being written."""
    number = checkpoint.name[:20]
    return int(number) if number.isdigit() else math.inf


def _actions(log: Path, checkpoint: Path | None, versions: range) -> Iterator[dict[str, Any]]:
    if checkpoint is not None:
        yield from pq.read_table(checkpoint, columns=["add", "metaData", "protocol"]).to_pylist()
    for version in versions:
        with (log / f"{version:020}.json").open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _is_simple(action: Mapping[str, Any]) -> bool:
    """Whether a reader of protocol version 1 understands the action, and its file lies in the table's folder."""
    if (protocol := action.get("protocol")) and protocol["minReaderVersion"] > 1:
        return False
    files = [action[kind]["path"] for kind in ("add", "remove") if action.get(kind)]
    return not any(urlparse(file).scheme or file.startswith("/") for file in files)


def _days(added: Mapping[str, Any]) -> Days:
    """The smallest and largest ``day`` of a file: that of its partition, else by its statistics; and its newest ``at``."""
    partition = dict(added.get("partitionValues") or {})  # a checkpoint has pairs
    if "day" in partition:
        day = date.fromisoformat(partition["day"]) if partition["day"] else None
        return Days(day, day)
    stats = json.loads(added.get("stats") or "{}")
    least, most = (stats.get(which, {}) for which in ("minValues", "maxValues"))
    return Days(
        *(date.fromisoformat(text[:10]) if text else None for text in (least.get("day"), most.get("day"), most.get("at")))
    )
