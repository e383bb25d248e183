"""Look for damage in the folders of local Delta tables: the files of the log, and the data files that it names."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.parquet as pq

from churnwatch.io.commits import commit_files
from churnwatch.io.local_tables import table_files

LAST_CHECKPOINT = "_last_checkpoint"


def damage(path: str, version: int) -> Iterator[str]:
    """Yield what is damaged in the table in the local folder ``path``: one text for each file, and one for all data files that
    are missing. ``version``: the table's newest version."""
    folder = Path(urlparse(path).path)
    faults = list(_log_damage(folder / "_delta_log", commit_files(path)))
    yield from faults
    if faults or (found := table_files(path, version)) is None:
        return
    missing = [file for file in found.files if not (folder / file).is_file()]
    if missing:
        yield f"{len(missing)} of {len(found.files)} data files are missing, such as {missing[0]}"


def _log_damage(log: Path, commits: list[Path]) -> Iterator[str]:
    last = log / LAST_CHECKPOINT
    if last.exists() and not _is_json(last):
        yield f"{LAST_CHECKPOINT} is no JSON"
    checkpoints = sorted(file for file in log.glob("*.checkpoint*.parquet") if file.name[:20].isdigit())
    newest = checkpoints[-1] if checkpoints else None
    if newest is not None and not _is_parquet(newest):
        yield f"checkpoint {newest.name} is no Parquet file"
    after = int(newest.name[:20]) if newest is not None else -1
    versions = [int(file.stem) for file in commits if int(file.stem) > after]
    if versions and (lost := sorted(set(range(after + 1, versions[-1])) - set(versions))):
        yield f"commit {lost[0]} is missing"
    for file in commits:
        if int(file.stem) > after and not all(_is_json_text(line) for line in file.read_text(encoding="utf-8").splitlines()):
            yield f"commit {file.name} is no JSON"


def _is_parquet(file: Path) -> bool:
    try:
        pq.read_metadata(file)
    except (OSError, pa.ArrowException):
        return False
    return True


def _is_json(file: Path) -> bool:
    return _is_json_text(file.read_text(encoding="utf-8", errors="replace"))


def _is_json_text(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
