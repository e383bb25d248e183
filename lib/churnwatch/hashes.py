"""Hashes of the configuration and of the code, which job_runs keeps beside each run."""

import hashlib
import importlib.resources
from collections.abc import Iterator
from functools import cache
from typing import Any

from churnwatch.settings import Settings


def config_hash(settings: Settings) -> str:
    """Hash of all settings but those of where the system runs and what the simulator plants."""
    text = settings.model_dump_json(exclude={"spark", "storage", "mlflow", "sending", "runs", "planted"})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def code_hash() -> str:
    """Hash of the package's Python files."""
    digest = hashlib.sha256()
    for folder in sorted(_folders(importlib.resources.files("churnwatch")), key=lambda f: str(f)):
        for file in sorted(folder.iterdir(), key=lambda f: f.name):
            if file.name.endswith(".py"):
                digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _folders(folder: Any) -> Iterator[Any]:
    yield folder
    for child in folder.iterdir():
        if child.is_dir() and not child.name.startswith("_"):
            yield from _folders(child)
