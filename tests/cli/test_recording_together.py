"""Two people record what they did at the same time: both succeed."""

import json
from datetime import date
from importlib import import_module

import pytest

from churnwatch.core import DataQualityError, WriteConflict
from churnwatch.settings import load
from world import CONFIG

ALERTS = import_module("churnwatch.cli.alerts")
DAY = date(2025, 3, 9)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """``record(*errors)``: ``ann`` acknowledges warning a1, and the run ends with each error in turn, then well.

    Gives how often it was run, and the lines that are left in the inbox.
    """
    settings = load(CONFIG, [f"storage.root={tmp_path}/w", f"storage.files={tmp_path}/f"])
    monkeypatch.setattr(ALERTS, "PAUSE_SECONDS", 0.0)

    def record(*errors):
        runs = []

        def run(settings, order):
            runs.append(order.jobs)
            if len(runs) <= len(errors):
                raise errors[len(runs) - 1]

        monkeypatch.setattr(ALERTS, "run_order", run)
        line = json.dumps({"alert_id": "a1", "who": "ann", "action": "acknowledged"})
        try:
            ALERTS._recorded([line], settings, DAY)
        finally:
            left = [text for file in (tmp_path / "f" / "inbox").rglob("*.jsonl") for text in file.read_text().splitlines()]
            record.runs, record.left = len(runs), len(left)
        return record

    return record


def test_while_another_command_records_the_day_the_second_waits_and_then_records_too(recorded):
    done = recorded(WriteConflict("is being run by other"), WriteConflict("is being run by other"))
    assert (done.runs, done.left) == (3, 1)


def test_a_line_of_another_person_that_is_refused_is_waited_for(recorded):
    done = recorded(DataQualityError("alert_events: warnings that do not exist, nothing was written: typo"))
    assert (done.runs, done.left) == (2, 1)


def test_an_own_line_that_is_refused_is_taken_back_at_once(recorded):
    with pytest.raises(DataQualityError):
        recorded(DataQualityError("alert_events: warnings that do not exist, nothing was written: a1"))
    assert (recorded.runs, recorded.left) == (1, 0)


def test_what_waits_for_too_long_stays_in_the_inbox_and_is_named(recorded, monkeypatch):
    monkeypatch.setattr(ALERTS, "WAIT_SECONDS", 0.0)
    with pytest.raises(WriteConflict, match="1 action.s. lie in .*jsonl; the next recording for 2025-03-09 takes them in"):
        recorded(*[WriteConflict("is being run by other")] * 99)
    assert recorded.left == 1
