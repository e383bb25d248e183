"""Files of actions: every bad line is named, and then nothing is recorded."""

import json
from datetime import UTC, datetime

import pytest

from churnwatch.cli.bulk import lines_of
from churnwatch.core import DataQualityError

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def told(tmp_path, text, name="calls.csv"):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return [json.loads(line) for line in lines_of(file, NOW)]


def test_csv_and_json_lines_say_the_same(tmp_path):
    rows = told(
        tmp_path, '\ufeffalert_id,action,who,note,outcome,at\na1,close,eva,"two\nlines",churned,2026-03-09T10:00\na2,ack,eva,,,\n'
    )
    assert rows == [
        {
            "alert_id": "a1",
            "at": "2026-03-09T10:00:00.000000+00:00",
            "who": "eva",
            "action": "closed",
            "note": "two\nlines",
            "outcome": "churned",
            "place": "calls.csv:3",
        },
        {
            "alert_id": "a2",
            "at": "2026-03-10T12:00:00.000000+00:00",
            "who": "eva",
            "action": "acknowledged",
            "note": "",
            "place": "calls.csv:4",
        },
    ]
    (row,) = told(tmp_path, '\n{"alert_id": "a1", "action": "act", "who": "eva", "note": null}\n', "calls.jsonl")
    assert (row["action"], row["place"]) == ("acted", "calls.jsonl:2")


def test_every_bad_line_is_named(tmp_path):
    with pytest.raises(DataQualityError) as error:
        told(tmp_path, "alert_id,action,who\na1,ack,eva\n,ack,eva\na2,like,eva\na3,ack,eva,more\na4,ack\na5,ack,system\n")
    assert str(error.value).splitlines() == [
        "5 bad line(s), nothing was recorded:",
        "  calls.csv:3: lacks alert_id",
        "  calls.csv:4: action 'like' is not one of ack, act, close",
        "  calls.csv:5: has more fields than the header",
        "  calls.csv:6: lacks who",
        "  calls.csv:7: who 'system' is reserved for churnwatch itself",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"alert_id": "a1", "action": "act", "who": "eva", "when": 1}', "unknown column when"),
        ('{"alert_id": "a1"', "is not JSON"),
        ("[1]", "not a JSON object"),
        ('{"alert_id": "a1", "action": "act", "who": "eva", "at": "yesterday"}', "yesterday"),
        ("", "has no line"),
    ],
)
def test_what_is_no_action_is_refused(tmp_path, text, said):
    with pytest.raises(DataQualityError, match=said):
        told(tmp_path, text, "calls.jsonl")


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(DataQualityError, match="gone.csv: cannot be read"):
        lines_of(tmp_path / "gone.csv", NOW)
