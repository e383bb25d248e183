"""Raw input: rows of the configured sources as they are given, each with the file that it came from."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta

import sqlglot
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType
from sqlglot import expressions as exp

from churnwatch.core import ConfigError, DataQualityError
from churnwatch.settings import Settings, Source

DAY = "{day}"
CORRUPT = "_corrupt"
MISSING = ("PATH_NOT_FOUND", "DELTA_PATH_DOES_NOT_EXIST", "TABLE_OR_VIEW_NOT_FOUND", "DELTA_MISSING_DELTA_TABLE")
EMPTY_FOLDER = "UNABLE_TO_INFER_SCHEMA"  # Parquet without a file: nobody knows its columns
Tree = dict[str, "Tree"]


class Sources:
    """The port to raw input. Reads only; the same files give the same rows.

    Rows carry the source's own columns and four more: ``_file`` (path, or the table's name), ``_file_day`` (the file's
    ``{day}``, null without one), ``_corrupt`` (text of a row that cannot be read, else null) and ``_raw`` (the row's
    text where the source has one at hand: JSON lines, broken CSV rows; else null).
    """

    def __init__(self, spark: SparkSession, settings: Settings, run_id: str = "") -> None:
        self._spark = spark

    def rows(self, source: Source, days: Sequence[date]) -> DataFrame:
        """Rows of the files around ``days`` (of all files where the path holds no ``{day}``); see ``find_rows``.

        Where there is no file the frame is empty and has the columns that the map names.
        """
        found = self.find_rows(source, days)
        if found is not None:
            return found
        fields = [f"`{name}` {kind}" for name, kind in _json_fields(source)]
        tail = ["_file STRING", "_file_day DATE", f"{CORRUPT} STRING", "_raw STRING"]
        return self._spark.createDataFrame([], ", ".join([*fields, *tail]))

    def find_rows(self, source: Source, days: Sequence[date]) -> DataFrame | None:
        """Rows of the files around ``days``, None where none of these days has a file; no row is counted or kept.

        CSV and JSON columns are strings, whatever they hold. Raises DataQualityError where a path without ``{day}``
        or a table is not there.
        """
        place = source.table or _place(source, days)
        readers: Mapping[str, Callable[[Source, str], DataFrame | None]] = {
            "csv": self._csv,
            "json": self._json,
            "parquet": self._files,
            "delta": self._table,
            "table": self._table,
        }
        try:
            return readers[source.format](source, place)
        except AnalysisException as error:
            if not any(mark in str(error) for mark in (*MISSING, EMPTY_FOLDER)):
                raise
            if source.daily or EMPTY_FOLDER in str(error):
                return None
            raise DataQualityError(f"source {source.name}: there is nothing at {place}; nothing was written") from error

    def _csv(self, source: Source, place: str) -> DataFrame | None:
        options = {k.lower(): v for k, v in source.options.items()}
        header = options.get("header", "false").lower() == "true"
        names = source.columns or self._spark.read.options(**source.options).csv(place).columns
        if not names:
            return None
        schema = StructType()
        for name in [*names, CORRUPT]:
            schema = schema.add(name, StringType())
        # without names of our own, files whose headers differ must not be read as if they were the same
        ours = {"enforceSchema": str(not (header and source.columns is None)).lower()}
        ours |= {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
        frame = self._spark.read.schema(schema).options(**(ours | source.options)).csv(place)
        return frame.select(*map(_quoted, names), *_of_file(source), F.col(CORRUPT), F.col(CORRUPT).alias("_raw"))

    def _json(self, source: Source, place: str) -> DataFrame:
        """JSON lines as text, parsed into the columns that the map names: no pass over the files to guess a schema."""
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
        whole = F.col("_parsed").isNotNull() & F.col(f"_parsed.{CORRUPT}").isNull() & F.col("_closed")
        return parsed.select(
            *(F.col(f"_parsed.`{name}`").alias(name) for name, _ in fields),
            "_file",
            "_file_day",
            F.when(~whole, F.col("value")).alias(CORRUPT),
            F.col("value").alias("_raw"),
        )

    def _files(self, source: Source, place: str) -> DataFrame:
        frame = self._spark.read.format(source.format).options(**source.options).load(place)
        return frame.select("*", *_of_file(source), *_whole())

    def _table(self, source: Source, place: str) -> DataFrame:
        reader = self._spark.read.options(**source.options)
        frame = reader.table(place) if source.table else reader.format("delta").load(place)
        return frame.select("*", F.lit(place).alias("_file"), F.lit(None).cast("date").alias("_file_day"), *_whole())


def _place(source: Source, days: Sequence[date]) -> str:
    """The path; with ``{day}`` a glob of the files around ``days``, of which those that are there are read."""
    path = source.path or ""
    if not source.daily:
        return path
    around = sorted({str(day + timedelta(days=offset)) for day in days for offset in source.file_days})
    return path.replace(DAY, "{" + ",".join(around) + "}" if len(around) > 1 else around[0])


def _of_file(source: Source) -> list[Column]:
    """``_file`` and ``_file_day`` of rows of files."""
    path = F.col("_metadata.file_path")
    day = F.lit(None).cast("date")
    if source.daily:
        day = F.regexp_extract(path, _day_pattern(source.path or ""), 1).try_cast("date")
    return [F.regexp_replace(path, "^file:/+", "/").alias("_file"), day.alias("_file_day")]


def _day_pattern(path: str) -> str:
    """Regular expression that finds the day in a file's path (a URI: odd characters may be %-encoded)."""
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
    """False where something follows the first object of a line: the parser would leave it out without a word."""
    twice = r"\}\s*\{"
    without_texts = F.regexp_replace(line, r'"(?:\\.|[^"\\])*"', "")
    return line.endswith("}") & F.when(line.rlike(twice), ~without_texts.rlike(twice)).otherwise(True)


def _whole() -> list[Column]:
    """Rows of typed files are never broken, and have no text of their own."""
    return [F.lit(None).cast("string").alias(CORRUPT), F.lit(None).cast("string").alias("_raw")]


def _quoted(name: str) -> Column:
    return F.col("`" + name.replace("`", "``") + "`")


def _json_fields(source: Source) -> list[tuple[str, str]]:
    """Columns and types of a JSON source: ``columns`` (``name`` or ``name TYPE``), else what map and where speak of."""
    if source.columns:
        return [(name, kind or "STRING") for name, _, kind in (text.strip().partition(" ") for text in source.columns)]
    return [(name, _type(below)) for name, below in named_columns([*source.map.values(), *filter(None, [source.where])]).items()]


def named_columns(expressions: Iterable[str]) -> Tree:
    """Columns that SQL expressions name, with the fields that they name below them; ConfigError where a name is taken."""
    tree: Tree = {}
    for text in expressions:
        for column in sqlglot.parse_one(f"SELECT {text}", dialect="spark").find_all(exp.Column):
            here = tree
            for part in _parts(column):
                here = here.setdefault(part, {})
    for name in tree:
        if name.startswith("_file") or name in (CORRUPT, "_raw"):
            raise ConfigError(f"a source's column cannot be named {name}: that name is taken")
    return tree


def _parts(column: exp.Column) -> list[str]:
    """``a.b.c`` as its names, also where it is deeper than a table's column may be."""
    names = [part.name for part in column.parts]
    above = column.parent
    while isinstance(above, exp.Dot):
        names.append(above.expression.name)
        above = above.parent
    return names


def _type(below: Tree) -> str:
    return f"STRUCT<{', '.join(f'`{name}`: {_type(deeper)}' for name, deeper in below.items())}>" if below else "STRING"
