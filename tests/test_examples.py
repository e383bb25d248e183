"""The examples in docstrings say what the code does."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

LIB = Path(__file__).resolve().parents[1] / "lib"
WITH_EXAMPLES = [file for file in sorted(LIB.rglob("*.py")) if ">>> " in file.read_text(encoding="utf-8")]


@pytest.mark.parametrize("file", WITH_EXAMPLES, ids=lambda file: file.stem)
def test_examples_hold(file):
    module = import_module(".".join(file.relative_to(LIB).with_suffix("").parts))
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)
