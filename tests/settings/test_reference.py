"""The reference of keys, and the schemas for editors, say what the settings' types say."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from churnwatch.settings.reference import editor_schemas, markdown, schemas

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
FILES = sorted(path for path in CONF.rglob("*.yaml") if "bundle" not in path.parts)
ADVICE = "run `make docs` and commit what it writes"


def test_the_document_of_keys_is_what_the_settings_say():
    assert (ROOT / "docs" / "configuration.md").read_text() == markdown(CONF) + "\n", ADVICE


def test_the_schemas_for_editors_are_what_the_settings_say():
    stored = {path.stem: path.read_text() for path in (CONF / "schema").glob("*.json")}
    assert stored == {name: text + "\n" for name, text in editor_schemas().items()}, ADVICE


def test_every_key_has_a_meaning_and_an_example():
    rows = [row for row in markdown(CONF).splitlines() if row.startswith("| `")]
    assert len(rows) > 150
    for row in rows:
        key, kind, default, _, meaning, example = (cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1])
        assert meaning and default, row
        assert "keys" in kind or example not in ("", "null"), row


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_a_shipped_file_names_its_schema_and_keeps_to_it(file):
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", file.read_text())
    schema = (file.parent / named[1]).resolve()
    # an editor reads dates as text
    text = re.sub(r"(\d{4}-\d\d-\d\d)", r"'\1'", file.read_text())
    jsonschema.validate(yaml.safe_load(text), schemas()[schema.stem])


def test_a_schema_refuses_an_unknown_key():
    with pytest.raises(jsonschema.ValidationError, match="stay_shar"):
        jsonschema.validate({"tiers": [], "levels": [], "stay_shar": 0.1}, schemas()["tiers"])
