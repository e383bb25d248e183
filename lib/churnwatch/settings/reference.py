"""Describe every key of every configuration file: JSON schemas for editors, and docs/configuration.md."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from churnwatch.settings.base import Name
from churnwatch.settings.experiments import Experiment
from churnwatch.settings.load import DOMAIN_FILES
from churnwatch.settings.root import Settings

Json = dict[str, Any]

UNITS = {
    "days": "days",
    "weeks": "weeks",
    "months": "months",
    "minutes": "minutes",
    "seconds": "seconds",
    "s": "seconds",
    "hours": "hours",
    "cents": "cents",
    "share": "share",
    "psi": "PSI",
    "margin": "AUC",
    "auc": "AUC",
    "users": "users",
    "depth": "levels",
}
LONGEST = 80  # characters of an example
RANGES = {"minimum": ">= {}", "exclusiveMinimum": "> {}", "maximum": "<= {}", "exclusiveMaximum": "< {}"}
INTRODUCTION = """# Configuration

Written by `churnwatch docs` from the settings' own types: change the texts there. `conf/schema/` holds the same as JSON
schemas; an editor with the YAML language server checks and completes the files by their first line.

- `conf/<where>.yaml` says where churnwatch runs. Its key `domain` names the folder that says what things mean:
  `sources.yaml`, `measures.yaml`, `churn.yaml` and `tiers.yaml`, and where wanted the other files below.
- `conf/<where>.yaml` may override keys of the domain's files (`model: {max_evals: 2}`), and `--set key=value` overrides both
  (`--set model.max_evals=2`).
- `{storage.files}` in a value stands for another text key, `{domain}` for the domain's name, `${NAME}` for an environment
  variable. Secrets are only ever given as environment variables.
- A fault stops every command before Spark starts, with exit code 2; all faults are listed at once, each with file and line.
- `<name>` stands for a name that you choose, `[]` for each entry of a list. A key without a default is required.

Examples come from the shipped files in `conf/` where these use the key."""


def schemas() -> dict[str, Json]:
    """JSON schema of each file: ``environment`` for conf/<where>.yaml, and one per file of the domain folder."""
    root = Settings.model_json_schema()
    found = {"environment": _environment(root)}
    for name in DOMAIN_FILES:
        if name == "experiments":
            schema = TypeAdapter(dict[Name, Experiment]).json_schema()
        else:
            schema = _part(Settings.model_fields[name].annotation)
        found[name] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return found


def editor_schemas() -> dict[str, str]:
    """The text of each schema file, by its name in conf/schema."""
    return {name: json.dumps(schema, indent=1, ensure_ascii=False) for name, schema in schemas().items()}


def _part(model: Any) -> Json:
    return model.model_json_schema()


def _environment(root: Json) -> Json:
    """The schema of conf/<where>.yaml: keys of the domain's files are optional and open there, since they only override."""
    properties = {
        key: {"type": "object", "description": f"Overrides keys of {key}.yaml."} if key in DOMAIN_FILES else value
        for key, value in root["properties"].items()
    }
    required = [key for key in root["required"] if key not in DOMAIN_FILES]
    schema = {**root, "properties": properties, "required": required}
    used = _references({**schema, "$defs": {}}, root["$defs"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "$defs": {name: part for name, part in root["$defs"].items() if name in used},
    }


def _references(schema: Any, definitions: Json) -> set[str]:
    """Definitions that ``schema`` uses, directly or through others."""
    found = set(re.findall(r"#/\$defs/(\w+)", json.dumps(schema)))
    return found.union(*(_references(definitions[name], definitions) for name in found))


def markdown(conf: Path) -> str:
    """docs/configuration.md: a section per file, a table per part. ``conf``: folder with the shipped files, for examples."""
    examples = _examples(conf)
    lines = [INTRODUCTION]
    for name, schema in schemas().items():
        lines += ["", f"## {'conf/<where>.yaml' if name == 'environment' else f'{name}.yaml'}"]
        found: dict[str, tuple[list[str], Json]] = {}
        for path, part in _parts(schema, schema, ""):
            # a part that is used in several places is described once
            found.setdefault(json.dumps(part), ([], part))[0].append(path)
        for paths, part in found.values():
            lines += ["", f"### {', '.join(paths)}"] if any(paths) else []
            lines += ["", _plain(part.get("description", "")), ""]
            lines += ["| key | type | default | unit | meaning | example |", "| --- | --- | --- | --- | --- | --- |"]
            needed = part.get("required", ())
            for key, value in sorted(part["properties"].items(), key=lambda item: item[0] not in needed):
                known = (examples.get(f"{name}:{path}.{key}" if path else f"{name}:{key}") for path in paths)
                lines.append(_row(key, value, schema, key in needed, next((one for one in known if one is not None), None)))
    return "\n".join(lines)


def _parts(node: Json, schema: Json, path: str, seen: frozenset[str] = frozenset()) -> Iterator[tuple[str, Json]]:
    """Objects with named keys, with their paths, from the outside in."""
    below = "<name>" if "properties" not in node else ""
    if not below:
        yield path, node
    children: Json = node["properties"] if not below else {below: _open(node)}
    for key, value in children.items():
        name, suffix = _object_of(value)
        if name and name not in seen:
            inside = f"{path}.{key}{suffix}" if path else f"{key}{suffix}"
            yield from _parts(schema["$defs"][name], schema, inside, seen | {name})


def _open(value: Json) -> Json | None:
    """The schema of the entries of an object whose names are free."""
    found = [value.get("additionalProperties"), *value.get("patternProperties", {}).values()]
    return next((one for one in found if isinstance(one, dict)), None)


def _object_of(value: Json) -> tuple[str | None, str]:
    """The definition that a key holds, and how its entries are reached: '', '[]' or '.<name>'."""
    for one in (value, *value.get("anyOf", ())):
        if "$ref" in one:
            return one["$ref"].rsplit("/", 1)[1], ""
        for entry, suffix in ((one.get("items"), "[]"), (_open(one), ".<name>")):
            if entry and (name := _object_of(entry)[0]):
                return name, suffix
    return None, ""


def _row(key: str, value: Json, schema: Json, required: bool, example: Any) -> str:
    kind, (name, _) = _type(value), _object_of(value)
    text, default, shown = value.get("description", ""), _literal(value.get("default")), ""
    if name:  # its keys have a table of their own
        text, default = text or schema["$defs"][name].get("description", ""), "null" if default == "null" else "see below"
    elif "default" in value or required or "examples" in value:
        shown = _literal(next((one for one in (example, *value.get("examples", ())) if one is not None), value.get("default")))
    cells = [f"`{key}`", kind, "required" if required else default, _unit(key, kind), _plain(text), shown]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(value: Json) -> str:
    """The type of a key in words."""
    if "anyOf" in value:
        return " or ".join(_type(one) for one in value["anyOf"] if one.get("type") != "null")
    if "$ref" in value:
        return "keys"
    if "enum" in value:
        return "one of " + ", ".join(f"`{one}`" for one in value["enum"])
    if "prefixItems" in value:
        return f"list of {len(value['prefixItems'])} {_type(value['prefixItems'][0])}s"
    if value.get("type") == "array":
        return f"list of {_type(value['items'])}"
    if value.get("type") == "object":
        below = _open(value)
        return f"{_type(below)} by name" if below else "any keys"
    plain = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}
    kind = plain.get(value.get("type", ""), "any")
    kind = {"date": "date", "": kind}.get(value.get("format", ""), kind)
    kind = "name" if "pattern" in value else kind
    bounds = ", ".join(text.format(f"{value[bound]:g}") for bound, text in RANGES.items() if bound in value)
    return f"{kind} {bounds}".strip()


