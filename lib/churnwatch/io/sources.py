"""Read the raw rows of the configured sources, each with the file it came from."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial, reduce

import sqlglot
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType
from sqlglot import expressions as exp

from churnwatch.core import ConfigError, DataQualityError
from churnwatch.io.clock import now
from churnwatch.io.keys import check_table_ids, keyed, table_key
from churnwatch.io.store import Store
from churnwatch.settings import Settings, Source
from churnwatch.tables import tables

DAY = "{day}"
CORRUPT = "_corrupt"
HASH = "_user_hash"  # of a user id, while rows are protected
MISSING = ("PATH_NOT_FOUND", "DELTA_PATH_DOES_NOT_EXIST", "TABLE_OR_VIEW_NOT_FOUND", "DELTA_MISSING_DELTA_TABLE")
EMPTY_FOLDER = "UNABLE_TO_INFER_SCHEMA"  # a Parquet folder without a file has no columns
LINES, MOST_COLUMNS = 1000, 500  # that are read of JSON files to find names of columns, and the most names
NO_DAY = date(1970, 1, 1)  # day of files whose path has none
MASK = 0xFFFFFFFFFFFFFFFF
Tree = dict[str, "Tree"]


class Sources:
    """The port to raw input. It only reads; the same files give the same rows.

    Rows have the source's own columns and four more: ``_file`` (path or table name), ``_file_day`` (the ``{day}`` of the
    file's path; null without one), ``_corrupt`` (the text of an unreadable row, else null) and ``_raw`` (the row's text for
    JSON lines and unreadable CSV rows, else null).
    """

    def __init__(self, spark: SparkSession, settings: Settings, run_id: str = "") -> None:
        self._spark, self._settings = spark, settings
        self._erased: DataFrame | None = None
        self._looked_up = False

    def protect(self, rows: DataFrame, column: str = "user_id") -> DataFrame:
        """Leave out rows of erased users. Where ids are pseudonymised, hash ``column`` and empty ``_raw`` and ``_own``.

        Raises ConfigError when the tables hold ids of another kind.
        """
        erased, hashes = self._erased_users(), self._settings.privacy.pseudonymise
        if erased is None and not hashes:
            return rows
        hashed = keyed(rows.withColumn(HASH, F.col(column)), HASH, table_key(self._settings))
        if erased is not None:
            hashed = hashed.join(F.broadcast(erased), HASH, "left_anti")
        if hashes:
            text = F.lit(None).cast("string")
            empty = {"_raw": text, "_own": F.when(text.isNotNull(), F.struct(text))}
            own = {name: value for name, value in empty.items() if name in rows.columns}
            hashed = hashed.withColumns({column: F.col(HASH), **own})
        return hashed.drop(HASH)

    def _erased_users(self) -> DataFrame | None:
        """Return the hashes of erased users, one row each; None when there is none. Read once."""
        if not self._looked_up:
            store, contracts = Store(self._spark, self._settings), tables(self._settings)
            check_table_ids(self._settings, has_rows=bool(store.version(contracts.events)))
            found = store.read(contracts.suppressions).select(F.col("user_hash").alias(HASH)).distinct()
            self._erased = None if store.version(contracts.suppressions) is None or found.isEmpty() else found
            self._looked_up = True
        return self._erased

    def read_at(self) -> datetime:
        """Return the wall clock of this read, UTC."""
        return now()

    def rows(self, source: Source, days: Sequence[date]) -> DataFrame:
        """Return ``find_rows``, or an empty frame with the columns that the map names when there is no file."""
        found = self.find_rows(source, days)
        if found is not None:
            return found
        fields = [f"`{name}` {kind}" for name, kind in _json_fields(source)]
        tail = ["_file STRING", "_file_day DATE", f"{CORRUPT} STRING", "_raw STRING"]
        return self._spark.createDataFrame([], ", ".join([*fields, *tail]))

    def list_files(self, source: Source, days: Sequence[date]) -> dict[date, str]:
        """Return the state of the files that ``days`` read, by the ``{day}`` of the file: number, bytes, and hash of names,
        sizes and times of modification.

        Files without ``{day}`` stand under 1970-01-01, and so does a table, whose state is ''. No content is read.
        """
        if source.table or source.format == "delta":
            return {NO_DAY: ""}
        try:
            files = self._spark.read.format("binaryFile").options(**source.options).load(_place(source, days))
        except AnalysisException as error:
            if any(mark in str(error) for mark in (*MISSING, EMPTY_FOLDER)):
                return {}
            raise
        size, of_file = F.col("_metadata.file_size"), _of_file(source)
        one = files.select(
            of_file[1], size.alias("size"), F.xxhash64(of_file[0], size, "_metadata.file_modification_time").alias("hash")
        )
        by_day = one.groupBy("_file_day").agg(
            F.count("*").alias("files"), F.sum("size").alias("bytes"), F.bit_xor("hash").alias("hash")
        )
        return {r["_file_day"] or NO_DAY: f"{r['files']}-{r['bytes']}-{r['hash'] & MASK:x}" for r in by_day.collect()}

    def find_columns(self, source: Source, file_day: date) -> list[str]:
        """Return the names of the columns in the files of ``file_day`` (1970-01-01: in all files of the source); of JSON lines
        those of the first 1,000.

        None of CSV files without a header line, and none of JSON lines with more than 500 names: such names are made of data.
        """
        place = source.table or (source.path or "").replace(DAY, str(file_day))
        reader = self._spark.read.options(**source.options)
        try:
            if source.format == "json":
                keys = reader.text(place).limit(LINES).select(F.explode(F.json_object_keys("value")).alias("name")).distinct()
                names = [row["name"] for row in keys.limit(MOST_COLUMNS + 1).collect()]
            elif source.format == "csv":
                named = source.columns is None and _has_header(source)
                names = reader.csv(place).columns if named else []
            else:
                names = (reader.table(place) if source.table else reader.format(source.format).load(place)).columns
        except AnalysisException as error:
            if any(mark in str(error) for mark in (*MISSING, EMPTY_FOLDER)):
                return []
            raise
        return [] if source.format == "json" and len(names) > MOST_COLUMNS else names

    def find_rows(self, source: Source, days: Sequence[date], without: Collection[date] = ()) -> DataFrame | None:
        """Return the rows of the files that ``days`` read (of all files when the path has no ``{day}``); None when there is
        no such file. Starts no Spark job, except to read the header of a CSV file. ``without``: days of files to leave out.

        CSV and JSON columns are strings. Raises DataQualityError when a path without ``{day}`` or a table does not exist.
        """
        place = source.table or _place(source, days, without)
        if not place:
            return None
        readers: Mapping[str, Callable[[Source, str], DataFrame | None]] = {
            "csv": self._csv,
            "json": self._json,
            "parquet": self._files,
            "delta": self._table,
            "table": self._table,
        }
        try:
            if source.format == "csv" and source.daily and _has_header(source) and source.columns is None:
                return self._csv_of_days(source, _file_days(source, days, without))
            return readers[source.format](source, place)
        except AnalysisException as error:
            if not any(mark in str(error) for mark in (*MISSING, EMPTY_FOLDER)):
                raise
            if source.daily or EMPTY_FOLDER in str(error):
                return None
            raise DataQualityError(f"source {source.name}: nothing exists at {place}; nothing was written") from error

    def _csv_of_days(self, source: Source, days: Iterable[date]) -> DataFrame | None:
        """Read the files of days by their own headers: a column that some lack is null there, and its place does not matter."""
        days_with: dict[tuple[str, ...], list[date]] = {}
        for day in days:
            if names := tuple(self.find_columns(source, day)):
                days_with.setdefault(names, []).append(day)
        frames = [self._csv(source, _place_of(source, own), names) for names, own in days_with.items()]
        found = [frame for frame in frames if frame is not None]
        return reduce(partial(DataFrame.unionByName, allowMissingColumns=True), found) if found else None

    def _csv(self, source: Source, place: str, names: Sequence[str] = ()) -> DataFrame | None:
        header = _has_header(source)
        names = names or source.columns or self._spark.read.options(**source.options).csv(place).columns
        if not names:
            return None
        schema = StructType()
        for name in [*names, CORRUPT]:
            schema = schema.add(name, StringType())
        # without configured columns, files with different headers must not be read by position
        defaults = {"enforceSchema": str(not (header and source.columns is None)).lower()}
        defaults |= {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
        frame = self._spark.read.schema(schema).options(**(defaults | source.options)).csv(place)
        return frame.select(*map(_quoted, names), *_of_file(source), F.col(CORRUPT), F.col(CORRUPT).alias("_raw"))

    def _json(self, source: Source, place: str) -> DataFrame:
        """Parse JSON lines into the columns that the map names, so that no pass over the files is needed to infer a schema."""
        fields = _json_fields(source)
        schema = ", ".join([*(f"`{name}` {kind}" for name, kind in fields), f"{CORRUPT} STRING"])
        options = {**source.options, "mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
        lines = self._spark.read.options(**source.options).text(place)
        line = F.btrim("value")
        parsed = lines.where(F.length(line) > 0).select(
            "value",
            F.from_json("value", schema, options).alias("_parsed"),
            _is_one_object(line).alias("_closed"),
            *_of_file(source),
        )
        readable = F.col("_parsed").isNotNull() & F.col(f"_parsed.{CORRUPT}").isNull() & F.col("_closed")
        return parsed.select(
            *(F.col(f"_parsed.`{name}`").alias(name) for name, _ in fields),
            "_file",
            "_file_day",
            F.when(~readable, F.col("value")).alias(CORRUPT),
            F.col("value").alias("_raw"),
        )

    def _files(self, source: Source, place: str) -> DataFrame:
        frame = self._spark.read.format(source.format).options(**source.options).load(place)
        return frame.select("*", *_of_file(source), *_always_readable())

    def _table(self, source: Source, place: str) -> DataFrame:
        reader = self._spark.read.options(**source.options)
        frame = reader.table(place) if source.table else reader.format("delta").load(place)
        return frame.select("*", F.lit(place).alias("_file"), F.lit(None).cast("date").alias("_file_day"), *_always_readable())


def _has_header(source: Source) -> bool:
    return {k.lower(): v for k, v in source.options.items()}.get("header", "false").lower() == "true"


def _place(source: Source, days: Sequence[date], without: Collection[date] = ()) -> str:
    """Return the path; ``{day}`` becomes a glob of the days whose files ``days`` read. '' when no file is left."""
    if not source.daily:
        return source.path or ""
    return _place_of(source, _file_days(source, days, without))


def _file_days(source: Source, days: Sequence[date], without: Collection[date]) -> list[date]:
    return sorted({day + timedelta(days=offset) for day in days for offset in source.file_days} - set(without))


def _place_of(source: Source, days: Sequence[date]) -> str:
    around = [str(day) for day in days]
    if not around:
        return ""
    return (source.path or "").replace(DAY, "{" + ",".join(around) + "}" if len(around) > 1 else around[0])


def _of_file(source: Source) -> list[Column]:
    """Return the columns ``_file`` and ``_file_day`` of a file's rows."""
    path = F.col("_metadata.file_path")
    day = F.lit(None).cast("date")
    if source.daily:
        day = F.regexp_extract(path, _day_pattern(source.path or ""), 1).try_cast("date")
    return [F.regexp_replace(path, "^file:/+", "/").alias("_file"), day.alias("_file_day")]


