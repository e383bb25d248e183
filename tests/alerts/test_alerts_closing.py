"""What the system does about warnings: outcomes that are known, time that is over, superiors who are told."""

from alertworld import ALERT, DAY, before, frame, world

from churnwatch.alerts import closing, states
from smallworld import at, contracts

OWNERS = {"owners": {"operations": {"superior": "head"}, "head": {}}}
LABEL = {"definition": "silent", "user_id": "anna", "churned": False, "last_active_day": before(40)}
NOON = at(DAY, "12:00")


def told(spark, given, labels=(), events=(), owners=OWNERS, **parts):
    """(case, action, outcome, superior) of what the system tells on DAY."""
    t, settings = contracts(), world(owners=owners, **parts)
    frames = frame(spark, t.risk_alerts, given), frame(spark, t.alert_events, list(events)), frame(spark, t.user_labels, labels)
    cases = closing.select_due_cases(*frames, DAY, settings)
    rows = closing.make_case_events(cases, DAY, closing.F.lit(NOON)).collect()
    assert all((r["day"], r["who"], r["rule_id"]) == (DAY, "system", "quiet") for r in rows)
    return sorted((r["alert_id"], r["action"], r["outcome"], r["owner"]) for r in rows), rows


def event(alert_id, action, **more):
    base = {"day": before(1), "event_id": f"{alert_id}-{action}", "at": at(before(1), "09:00"), "who": "eva"}
    return base | {"alert_id": alert_id, "action": action} | more


def test_a_label_closes_a_warning_whether_or_not_somebody_acted(spark):
    users = ("anna", "ben", "cid", "dora")
    given = [ALERT | {"alert_id": user, "user_id": user, "day": before(9)} for user in users]
    labels = [LABEL | {"day": before(9), "user_id": "anna"}, LABEL | {"day": before(9), "user_id": "ben", "churned": True}]
    labels += [LABEL | {"day": before(9), "user_id": "cid"}, LABEL | {"day": before(9), "user_id": "dora", "definition": "other"}]
    events = [event("ben", "acted"), event("cid", "closed", outcome="false_alarm")]
    assert told(spark, given, labels, events, owners={})[0] == [
        ("anna", "closed", "retained", None),
        ("ben", "closed", "churned", None),
    ]


def test_a_case_ends_by_its_newest_warning_or_as_soon_as_one_of_them_proves_right(spark):
    given = [
        ALERT | {"alert_id": f"{user}{n}", "user_id": user, "day": before(day), "escalates": root}
        for user in ("anna", "ben", "cid")
        for n, day, root in ((1, 9, None), (2, 5, f"{user}1"))
    ]
    labels = [LABEL | {"day": before(9)}, LABEL | {"day": before(5)}]
    labels += [LABEL | {"user_id": "ben", "day": before(9), "churned": True}, LABEL | {"user_id": "cid", "day": before(9)}]
    found, _ = told(spark, given, labels, owners={})
    assert found == [("anna1", "closed", "retained", None), ("ben1", "closed", "churned", None)]


def test_what_no_label_tells_of_expires_and_its_note_says_whether_somebody_acted(spark):
    days = {"in time": 28, "late": 29, "acted": 29, "acted in time": 28}
    group = {"scope": "group", "user_id": None, "segment": "plan"}
    given = [ALERT | group | {"alert_id": name, "value": name, "day": before(n)} for name, n in days.items()]
    given += [ALERT | {"alert_id": f"user {name}", "user_id": name, "day": before(n)} for name, n in days.items()]
    events = [event(f"{who}{name}", "acted") for name in ("acted", "acted in time") for who in ("", "user ")]
    found, rows = told(spark, given, events=events, owners={}, tiers=world().tiers.model_dump())
    late = ("acted", "late", "user acted", "user late")
    assert found == [(name, "closed", "expired", None) for name in late]
    notes = {row["alert_id"]: row["note"] for row in rows}
    unknown, nobody = "acted on; no label tells what became of it", "nobody acted in time"
    assert notes == {"acted": unknown, "late": nobody, "user acted": unknown, "user late": nobody}


def test_an_overdue_warning_goes_to_the_superior_once(spark):
    due = {"today": DAY, "late": before(1), "seen": before(1), "acted": before(1), "told": before(3), "nobody": before(1)}
    given = [ALERT | {"alert_id": name, "user_id": name, "day": before(6), "due_on": on} for name, on in due.items()]
    given[-1] |= {"owner": "somebody without a superior"}
    events = [event("seen", "acknowledged"), event("acted", "acted"), event("told", "escalated", owner="head", who="system")]
    found, rows = told(spark, given, events=events)
    assert found == [("late", "escalated", None, "head"), ("seen", "escalated", None, "head")]
    # a second run of the day tells the same again, under the same ids
    assert told(spark, given, events=[*events, *(r.asDict() for r in rows)])[0] == found
    again = told(spark, given, events=events)[1]
    assert {r["event_id"] for r in again} == {r["event_id"] for r in rows}


def test_an_outcome_that_a_person_gave_later_is_the_newest(spark):
    t = contracts()
    events = [
        event("a1", "closed", who="system", outcome="expired"),
        event("a1", "closed", at=NOON, event_id="2", outcome="retained"),
    ]
    (row,) = states.with_state(frame(spark, t.risk_alerts, [ALERT]), frame(spark, t.alert_events, events)).collect()
    assert (row["state"], row["outcome"], row["state_by"]) == ("closed", "retained", "eva")
