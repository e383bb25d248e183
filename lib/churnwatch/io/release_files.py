"""What scoring needs of a release, copied beside the tables, so that scoring works while the tracking server is down."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

NEEDED = ("model.txt", "calibration.json", "schema.json")
REFERENCE = "reference.json"  # releases of older versions have none
OWNER = "mlflow_run_id"


@dataclass(frozen=True)
class Release:
    """A released model: its text, and its calibration, schema and reference as JSON objects; older releases have no reference."""

    version: str
    text: str
    calibration: dict[str, Any]
    schema: dict[str, Any]
    reference: dict[str, Any] | None = None

    @staticmethod
    def of(version: str, texts: Mapping[str, str]) -> "Release":
        """The release of these artifacts, by file name."""
        text, calibration, schema = (texts[name] for name in NEEDED)
        reference = json.loads(texts[REFERENCE]) if REFERENCE in texts else None
        return Release(version, text, json.loads(calibration), json.loads(schema), reference)


class ReleaseFiles:
    """Copies of releases, a folder each under ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, version: str) -> Path:
        """Where the copy of the release lies."""
        return self.root / version

    def read(self, version: str, mlflow_run_id: str) -> dict[str, str] | None:
        """The copied artifacts by file name; None where they are not there, or are those of another MLflow run."""
        try:
            folder = os.open(self.folder(version), os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            texts = {name: _text(folder, name) for name in os.listdir(folder) if name in (OWNER, *NEEDED, REFERENCE)}
        except FileNotFoundError:  # another process replaces the copy at this moment
            return None
        finally:
            os.close(folder)
        return texts if texts.pop(OWNER, None) == mlflow_run_id and set(NEEDED) <= set(texts) else None

    def write(self, version: str, mlflow_run_id: str, texts: Mapping[str, str]) -> None:
        """Write the copy beside its place and move it there, so that other processes read a whole copy, the old one or none."""
        folder, mark = self.folder(version), uuid4().hex
        new, old = (self.root / f".{version}.{mark}.{which}" for which in ("new", "old"))
        new.mkdir(parents=True)
        for name in (*NEEDED, REFERENCE):
            if name in texts:
                (new / name).write_text(texts[name], encoding="utf-8")
        (new / OWNER).write_text(mlflow_run_id, encoding="utf-8")
        try:
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        except OSError:
            if not folder.exists():  # else another process has just written the copy
                raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def _text(folder: int, name: str) -> str:
    """The text of a file of an open folder, also when another folder has taken its place meanwhile."""
    with open(name, encoding="utf-8", opener=lambda path, flags: os.open(path, flags, dir_fd=folder)) as file:
        return file.read()


def artifacts_hash(texts: Mapping[str, str]) -> str:
    """The first 16 digits of the SHA-256 of the artifacts that scoring needs."""
    digest = hashlib.sha256()
    for name in (*NEEDED, REFERENCE):
        digest.update(f"{name}\n{texts.get(name, '')}\n".encode())
    return digest.hexdigest()[:16]
