"""What scoring needs of a release, copied beside the tables, so that scoring works while the tracking server is down."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        folder = self.folder(version)
        owner = folder / OWNER
        if not owner.is_file() or owner.read_text(encoding="utf-8") != mlflow_run_id:
            return None
        there = [name for name in (*NEEDED, REFERENCE) if (folder / name).is_file()]
        return {name: (folder / name).read_text(encoding="utf-8") for name in there} if set(NEEDED) <= set(there) else None

    def write(self, version: str, mlflow_run_id: str, texts: Mapping[str, str]) -> None:
        """Copy the artifacts; the run's id is written last, because it makes the copy valid."""
        folder = self.folder(version)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in (*NEEDED, REFERENCE):
            if name in texts:
                (folder / name).write_text(texts[name], encoding="utf-8")
        (folder / OWNER).write_text(mlflow_run_id, encoding="utf-8")


def artifacts_hash(texts: Mapping[str, str]) -> str:
    """The first 16 digits of the SHA-256 of the artifacts that scoring needs."""
    digest = hashlib.sha256()
    for name in (*NEEDED, REFERENCE):
        digest.update(f"{name}\n{texts.get(name, '')}\n".encode())
    return digest.hexdigest()[:16]