def _day_pattern(path: str) -> str:
    """Return a regular expression that finds the day in a file's URI, where special characters may be %-encoded."""
    plain = re.sub(r"^(?:[a-z0-9]+:/+)?[./]*", "", path)
    pattern = ""
    for index, part in enumerate(plain.split(DAY)):
        pattern += "" if index == 0 else (r"(\d{4}-\d{2}-\d{2})" if index == 1 else r"\1")
        pattern += "".join(_matching(char) for char in part)
    return f"(?:^|/){pattern}(?:/|$)"


def _matching(char: str) -> str:
    if char == "*":
        return "[^/]*"
    if char.isascii() and (char.isalnum() or char in "/_-="):
        return char
    return re.escape(char) if char == "." else "(?:(?:%[0-9A-Fa-f]{2})+|[^/])"


def _is_one_object(line: Column) -> Column:
    """Test that a line is one JSON object, because the parser ignores whatever follows the first object."""
    twice = r"\}\s*\{"
    without_texts = F.regexp_replace(line, r'"(?:\\.|[^"\\])*"', "")
    return line.endswith("}") & F.when(line.rlike(twice), ~without_texts.rlike(twice)).otherwise(True)


def _always_readable() -> list[Column]:
    """Return null ``_corrupt`` and ``_raw``: rows of typed files are always readable and have no text."""
    return [F.lit(None).cast("string").alias(CORRUPT), F.lit(None).cast("string").alias("_raw")]


