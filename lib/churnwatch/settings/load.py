"""Read the configuration into ``Settings``, or report every fault of every file at once."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlparse

import yaml
from pydantic import BaseModel, ValidationError

from churnwatch.core.errors import ConfigError
from churnwatch.settings.check import Fault, cross_faults
from churnwatch.settings.root import Settings
from churnwatch.settings.secrets import remember_secrets
from churnwatch.settings.sending import written_secrets

# file of the domain folder -> the key of Settings that it fills
NEEDED_FILES = ("sources", "measures", "churn", "tiers")
DOMAIN_FILES = (*NEEDED_FILES, "money", "model", "rules", "causes", "owners", "offers", "experiments", "planted")
REFERENCE = re.compile(r"\{([a-z_]+(?:\.[a-z_]+)+|domain)\}")
SHORTEST_MASKED = 4  # characters; shorter secrets are not masked in other faults, because they would be found everywhere
SECRET = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")

KeyPath = tuple[str | int, ...]


class Origins:
    """The file and line of each key of the merged tree."""

    def __init__(self) -> None:
        self._places: dict[KeyPath, tuple[str, int]] = {}
        self._fixed: frozenset[KeyPath] = frozenset()

    def add(self, path: KeyPath, file: str, line: int) -> None:
        """Record that ``path`` is in ``file`` at ``line``; it replaces what was recorded before, until ``lower_layer``."""
        if path not in self._fixed:
            self._places[path] = (file, line)

    def lower_layer(self) -> None:
        """From now on keep what is recorded, because the layers that follow are overridden by those so far."""
        self._fixed = frozenset(self._places)

    def exactly(self, path: Sequence[str | int]) -> str | None:
        """``file:line`` of the key, or of the nearest key above it that was given as one value; None: a default."""
        for end in range(len(path), 0, -1):
            if place := self._places.get(tuple(path[:end])):
                # a key above it that has keys of its own in the files does not name this one
                return None if self._has_keys_below(path[:end]) and end < len(path) else _shown(place)
        return None

    def _has_keys_below(self, path: Sequence[str | int]) -> bool:
        return any(len(known) > len(path) and known[: len(path)] == tuple(path) for known in self._places)

    def at(self, path: Sequence[str | int]) -> str:
        """``file:line`` of the key, or of the nearest key above it that a file has."""
        for end in range(len(path), -1, -1):
            if place := self._places.get(tuple(path[:end])):
                return f"{place[0]}:{place[1]}"
        return "configuration"


def _shown(place: tuple[str, int]) -> str:
    return place[0] if place[0].startswith("--set") else f"{place[0]}:{place[1]}"


def load(config: str | Path, sets: Sequence[str] = ()) -> Settings:
    """Load ``config`` (conf/<where>.yaml), the files of its domain folder, and ``key=value`` overrides.

    Raises ConfigError, which lists every fault with file, line, key, value and the nearest valid key.
    """
    return load_with_origins(config, sets)[0]


def load_with_origins(config: str | Path, sets: Sequence[str] = ()) -> tuple[Settings, Origins, Mapping[str, str]]:
    """Load as ``load`` does; also return the origin of each key, and secret values with what to print in their place.

    Raises ConfigError as ``load`` does.
    """
    origins = Origins()
    faults: list[Fault] = []
    where = _read(Path(config), origins, (), faults)
    if isinstance(spark := where.get("spark"), dict) and isinstance(jars := spark.get("spark.jars"), str):
        where["spark"] = spark | {"spark.jars": absolute_jars(jars, Path(config).parent)}
    overrides = _overrides(sets, origins, faults)
    domain = overrides.get("domain", where.get("domain"))
    origins.lower_layer()
    tree: dict[str, Any] = {}
    if folder := _domain_folder(domain, Path(config), origins, faults):
        for name in DOMAIN_FILES:
            if (file := folder / f"{name}.yaml").exists():
                tree[name] = _read(file, origins, (name,), faults)
            elif name in NEEDED_FILES:
                faults.append(
                    Fault(
                        f"{folder}",
                        f"{name}.yaml is missing. Hint: a domain folder needs {', '.join(f'{n}.yaml' for n in NEEDED_FILES)}",
                    )
                )
    tree = _merge(_merge(tree, where), overrides)
    secrets = _secrets(tree)
    remember_secrets(secrets)
    for below, value in written_secrets(tree.get("sending")):
        path, name = ("sending", *below), re.sub(r"\W", "_", "_".join(below[-2:])).upper()
        text = f"is a secret that is written out; write ${{{name}}} in its place, and set the environment variable {name}"
        faults.append(Fault(origins.at(path), f"{'.'.join(path)}: {text}"))
        secrets |= {value: "***"} if len(value) >= SHORTEST_MASKED else {}
    settings = _typed(_resolved(tree, tree, (), origins, faults), origins, faults, secrets)
    if settings is not None:
        faults += [Fault(origins.at(path), text) for path, text in cross_faults(settings)]
    if faults or settings is None:
        text = "\n".join([f"{len(faults)} fault(s) in the configuration:", *(f"  {f}" for f in faults)])
        raise ConfigError(masked(text, secrets))
    return settings, origins, secrets


def absolute_jars(jars: str, folder: Path) -> str:
    """Make the relative paths among the comma-separated ``jars`` absolute. They start at ``folder``, which holds the
    configuration file, because the JARs belong to the installation and not to the folder that a command is typed in."""
    parts = (jar.strip() for jar in jars.split(","))
    return ",".join(jar if urlparse(jar).scheme else os.path.abspath(folder / jar) for jar in parts if jar)


def _secrets(tree: Any) -> dict[str, str]:
    """Value of each environment variable that the files name -> ``${NAME}``; also as repr() writes the value."""
    named = {name: os.environ.get(name) for name in sorted(set(SECRET.findall(str(tree))))}
    return {shown: f"${{{name}}}" for name, value in named.items() if value for shown in (value, repr(value)[1:-1])}


def masked(text: str, secrets: Mapping[str, str]) -> str:
    """``text`` with secrets replaced by the names of their variables, so that no fault prints a secret."""
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, secrets[value])
    return text


def _read(file: Path, origins: Origins, prefix: KeyPath, faults: list[Fault]) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        node, tree = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except OSError as error:
        faults.append(Fault(str(file), f"cannot be read: {error.strerror}"))
        return {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        faults.append(Fault(f"{file}:{mark.line + 1 if mark else 1}", f"is not YAML: {getattr(error, 'problem', error)}"))
        return {}
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        faults.append(Fault(f"{file}:1", "must hold keys and values, as `key: value`"))
        return {}
    origins.add(prefix, str(file), 1)
    for path, line in _lines(node, prefix, faults, file):
        origins.add(path, str(file), line)
    return tree


def _lines(node: yaml.Node | None, path: KeyPath, faults: list[Fault], file: Path) -> Iterator[tuple[KeyPath, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                faults.append(
                    Fault(f"{file}:{key.start_mark.line + 1}", f"key {key.value!r} is given twice. Hint: keep one of them")
                )
            seen.add(key.value)
            yield (*path, key.value), key.start_mark.line + 1
            yield from _lines(value, (*path, key.value), faults, file)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _lines(value, (*path, index), faults, file)


def _overrides(sets: Sequence[str], origins: Origins, faults: list[Fault]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for text in sets:
        key, found, value = text.partition("=")
        if not found:
            faults.append(Fault("--set", f"{text!r} is not key=value. Hint: --set model.max_evals=2"))
            continue
        # a Spark setting's own name holds dots
        path = ("spark", key.removeprefix("spark.")) if key.startswith("spark.spark.") else tuple(key.split("."))
        here = tree
        for part in path[:-1]:
            here = here.setdefault(part, {})
        here[path[-1]] = yaml.safe_load(value) if value else value
        for end in range(1, len(path) + 1):
            origins.add(path[:end], f"--set {key}", 1)
    return tree


def _domain_folder(domain: Any, config: Path, origins: Origins, faults: list[Fault]) -> Path | None:
    if not isinstance(domain, str):
        faults.append(
            Fault(origins.at(("domain",)), "domain must name a folder under domains/, or the path of a folder. Hint: domain: app")
        )
        return None
    places = [config.parent / "domains" / domain, config.parent / domain, Path(domain)]
    for place in places:
        if place.is_dir():
            return place
    faults.append(
        Fault(
            origins.at(("domain",)),
            f"domain {domain!r} is not a folder; looked at {', '.join(map(str, places))}",
        )
    )
    return None


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _resolved(value: Any, tree: Mapping[str, Any], path: KeyPath, origins: Origins, faults: list[Fault]) -> Any:
    if isinstance(value, dict):
        return {k: _resolved(v, tree, (*path, k), origins, faults) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolved(v, tree, (*path, i), origins, faults) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def referred(match: re.Match[str]) -> str:
        found: Any = tree
        for part in match[1].split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if not isinstance(found, str):
            faults.append(
                Fault(
                    origins.at(path),
                    f"{'.'.join(map(str, path))}: {match[0]} is not a key with a text. Hint: name one, as {{storage.files}}",
                )
            )
            return match[0]
        return Path(found).name if match[1] == "domain" else _resolved(found, tree, path, origins, faults)

    def secret(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            faults.append(
                Fault(
                    origins.at(path),
                    f"{'.'.join(map(str, path))}: environment variable {match[1]} is not set. Hint: export {match[1]}=...",
                )
            )
        return os.environ.get(match[1], "")

    return SECRET.sub(secret, REFERENCE.sub(referred, value))


def _typed(tree: Mapping[str, Any], origins: Origins, faults: list[Fault], secrets: Mapping[str, str]) -> Settings | None:
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        for one in error.errors():
            faults.append(_typed_fault(one, origins, secrets))
        return None


def _typed_fault(one: Any, origins: Origins, secrets: Mapping[str, str]) -> Fault:
    path = one["loc"]
    key = ".".join(map(str, path)) or "configuration"
    if one["type"] == "extra_forbidden":
        near = get_close_matches(str(path[-1]), _keys_at(path[:-1]), n=1, cutoff=0.0)
        return Fault(
            origins.at(path),
            f"{key}: unknown key (value {one['input']!r})" + (f"; did you mean {near[0]!r}?" if near else ""),
        )
    if one["type"] == "missing":
        return Fault(origins.at(path), f"{key}: is missing")
    value = masked(repr(one["input"]), secrets)  # before it is cut
    value = value if len(value) <= 80 else value[:77] + "..."
    return Fault(origins.at(path), f"{key}: {one['msg'].removeprefix('Value error, ')} (value {value})")


def _keys_at(path: Sequence[str | int]) -> list[str]:
    """Valid keys of the settings at ``path``; empty where names are free."""
    model: Any = Settings
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(str(part)) or next((f for f in model.model_fields.values() if f.alias == part), None)
            model = field.annotation if field else None
        else:
            model = next((a for a in reversed(get_args(model)) if a is not type(None)), None)
        while model is not None and type(None) in get_args(model):
            model = next(a for a in get_args(model) if a is not type(None))
    if isinstance(model, type) and issubclass(model, BaseModel):
        return [f.alias or name for name, f in model.model_fields.items()]
    return []
