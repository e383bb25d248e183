"""The tables of the tests' world hold the numbers that they held before."""

import json
from pathlib import Path

import golden
import world

FILE = Path(__file__).with_name("golden.json")
HINT = "Hint: if a number is meant to change, run pytest with --write-golden and name the change in the commit message."


def test_the_tables_of_the_world_hold_the_numbers_that_they_held_before(spark, loaded_world, request):
    found = golden.digests(world.runner(spark, loaded_world))
    if request.config.getoption("--write-golden"):
        FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    differ = golden.differences(found, json.loads(FILE.read_text()))
    assert differ == [], "\n".join([*differ, HINT])


def test_a_changed_number_is_found_and_a_float_that_differs_by_rounding_is_not():
    before = {"t": {"rows": 2, "n": "abc", "p (float)": [3.0, 3.0]}}
    assert golden.differences({"t": {"rows": 2, "n": "abc", "p (float)": [3.0 + 1e-9, 3.0]}}, before) == []
    assert golden.differences({"t": {"rows": 2, "n": "abd", "p (float)": [3.1, 3.1]}}, before) == [
        "t.n: abd, expected abc",
        "t.p (float): [3.1, 3.1], expected [3.0, 3.0]",
    ]
    assert golden.differences({}, {"t": {"rows": 2}}) == ["t.rows: None, expected 2"]