def _quoted(name: str) -> Column:
    return F.col("`" + name.replace("`", "``") + "`")


def _json_fields(source: Source) -> list[tuple[str, str]]:
    """Return columns and types of a JSON source: those of ``columns`` (``name`` or ``name TYPE``), else those that map and
    where use."""
    if source.columns:
        return [(name, kind or "STRING") for name, _, kind in (text.strip().partition(" ") for text in source.columns)]
    return [(name, _type(below)) for name, below in named_columns([*source.map.values(), *filter(None, [source.where])]).items()]


def named_columns(expressions: Iterable[str]) -> Tree:
    """Return the columns that SQL expressions use, with their nested fields. Raises ConfigError when a name is reserved."""
    tree: Tree = {}
    for text in expressions:
        for column in sqlglot.parse_one(f"SELECT {text}", dialect="spark").find_all(exp.Column):
            here = tree
            for part in _parts(column):
                here = here.setdefault(part, {})
        if sqlglot.parse_one(f"SELECT {text}", dialect="spark").find(exp.CurrentUser):
            tree.setdefault("user", {})  # to sqlglot the name of a function, to Spark a column where there is one
    for name in tree:
        if name.startswith("_file") or name in (CORRUPT, "_raw"):
            raise ConfigError(f"a source's column is named {name}, which is reserved. Hint: rename it in the source")
    return tree


def _parts(column: exp.Column) -> list[str]:
    """Split ``a.b.c`` into its names, to any depth."""
    names = [part.name for part in column.parts]
    above = column.parent
    while isinstance(above, exp.Dot):
        names.append(above.expression.name)
        above = above.parent
    return names


def _type(below: Tree) -> str:
    return f"STRUCT<{', '.join(f'`{name}`: {_type(deeper)}' for name, deeper in below.items())}>" if below else "STRING"
