"""docs/reliability.md says what the marks of the tests say, and every case has a test."""

import ast

import pytest

import reliability

STREAMS = 45  # the case of a stream that is killed


def test_the_document_is_what_the_marks_say():
    made = reliability.document(reliability.cases(), reliability.tests_by_case())
    assert reliability.DOCUMENT.read_text(encoding="utf-8") == made, "write it again: python tests/reliability.py"


def test_every_mark_names_a_case():
    assert set(reliability.tests_by_case()) <= set(reliability.cases())


def test_every_case_has_a_test_but_streams_which_do_not_exist_yet():
    assert sorted(set(reliability.cases()) - set(reliability.tests_by_case())) == [STREAMS]


def test_marks_of_functions_of_drawn_cases_and_of_files_are_found():
    tree = ast.parse(
        "pytestmark = [pytest.mark.long, pytest.mark.case(1)]\n"
        "@pytest.mark.case(2, 3)\n"
        "def test_a(): ...\n"
        "@pytest.mark.parametrize('n', [pytest.param(1, marks=pytest.mark.case(4))])\n"
        "def test_b(n): ...\n"
    )
    assert set(reliability.marked(tree)) == {("test_a", 1), ("test_a", 2), ("test_a", 3), ("test_b", 1), ("test_b", 4)}
    with pytest.raises(ValueError, match="malformed"):
        list(reliability.marked(ast.parse("@pytest.mark.case(*NUMBERS)\ndef test_a(): ...")))
