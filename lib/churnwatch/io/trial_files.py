"""Finished trials of an attempt to train, as files: an attempt that is repeated after a crash reuses them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4


class TrialFiles:
    """The trials of one run, a JSON file each under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> dict[str, Any] | None:
        """The trial; None where there is no whole file."""
        try:
            return dict(json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8")))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def write(self, name: str, trial: Mapping[str, Any]) -> None:
        """Write the trial, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{name}.{uuid4().hex}.part"
        part.write_text(json.dumps(trial), encoding="utf-8")
        part.replace(self.folder / f"{name}.json")

    def delete(self) -> None:
        """Delete all trials of the run."""
        shutil.rmtree(self.folder, ignore_errors=True)
