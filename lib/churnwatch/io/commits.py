"""Commits of Delta tables in local folders, read as files: much cheaper than a Spark query."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

COMMITS = 20  # of other writers that may lie after ours, or before it since we looked


def commit_files(path: str) -> list[Path]:
    """Commits of a local table, oldest first: files named by version (Delta protocol); 300 ms cheaper than DESCRIBE HISTORY."""
    return sorted(file for file in Path(urlparse(path).path, "_delta_log").glob("*.json") if file.stem.isdigit())


def commit_info(file: Path) -> dict[str, Any]:
    """The commitInfo of a commit: userMetadata, operation and its metrics."""
    with file.open(encoding="utf-8") as lines:
        return next((dict(action["commitInfo"]) for action in map(json.loads, lines) if "commitInfo" in action), {})


def commits_from(spark: Any, path: str | None, sql_name: str, first: int, most: int) -> list[tuple[int, dict[str, Any]]]:
    """The commits ``first`` and later of a table, oldest first, with their stamps ({}: none); the newest ``most``."""
    if path and is_local(path):
        files = [file for file in commit_files(path) if int(file.stem) >= first][-most:]
        found = [(int(file.stem), commit_info(file).get("userMetadata")) for file in files]
    else:
        rows = spark.sql(f"DESCRIBE HISTORY {sql_name} LIMIT {most}").collect()
        found = [(int(row["version"]), row["userMetadata"]) for row in reversed(rows) if row["version"] >= first]
    return [(version, json.loads(metadata or "{}")) for version, metadata in found]


def is_local(path: str) -> bool:
    """Whether ``path`` lies on a local file system."""
    return urlparse(path).scheme in ("", "file")
