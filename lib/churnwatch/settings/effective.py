"""The effective configuration: each key with its value, and where the value comes from."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from churnwatch.settings.load import KeyPath, load_with_origins, masked

DEFAULT = "default"
USER_OF_URI = re.compile(r"://[^/@\s\"]+@")


@dataclass(frozen=True)
class Value:
    """A key, its value as JSON with secrets masked, and its origin: ``file:line``, ``--set key``, or ``default``."""

    key: str
    text: str
    origin: str


def effective(config: str | Path, sets: Sequence[str] = ()) -> list[Value]:
    """Return every key of the configuration in the order of its documents. Raises ConfigError as ``load`` does."""
    settings, origins, secrets = load_with_origins(config, sets)
    found = []
    for path, value in _leaves((), settings):
        text = USER_OF_URI.sub("://***@", masked(json.dumps(value, ensure_ascii=False, default=str), secrets))
        found.append(Value(".".join(map(str, path)), text, origins.exactly(path) or DEFAULT))
    return found


def _leaves(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    """Each key whose value has no keys below it; an empty list or mapping counts as a value."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _leaves((*path, field.alias or name), getattr(value, name))
    elif isinstance(value, dict) and value:
        for name, below in value.items():
            yield from _leaves((*path, name), below)
    elif isinstance(value, list | tuple) and any(isinstance(one, BaseModel | dict) for one in value):
        for number, below in enumerate(value):
            yield from _leaves((*path, number), below)
    else:
        yield path, list(value) if isinstance(value, tuple) else value