def _unit(key: str, kind: str) -> str:
    if not re.search("integer|number", kind) or "any" in kind:
        return ""
    return next((UNITS[part] for part in reversed(key.split("_")) if part in UNITS), "")


def _literal(value: Any) -> str:
    """A value as YAML has it, on one line; of a long list or mapping the first entry."""
    if value is None:
        return "null"
    if value == "":
        return "empty"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) > LONGEST and isinstance(value, dict | list) and len(value) > 1:
        first = dict([next(iter(value.items()))]) if isinstance(value, dict) else value[:1]
        text = json.dumps(first, ensure_ascii=False)
    return f"`{text}`"


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("``", "`").replace("\n- ", "<br>- ")).strip()


def _examples(conf: Path) -> dict[str, Any]:
    """First value of each key in the shipped files, by ``file:path`` as the document writes paths."""
    files = [("environment", conf / f"{where}.yaml") for where in ("local", "cluster", "databricks")]
    files += [(n, conf / "domains" / domain / f"{n}.yaml") for domain in ("app", "ecommerce", "telecom") for n in DOMAIN_FILES]
    found: dict[str, Any] = {}
    known = schemas()
    for name, file in files:
        if file.exists():
            schema = known[name]
            for path, value in _values(yaml.safe_load(file.read_text(encoding="utf-8")), schema, schema, ""):
                if value is not None:
                    found.setdefault(f"{name}:{path}", value)
    return found


def _values(value: Any, node: Json, schema: Json, path: str) -> Iterator[tuple[str, Any]]:
    """Every value of a file with its path, names and places in lists left open."""
    if "properties" not in node:
        for one in value.values():
            yield from _values(one, schema["$defs"][_object_of(node)[0]], schema, "<name>")
        return
    for key, below in value.items() if isinstance(value, dict) else ():
        inside = f"{path}.{key}" if path else key
        yield inside, str(below) if hasattr(below, "isoformat") else below
        name, suffix = _object_of(node["properties"].get(key, {}))
        if name:
            entries = {"": [below], "[]": below}.get(suffix) if suffix != ".<name>" else list(below.values())
            for entry in entries or ():
                yield from _values(entry, schema["$defs"][name], schema, f"{inside}{suffix}")
