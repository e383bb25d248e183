"""Examples in docstrings, README and docs are run; links, paths and error messages of the docs exist."""

import ast
import doctest
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from churnwatch.cli import main

ROOT = Path(__file__).resolve().parents[1]
LIB = ROOT / "lib"
WITH_EXAMPLES = [file for file in sorted(LIB.rglob("*.py")) if ">>> " in file.read_text(encoding="utf-8")]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WRITTEN = [file for file in DOCUMENTS if file.name != "tables.md"]  # tables.md is printed
# ```sh or ```python is run, ```sh by-hand or ```python by-hand needs Spark, data or time
BLOCK = re.compile(r"^ *```(sh|python)\n(.*?)^ *```$", re.M | re.S)


@pytest.mark.parametrize("file", WITH_EXAMPLES, ids=lambda file: file.stem)
def test_examples_of_docstrings_hold(file, monkeypatch):
    monkeypatch.chdir(ROOT)
    parts = file.relative_to(LIB).with_suffix("").parts
    module = import_module(".".join(part for part in parts if part != "__init__"))
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)


@pytest.mark.parametrize("file", [file for file in DOCUMENTS if BLOCK.search(file.read_text())], ids=lambda file: file.stem)
def test_code_blocks_of_a_document_run(file, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names = {}  # blocks of a document follow each other
    for language, text in BLOCK.findall(file.read_text()):
        if language == "python":
            exec(text, names)
            continue
        for line in text.strip().splitlines():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "churnwatch"
            with pytest.raises(SystemExit) as ended:
                main(arguments)
            assert (ended.value.code, capsys.readouterr().err) == (0, "")


def test_links_of_documents_lead_to_files():
    broken = [
        f"{file.relative_to(ROOT)}: {link}"
        for file in WRITTEN
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", file.read_text())
        if "://" not in link and not (file.parent / link).exists()
    ]
    assert broken == []


def test_paths_that_the_guide_for_contributors_names_exist():
    text = (ROOT / "docs" / "contributing.md").read_text()
    paths = re.findall(r"`((?:lib|tests|conf|jobs|docs)/[\w/.]*)`", text)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def texts(tree):
    """The constant parts of a module's strings."""
    return "\n".join(node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def test_messages_of_the_runbook_are_raised_somewhere():
    code = "\n".join(texts(ast.parse(file.read_text())) for file in LIB.rglob("*.py"))
    firsts = re.findall(r"^\| (.*?) \|", (ROOT / "docs" / "runbook.md").read_text(), re.M)
    parts = [part.strip() for cell in firsts for message in re.findall(r"`([^`]+)`", cell) for part in message.split("...")]
    assert len(parts) > 30
    assert [part for part in parts if part not in code] == []
