"""What people did: lines of the inbox become rows, once, and only of warnings that exist."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alertworld import ALERT, DAY, before, frame, world

from churnwatch import alerts
from churnwatch.core import DataQualityError
from churnwatch.io.inbox import write_lines
from churnwatch.io.sources import Sources
from smallworld import contracts

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def recorded(spark, tmp_path, lines, stored=(), more=()):
    """Rows of record_alert_events after ``lines`` came in about warnings a1, a2 and ``more``."""
    t, settings = contracts(), world(storage={"root": "x", "files": str(tmp_path)})
    write_lines(alerts.inbox(settings), DAY, lines)
    inputs = {
        "alerts": frame(spark, t.risk_alerts, [ALERT, ALERT | {"alert_id": "a2", "day": before(30)}, *more]),
        "alert_events": frame(spark, t.alert_events, [row.asDict() for row in stored]),
    }
    found = alerts.record_alert_events(inputs, (DAY,), Sources(spark, settings, "run"), settings)["alert_events"]
    assert sorted(found.columns) == sorted(t.alert_events.schema.names)
    return sorted(found.collect(), key=lambda r: (r["alert_id"], r["action"]))


def test_an_action_is_recorded_once_however_often_it_is_told(spark, tmp_path):
    lines = [
        alerts.event_line("a1", NOON, "eva", "ack", 'says "call me"\nsoon'),
        # the same instant, written in another zone
        json.dumps({"alert_id": "a1", "at": "2026-03-10T14:00:00+02:00", "who": "eva", "action": "acknowledged"}),
        alerts.event_line("a2", NOON, "eva", "close"),
    ]
    first = recorded(spark, tmp_path, lines)
    assert [(r["day"], r["alert_id"], r["action"], r["who"]) for r in first] == [
        (DAY, "a1", "acknowledged", "eva"),
        (DAY, "a2", "closed", "eva"),
    ]
    assert first[0]["note"] == 'says "call me"\nsoon'
    later = alerts.event_line("a1", NOON + timedelta(hours=1), "eva", "act")
    assert [(r["action"], r["rule_id"]) for r in recorded(spark, tmp_path, [later], stored=first)] == [("acted", "quiet")]


def test_closing_takes_an_outcome_and_a_lesson_and_ends_a_warning(spark, tmp_path):
    closed = alerts.event_line("a1", NOON, "eva", "close", outcome="false_alarm", lesson="holidays")
    (first,) = recorded(spark, tmp_path, [closed])
    assert (first["outcome"], first["lesson"], first["owner"]) == ("false_alarm", "holidays", None)
    hour = timedelta(hours=1)
    late = alerts.event_line("a1", NOON + hour, "eva", "act", place="calls.csv:7")
    with pytest.raises(DataQualityError, match="are closed.*: calls.csv:7: a1"):
        recorded(spark, tmp_path / "b", [late], stored=[first])
    # what was done before the end, and told late, counts; so does another outcome
    early, again = alerts.event_line("a1", NOON - hour, "eva", "act"), alerts.event_line("a1", NOON + hour, "eva", "close")
    assert [r["action"] for r in recorded(spark, tmp_path / "c", [early, again], stored=[first])] == ["acted", "closed"]


def test_a_case_that_is_closed_takes_no_action_by_any_of_its_warnings(spark, tmp_path):
    case = [ALERT | {"alert_id": name, "escalates": "a1"} for name in ("a3", "a4")]
    (ended,) = recorded(spark, tmp_path, [alerts.event_line("a3", NOON, "eva", "close")], more=case)
    hour = timedelta(hours=1)
    for name in ("a1", "a3", "a4"):
        with pytest.raises(DataQualityError, match=f"are closed.*: {name}$"):
            recorded(spark, tmp_path / name, [alerts.event_line(name, NOON + hour, "ben", "act")], [ended], case)
    # what was done before, a correction of the outcome, and another case
    lines = [
        alerts.event_line("a4", NOON - hour, "ben", "act"),
        alerts.event_line("a1", NOON + hour, "eva", "close", outcome="churned"),
        alerts.event_line("a2", NOON + hour, "eva", "ack"),
    ]
    found = recorded(spark, tmp_path / "b", lines, [ended], case)
    assert [(r["alert_id"], r["action"]) for r in found] == [("a1", "closed"), ("a2", "acknowledged"), ("a4", "acted")]


def test_warnings_that_do_not_exist_are_named(spark, tmp_path):
    lines = [alerts.event_line(i, NOON, "eva", "ack") for i in ("a1", "typo", "gone")]
    with pytest.raises(DataQualityError, match="do not exist.*: gone, typo"):
        recorded(spark, tmp_path, lines)


def test_lines_that_are_no_actions_are_all_named(spark, tmp_path):
    broken = [
        '{"alert_id": "a1", "at": "2026-03-10T12:00:00Z", "who": "eva", "action": "acknow',
        '{"alert_id": "a1", "at": "yesterday", "who": "eva", "action": "acted"}',
        '{"alert_id": "a1", "at": "2026-03-10T12:00:00Z", "who": "", "action": "acted"}',
        '{"alert_id": "a1", "at": "2026-03-10T12:00:00Z", "who": "eva", "action": "liked"}',
        '{"at": "2026-03-10T12:00:00Z", "who": "eva", "action": "acted"}',
        '{"alert_id": "a1", "at": "2026-03-10T12:00:00Z", "who": "eva", "action": "acted", "outcome": "churned"}',
    ]
    with pytest.raises(DataQualityError, match="are not actions") as error:
        recorded(spark, tmp_path, [alerts.event_line("a1", NOON, "eva", "ack"), *broken])
    assert [line in str(error.value) for line in broken] == [True] * 6
    assert str(error.value).count("alert_id") == 5


def test_a_day_without_an_inbox_records_nothing(spark, tmp_path):
    settings = world(storage={"root": "x", "files": str(tmp_path)})
    t = contracts()
    inputs = {"alerts": frame(spark, t.risk_alerts, []), "alert_events": frame(spark, t.alert_events, [])}
    assert alerts.record_alert_events(inputs, (DAY,), Sources(spark, settings, "run"), settings)["alert_events"].count() == 0


def test_a_line_needs_a_zone_a_person_and_a_known_action():
    east = datetime(2026, 3, 10, 14, tzinfo=timezone(timedelta(hours=2)))
    assert json.loads(alerts.event_line("a1", east, "eva", "ack"))["at"] == "2026-03-10T12:00:00.000000+00:00"
    for at, who, action in [(NOON.replace(tzinfo=None), "eva", "ack"), (NOON, "", "ack"), (NOON, "eva", "like")]:
        with pytest.raises(ValueError):
            alerts.event_line("a1", at, who, action)


def test_a_line_says_nothing_that_its_action_has_not(spark):
    for more in (
        {"action": "act", "outcome": "churned"},
        {"action": "ack", "lesson": "x"},
        {"action": "close", "outcome": "won"},
    ):
        with pytest.raises(ValueError):
            alerts.event_line("a1", NOON, "eva", **more)
    with pytest.raises(ValueError, match="reserved for churnwatch itself"):
        alerts.event_line("a1", NOON, "system", "close")


def test_what_was_done_before_the_level_rose_does_not_answer_the_higher_level(spark):
    t = contracts()
    earlier = {"day": DAY - timedelta(days=1), "alert_id": "a1", "who": "eva", "at": NOON - timedelta(days=1)}
    events = [
        earlier | {"event_id": "1", "action": "acted"},
        earlier | {"event_id": "2", "action": "escalated", "owner": "head"},
        earlier | {"event_id": "3", "action": "acted", "alert_id": "b1"},
    ]
    case = [ALERT | {"day": DAY - timedelta(days=3)}, ALERT | {"alert_id": "a2", "escalates": "a1"}]
    given = [*case, ALERT | {"day": DAY - timedelta(days=3), "alert_id": "b1"}]
    found = alerts.with_state(frame(spark, t.risk_alerts, given), frame(spark, t.alert_events, events))
    assert sorted((r["alert_id"], r["state"], r["escalated_to"]) for r in found.collect()) == [
        ("a1", "open", None),
        ("a2", "open", None),
        ("b1", "acted", None),
    ]


def test_the_newest_action_on_a_case_is_the_state_of_all_its_warnings(spark):
    t = contracts()
    event = {"day": DAY, "alert_id": "a1", "who": "eva"}
    events = [
        event | {"event_id": "1", "at": NOON, "action": "acknowledged"},
        event | {"event_id": "2", "at": NOON + timedelta(hours=1), "action": "closed", "note": "stays", "outcome": "retained"},
        event | {"event_id": "3", "at": NOON + timedelta(hours=2), "action": "escalated", "owner": "head", "alert_id": "a3"},
    ]
    given = [ALERT, ALERT | {"alert_id": "a2", "escalates": "a1"}, ALERT | {"alert_id": "a3"}]
    found = alerts.with_state(frame(spark, t.risk_alerts, given), frame(spark, t.alert_events, events))
    assert sorted((r["alert_id"], r["state"], r["state_note"], r["outcome"], r["escalated_to"]) for r in found.collect()) == [
        ("a1", "closed", "stays", "retained", None),
        ("a2", "closed", "stays", "retained", None),
        ("a3", "open", None, None, "head"),
    ]
