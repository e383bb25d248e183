"""Makes docs/reliability.md: what can go wrong, what is promised then, and the tests that show it.

The cases stand in faults/cases.yaml. A test shows case 5 when it carries ``@pytest.mark.case(5)``; marks are read from the
text of the test files, so that neither Spark nor pytest is started. ``python tests/reliability.py`` writes the document.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
CASES = TESTS / "faults" / "cases.yaml"
DOCUMENT = ROOT / "docs" / "reliability.md"
HEAD = """# Reliability: what can go wrong, and what is promised then

Each case has a number; `.venv/bin/python -m pytest -m case` runs the tests of all cases. This page is made from
`tests/faults/cases.yaml` and the marks of the tests by `make docs`.

| # | case | promise | tests |
| --- | --- | --- | --- |
"""


class Case(NamedTuple):
    """What can go wrong, and what is promised then."""

    case: str
    promise: str


class Shown(NamedTuple):
    """A test by its file, relative to tests/, and its name."""

    file: str
    name: str


def cases() -> dict[int, Case]:
    """The cases by number."""
    return {number: Case(**texts) for number, texts in yaml.safe_load(CASES.read_text(encoding="utf-8")).items()}


def tests_by_case(folder: Path = TESTS) -> dict[int, list[Shown]]:
    """The tests that carry each number, sorted. A mark in ``pytestmark`` counts for every test of its file.

    Raises ValueError for a mark whose numbers are not written out, because they cannot be read without running the file.
    """
    found: dict[int, set[Shown]] = defaultdict(set)
    for file in sorted(folder.rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        if "mark.case(" in text:
            for name, number in marked(ast.parse(text, str(file))):
                found[number].add(Shown(file.relative_to(folder).as_posix(), name))
    return {number: sorted(tests) for number, tests in sorted(found.items())}


def marked(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Pairs of a test of the file and the number of a case that it shows."""
    tests = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    of_all = [node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"]
    for test in tests:
        for place in (*of_all, *test.decorator_list):
            for call in ast.walk(place):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.case":
                    yield from ((test.name, ast.literal_eval(number)) for number in call.args)


def document(known: Mapping[int, Case], tests: Mapping[int, list[Shown]]) -> str:
    """The text of docs/reliability.md."""
    rows = [
        f"| {number} | {case.case} | {case.promise} | {'<br>'.join(map(link, tests.get(number, []))) or 'none yet'} |\n"
        for number, case in sorted(known.items())
    ]
    return HEAD + "".join(rows)


def link(test: Shown) -> str:
    """A link to the file of a test, with the name of the test as its text."""
    return f"[`{test.name}`](../tests/{test.file})"


if __name__ == "__main__":
    DOCUMENT.write_text(document(cases(), tests_by_case()), encoding="utf-8")
