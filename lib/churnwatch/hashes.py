"""Hashes of the configuration and of the code, which job_runs keeps beside each run."""

import hashlib
import importlib.resources
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any

from churnwatch.reading import Step
from churnwatch.settings import Settings

ELSEWHERE = ("spark", "storage", "mlflow", "sending", "runs", "planted", "maintenance")
PLACES = ("path", "table")  # keys of a source that say where its rows lie


def config_hash(settings: Settings) -> str:
    """Hash of all settings that decide what is computed: not of where the system runs, where its files, keys and input lie,
    or what the simulator plants."""
    text = json.dumps(
        _without_places(settings.model_dump(mode="json", exclude=dict.fromkeys(ELSEWHERE, True) | {"privacy": {"id_key"}})),
        sort_keys=True,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_places(tree: dict[str, Any]) -> dict[str, Any]:
    def placed(source: Any) -> Any:
        return {key: value for key, value in source.items() if key not in PLACES} if isinstance(source, dict) else source

    sources = {
        name: [placed(one) for one in part] if name == "events" else placed(part)
        for name, part in tree.get("sources", {}).items()
    }
    experiments = {name: placed(part) for name, part in tree.get("experiments", {}).items()}
    return tree | {"sources": sources, "experiments": experiments}


def content_id(step: Step, inputs: Sequence[tuple[str, int | None, date | None, date]], settings: Settings) -> str:
    """Hash of the days, the configuration, the code and the versions of the tables that the job reads and does not write."""
    own = {t.name for t in step.job.writes}
    versions = sorted((i[0], i[1]) for i in inputs if i[0] not in own)
    text = json.dumps([step.job.full_name, [str(d) for d in step.days], config_hash(settings), code_hash(), versions])
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def meaning_hashes(meaning: Mapping[str, str]) -> dict[str, str]:
    """Hash of what each column means, by column."""
    return {name: hashlib.sha256(text.encode()).hexdigest()[:8] for name, text in meaning.items()}


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
