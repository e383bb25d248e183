"""Messages: what a digest says and never says, who is written to, and what is sent once alone."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from alertworld import ALERT, DAY, before, frame, in_force, world
from pyspark.sql import functions as F

from churnwatch import alerts, upkeep
from churnwatch.alerts.messages import offer_messages, owner_messages
from churnwatch.alerts.sending import with_attempts
from churnwatch.io.keys import keyed, keyed_id
from churnwatch.io.senders import Senders
from smallworld import at, contracts

KEY = b"0123456789abcdef"
ACTION = {
    "day": DAY,
    "user_id": "anna",
    "campaign": "wave",
    "offer": "voucher",
    "channel": "email",
    "arm": "offer",
    "cause": "price",
    "tier": "critical",
    "probability": 0.83,
    "cost_cents": 100,
    "expected_value_cents": 1,
    "earliest_send_at": at(DAY + timedelta(days=1), "08:00"),
    "expires_at": at(DAY + timedelta(days=7), "08:00"),
}
CONSENT = {"user_id": "anna", "channel": "email", "purpose": "contact", "granted": True}


def with_key(frame, column):
    return keyed(frame, column, KEY)


def hashed(user):
    return keyed_id(user, KEY)


GROUP = {"scope": "group", "user_id": None, "segment": "plan", "value": "basic"}


def messages(spark, given, settings=None, overdue=None):
    """Messages to owners by (kind, destination), as they are written on DAY."""
    t = contracts()
    handed = None if overdue is None else frame(spark, t.risk_alerts, overdue).withColumn("superior", F.lit("head"))
    found = owner_messages(frame(spark, t.risk_alerts, given), handed, DAY, hashed, settings or world()).collect()
    assert len({row["message_id"] for row in found}) == len(found)
    return {(row["kind"], row["destination"]): row for row in found}


def test_every_warning_stands_in_one_message_and_the_most_urgent_first(spark):
    given = [
        ALERT,
        ALERT | {"alert_id": "a2", "user_id": "ben", "level": "orange", "cause": None, "due_on": DAY, "evidence": "50 %"},
        ALERT | {"alert_id": "a3", "user_id": "cid"},
        ALERT | {"alert_id": "a4", "level": "orange", **GROUP},
        ALERT | {"alert_id": "a5", "user_id": "dora", "owner": "retention"},
        ALERT | {"alert_id": "a6", "user_id": "eve", "level": "red"},
    ]
    late = [ALERT | {"alert_id": "old", "user_id": "fay", "day": before(9), "due_on": before(4)}]
    found = messages(spark, given, overdue=late)
    assert {key: row["subject"] for key, row in found.items()} == {
        ("digest", "operations"): "churnwatch 2026-03-10: 3 warnings for operations",
        ("digest", "retention"): "churnwatch 2026-03-10: 1 warnings for retention",
        ("task", "operations"): "churnwatch 2026-03-10: task for operations, orange, price",
        ("urgent", "operations"): "churnwatch 2026-03-10: 1 urgent warnings for operations",
        ("escalation", "head"): "churnwatch 2026-03-10: 1 overdue warnings for head",
    }
    anna, ben, cid, eve, fay = (keyed_id(user, KEY)[:16] for user in ("anna", "ben", "cid", "eve", "fay"))
    assert found["digest", "operations"]["body"].splitlines() == [
        "Warnings of 2026-03-10 for operations: 3",
        "",
        "By level and cause",
        "  orange  unknown          1",
        "  yellow  price            2",
        "",
        "First to look at (3 of 3)",
        f"  orange  user {ben}, unknown, by 2026-03-10, quiet: 50 %",
        f"  yellow  user {anna}, price, by 2026-03-15, quiet: 5 orders",
        f"  yellow  user {cid}, price, by 2026-03-15, quiet: 5 orders",
        "",
        "all of them: churnwatch alerts list --owner operations",
    ]
    task = found["task", "operations"]["body"]
    assert "plan=basic, price, by 2026-03-15" in task and "churnwatch alerts act a4 --who" in task
    assert f"user {eve}" in found["urgent", "operations"]["body"] and f"user {fay}" in found["escalation", "head"]["body"]


def test_no_digest_holds_a_user_id_or_a_hash_that_ids_could_be_tried_on(spark):
    given = [ALERT | {"alert_id": f"hash{n}", "user_id": f"user-{n}"} for n in range(40)]
    (row,) = messages(spark, given).values()
    assert "First to look at (20 of 40)" in row["body"]
    assert "user-" not in str(row) and "hash" not in str(row)


def test_a_chat_is_shown_no_users_unless_conf_says_so(spark):
    chat = {"kind": "slack", "url": "https://hooks.example.org/x"}
    owners = {"owners": {"operations": {"destination": "room"}}}
    hidden, shown = (
        messages(spark, [ALERT], world(owners=owners, sending={"destinations": {"room": chat | {"user_ids": allowed}}}))
        for allowed in (False, True)
    )
    (hidden,), (shown,) = hidden.values(), shown.values()
    anna = keyed_id("anna", KEY)[:16]
    assert hidden["destination"] == shown["destination"] == "room"
    assert "yellow  a user, price" in hidden["body"] and anna not in hidden["body"] and f"user {anna}, price" in shown["body"]


def test_which_levels_are_urgent_is_configured(spark):
    given = [ALERT, ALERT | {"alert_id": "a2", "level": "red"}]
    assert set(messages(spark, given, world(sending={"urgent_levels": []}))) == {("digest", "operations")}


def test_an_id_is_of_day_destination_and_content(spark):
    frames = [[ALERT, ALERT | {"alert_id": "a2", "user_id": "ben"}], [ALERT], [ALERT | {"owner": "retention"}]]
    ids = [row["message_id"] for given in frames for row in messages(spark, given).values()]
    assert len(set(ids)) == 3
    assert [row["message_id"] for row in messages(spark, list(reversed(frames[0]))).values()] == ids[:1]


@pytest.mark.case(43)
def test_only_treated_users_who_have_opted_in_are_written_to(spark):
    cases = {  # user: what differs in the action, in the consent, whether there is a message
        "treated": ({}, {}, True),
        "treated too": ({}, {}, True),
        "control": ({"arm": "control"}, {}, False),
        "suppressed": ({"arm": None, "suppressed_because": "budget"}, {}, False),
        "opted out": ({}, {"granted": False}, False),
        "other channel": ({}, {"channel": "push"}, False),
        "other purpose": ({}, {"purpose": "profiling"}, False),
        "nothing said": ({}, {"user_id": "somebody"}, False),
        "ended": ({}, {}, False),
    }
    t = contracts()
    actions = [ACTION | {"user_id": user} | case[0] for user, case in cases.items()]
    consents = [CONSENT | {"user_id": user} | case[1] for user, case in cases.items()]
    until = F.when(F.col("user_id") == "ended", F.lit(before(1))).otherwise(F.col("until"))
    in_force_then = in_force(spark, t.consents, consents).withColumn("until", until)
    found = offer_messages(frame(spark, t.retention_actions, actions), in_force_then, DAY, with_key).collect()
    assert {row["destination"] for row in found} == {keyed_id(user, KEY) for user, case in cases.items() if case[2]}
    assert len({row["message_id"] for row in found}) == len(found) == 2, "the id depends on the destination"


def test_an_offer_names_the_user_by_hash_and_not_why(spark):
    t = contracts()
    (row,) = offer_messages(
        frame(spark, t.retention_actions, [ACTION]), in_force(spark, t.consents, [CONSENT]), DAY, with_key
    ).collect()
    assert (row["destination"], row["channel"], row["kind"]) == (keyed_id("anna", KEY), "email", "offer")
    assert row["body"] == "offer: voucher\ncampaign: wave\nnot before: 2026-03-11T08:00:00Z\nexpires: 2026-03-17T08:00:00Z\n"
    assert not any(word in str(row) for word in ("anna", "critical", "price", "0.83"))


def sent(
    spark, tmp_path, run_id="run", deliveries=(), action=ACTION, left=(), warnings=(ALERT,), labels=(), owners=None, **sending_
):
    """Frames of send_notifications by table, its files in tmp_path."""
    t = contracts()
    places = {
        "storage": {"root": "x", "files": str(tmp_path)},
        "privacy": {"id_key": {"file": str(tmp_path / "id_key")}},
        "sending": {"folder": str(tmp_path / "outbox"), "pause_seconds": 0.01, **sending_},
    }
    settings = world(**places, **({"owners": owners} if owners else {}))
    inputs = {
        "alerts": frame(spark, t.risk_alerts, list(warnings)),
        "actions": frame(spark, t.retention_actions, [action]),
        "consents": in_force(spark, t.consents, [CONSENT]),
        "alert_events": frame(spark, t.alert_events, []),
        "labels": frame(spark, t.user_labels, list(labels)),
        "notifications": frame(spark, t.notifications, [row.asDict() for row in left]),
        "deliveries": frame(spark, t.deliveries, [row.asDict() for row in deliveries]),
    }
    frames = alerts.send_notifications(inputs, (DAY,), Senders(spark, settings, run_id), settings)
    return {name: made.collect() for name, made in frames.items()}


def files(tmp_path):
    return sorted(p.name for p in (tmp_path / "outbox").rglob("*") if p.is_file())


def test_the_end_of_a_day_closes_what_is_known_and_tells_the_superior_of_what_nobody_acted_on(spark, tmp_path):
    known = ALERT | {"alert_id": "known", "user_id": "ben", "day": before(9)}
    late = ALERT | {"alert_id": "late", "user_id": "cid", "day": before(6), "due_on": before(1)}
    label = {"day": before(9), "definition": "silent", "user_id": "ben", "churned": True, "last_active_day": before(30)}
    owners = {"owners": {"operations": {"superior": "head"}}}
    found = sent(spark, tmp_path, warnings=[ALERT, known, late], labels=[label], owners=owners)
    assert sorted((r["alert_id"], r["action"], r["outcome"], r["owner"], r["who"]) for r in found["alert_events"]) == [
        ("known", "closed", "churned", None, "system"),
        ("late", "escalated", None, "head", "system"),
    ]
    written = {(r["kind"], r["destination"]) for r in found["notifications"] if r["kind"] != "offer"}
    assert written == {("digest", "operations"), ("escalation", "head")}
    assert "1 overdue" in next(r["subject"] for r in found["notifications"] if r["kind"] == "escalation")


@pytest.mark.case(41)
def test_every_message_is_sent_once_however_often_the_day_is_run(spark, tmp_path):
    first = sent(spark, tmp_path)
    ids = {row["kind"]: row["message_id"] for row in first["notifications"]}
    assert files(tmp_path) == sorted([f"{ids['digest']}.eml", f"{ids['offer']}.json"])
    assert sorted((r["message_id"], r["attempt"], r["outcome"]) for r in first["deliveries"]) == sorted(
        (i, 1, "sent") for i in ids.values()
    )
    again = sent(spark, tmp_path, "again", deliveries=first["deliveries"])
    assert again["deliveries"] == []
    assert {r["message_id"] for r in again["notifications"]} == set(ids.values())


def test_failed_messages_are_tried_again_up_to_the_limit(spark, tmp_path):
    (tmp_path / "outbox").write_text("no folder")
    first = sent(spark, tmp_path, tries_a_run=2)["deliveries"]
    assert {(r["attempt"], r["outcome"]) for r in first} >= {(1, "failed")}
    by_message = {r["message_id"]: max(x["attempt"] for x in first if x["message_id"] == r["message_id"]) for r in first}
    assert max(by_message.values()) == 2
    (tmp_path / "outbox").unlink()
    second = sent(spark, tmp_path, "again", deliveries=first, max_attempts=3)["deliveries"]
    assert sorted((r["message_id"], r["attempt"], r["outcome"]) for r in second) == sorted(
        (i, n + 1, "sent") for i, n in by_message.items()
    )
    given_up = sent(spark, tmp_path, "third", deliveries=first, max_attempts=1)["deliveries"]
    assert given_up == []


def test_what_has_expired_by_the_end_of_the_day_is_not_sent(spark, tmp_path):
    late = ACTION | {"expires_at": at(DAY + timedelta(days=1), "00:00")}
    found = sent(spark, tmp_path, action=late)
    offer = next(r["message_id"] for r in found["notifications"] if r["kind"] == "offer")
    assert [r["outcome"] for r in found["deliveries"] if r["message_id"] == offer] == ["expired"]
    assert files(tmp_path) == [f"{r['message_id']}.eml" for r in found["notifications"] if r["kind"] == "digest"]


def doctor(tables, stored, settings):
    """What the doctor finds in a warehouse that holds the frames ``stored`` by table."""
    store = SimpleNamespace(
        exists=lambda table: table.name in stored,
        read=lambda table, where=None: stored[table.name].where(where) if where else stored[table.name],
        differences=lambda table: [],
        version=lambda table: 1,
    )
    return list(upkeep.examine(settings, lambda: SimpleNamespace(tables=tables, store=store, settings=settings)))


def test_evaluating_the_attempts_twice_sends_once(spark, tmp_path):
    t = contracts()
    settings = world(storage={"root": "x", "files": str(tmp_path)}, sending={"folder": str(tmp_path / "outbox")})
    written = owner_messages(frame(spark, t.risk_alerts, [ALERT]), None, DAY, hashed, settings)
    waiting = with_attempts(written, frame(spark, t.deliveries, []), 3).withColumnRenamed("waiting", "due")
    attempts = Senders(spark, settings, "run").send(waiting)
    first = attempts.collect()
    assert [len(row["tries"]) for row in first] == [1]
    for file in (tmp_path / "outbox").rglob("*.eml"):
        file.unlink()
    assert attempts.collect() == first and files(tmp_path) == []


def test_what_could_not_be_sent_yesterday_is_sent_today_and_a_dead_letter_is_told(spark, tmp_path):
    t = contracts()
    (tmp_path / "outbox").write_text("no folder")
    yesterday = sent(spark, tmp_path, tries_a_run=2)
    left = [
        type(row)(**row.asDict() | {"day": before(1), "message_id": f"y-{row['kind']}"}) for row in yesterday["notifications"]
    ]
    tried = {"day": before(1), "attempt": 2, "at": at(DAY, "01:00"), "outcome": "failed", "detail": "no folder"}
    before_ = [type(left[0])(**tried | {"message_id": row["message_id"]}) for row in left]
    (tmp_path / "outbox").unlink()
    found = sent(spark, tmp_path, "again", deliveries=before_, left=left)["deliveries"]
    retried = [(r["day"], r["message_id"], r["attempt"], r["outcome"]) for r in found if r["message_id"].startswith("y-")]
    assert sorted(retried) == [(before(1), "y-digest", 3, "sent"), (before(1), "y-offer", 3, "sent")]
    notifications = frame(spark, t.notifications, [row.asDict() for row in left])
    deliveries = frame(spark, t.deliveries, [row.asDict() for row in before_])

    def dead(since, **sending_):
        letters = alerts.dead_letters(notifications, deliveries, world(sending=sending_).sending, since).collect()
        return sorted((r["destination"], r["kind"], r["messages"], r["detail"]) for r in letters)

    offer, digest = ("channel email", "offer", 1, "no folder"), ("operations", "digest", 1, "no folder")
    assert dead(before(1), max_attempts=2) == [offer, digest]
    assert dead(before(1), max_attempts=3) == []
    # what is too old to be tried again is given up, however few attempts it had
    assert dead(DAY, max_attempts=3) == [offer, digest]
    # the doctor shows them: what, to whom, since when, and the newest answer
    store = {t.notifications.name: notifications, t.deliveries.name: deliveries}
    places = {
        "sending": {"max_attempts": 2, "folder": str(tmp_path / "outbox")},
        "storage": {"root": str(tmp_path), "files": str(tmp_path)},
    }
    shown = doctor(t, store, world(**places))
    assert sorted(text for good, text in shown if not good) == [
        f"1 digest message(s) of {before(1)} to operations were not sent: no folder",
        f"1 offer message(s) of {before(1)} to channel email were not sent: no folder",
    ]
    # what goes to a name that is no destination is told at once
    room = {"kind": "slack", "url": "https://hooks.example.org/x"}
    assert dead(before(1), max_attempts=3, kind="network", destinations={"room": room}) == [digest]
    assert dead(before(1), max_attempts=3, kind="network", destinations={"operations": room}) == []
