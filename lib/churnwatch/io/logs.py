"""Look at an unknown log: list its files, read their first rows, and collect small aggregates over all rows."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from churnwatch.core import ConfigError
from churnwatch.io.sources import Sources
from churnwatch.settings import Settings, Source
from churnwatch.settings.load import absolute_jars

HEAD = 2000  # first rows that are read
TEXT = r"(csv|tsv|tab|psv|txt|text|log|dat|data|json|jsonl|ndjson)(\.(gz|bz2|deflate))?"
PARQUET = r"(parquet|pq)"
# endings of files that Spark cannot read -> what to do
UNREADABLE = {
    "xlsx xls ods": "save the sheet as CSV",
    "zip 7z rar tar tgz": "unpack it; single files may stay compressed as .gz",
    "zst lz4 br xz": "pack it as .gz",
    "db sqlite sqlite3 duckdb": "export the table as Parquet or CSV",
    "feather arrow pkl pickle rds": "write it as Parquet",
    "xml html avro orc": "convert it to Parquet, JSON lines or CSV",
}


class Logs:
    """List files, read first rows and collect small frames. It only reads."""

    def __init__(self, spark: SparkSession, settings: Settings) -> None:
        self._spark = spark
        self._sources = Sources(spark, settings)

    def files(self, place: str) -> list[tuple[str, list[str]]]:
        """Return the files of a file or folder per format (delta, parquet, text), sorted; of a Delta table its folder.

        Raises ConfigError when nothing exists there, or no file can be read.
        """
        here = place if "://" in place else str(Path(place).expanduser().resolve())
        if self._is_delta(here):
            return [("delta", [here])]
        try:
            uris = self._spark.read.option("recursiveFileLookup", "true").text(here).inputFiles()
        except AnalysisException as error:
            raise ConfigError(f"--from {place}: nothing exists at {here}") from error
        found = sorted(re.sub(r"^file:/+", "/", unquote(uri)) for uri in uris)
        named = len(found) == 1 and found[0].rstrip("/") == here.rstrip("/")
        data = {kind: [f for f in found if re.search(rf"\.{kind}$", f.lower())] for kind in (PARQUET, TEXT)}
        data[TEXT] += [f for f in found if re.fullmatch(r"part-[^.]*", f.rpartition("/")[2])]
        if any(data.values()):
            return [(format_, sorted(data[kind])) for format_, kind in (("parquet", PARQUET), ("text", TEXT)) if data[kind]]
        for endings, advice in UNREADABLE.items():
            if bad := [f for f in found if f.lower().rpartition(".")[2] in endings.split()]:
                raise ConfigError(f"--from {place}: {bad[0]} cannot be read: {advice}")
        if named:
            return [("text", found)]
        raise ConfigError(f"--from {place}: no CSV, JSON or Parquet file among {len(found)} files; name the files themselves")

    def _is_delta(self, place: str) -> bool:
        if "://" not in place:
            return (Path(place) / "_delta_log").is_dir()
        try:
            self._spark.sql(f"DESCRIBE DETAIL delta.`{place}`")
        except Exception:  # not a Delta table; Spark raises several types of errors
            return False
        return True

    def lines(self, file: str) -> tuple[list[str], str | None]:
        """Return the first lines of a text file, and its encoding when that is not UTF-8."""
        lines = [row[0] for row in self._spark.read.text(file).limit(HEAD).collect()]
        if not any("\ufffd" in line for line in lines):
            return lines, None
        encoding = "ISO-8859-1"  # it decodes every byte
        reader = self._spark.read.option("encoding", encoding).option("sep", "\u0001").option("quote", "")
        return [row[0] or "" for row in reader.csv(file).limit(HEAD).collect()], encoding

    def records(self, format_: str, file: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """Return the first rows of a typed file, and the type of each column, nested ones by ``outer.inner``."""
        frame = self._spark.read.format(format_).load(file)
        kinds: dict[str, str] = {}
        for name, kind in _kinds(frame):
            kinds[name] = kind
        return [row.asDict(recursive=True) for row in frame.limit(HEAD).collect()], kinds

    def rows(self, source: Source) -> DataFrame:
        """Return all rows of ``source`` as ingest reads them. Raises ConfigError when it has no file."""
        found = self._sources.find_rows(source, [])
        if found is None:
            raise ConfigError(f"source {source.name}: nothing exists at {source.path}")
        return found

    def collect_small(self, frame: DataFrame) -> list[dict[str, Any]]:
        """Collect a frame whose number of rows does not grow with the log."""
        return [row.asDict() for row in frame.collect()]


def _kinds(frame: DataFrame) -> list[tuple[str, str]]:
    kinds = []
    for field in frame.schema.fields:
        kinds.append((field.name, field.dataType.simpleString()))
        if isinstance(field.dataType, StructType):
            kinds += [(f"{field.name}.{f.name}", f.dataType.simpleString()) for f in field.dataType.fields]
    return kinds


def plain_name(place: str) -> str:
    """Turn a file or folder into a name: lower case, without endings and special characters."""
    last = re.sub(r"[*{}?\\[\\]]", "", place.rstrip("/").rpartition("/")[2]) or Path.cwd().name
    return re.sub(r"[^a-z0-9]+", "_", last.partition(".")[0].lower()).strip("_") or "events"


def spark_settings(config: str) -> dict[str, Any]:
    """Read the Spark settings of a config file, with absolute paths of JARs."""
    tree = yaml.safe_load(Path(config).read_text(encoding="utf-8")) or {}
    settings = dict(tree.get("spark") or {})
    if jars := settings.get("spark.jars"):
        settings["spark.jars"] = absolute_jars(jars, Path(config).parent)
    return settings


def write_new(folder: Path, files: Mapping[str, str], config: Path, config_text: str) -> None:
    """Write ``files`` into a new folder, and the config. Raises ConfigError when either exists."""
    check_new([folder, config])
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    with config.open("x", encoding="utf-8") as out:
        out.write(config_text)


def check_new(places: Sequence[Path]) -> None:
    """Raise ConfigError when one of ``places`` exists, because nothing is overwritten."""
    for place in places:
        if place.exists():
            raise ConfigError(f"{place} exists and is not overwritten. Hint: give --out another folder, or move it away")
