"""Messages: what a digest says and never says, who is written to, and what is sent once alone."""

from datetime import timedelta

from alertworld import ALERT, DAY, before, frame, in_force, world
from pyspark.sql import functions as F

from churnwatch import alerts
from churnwatch.alerts import sending
from churnwatch.alerts.messages import digests, offers
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


def digest(spark, given):
    found = digests(frame(spark, contracts().risk_alerts, given), DAY, with_key, world()).collect()
    return {row["destination"]: row for row in found}


def test_a_digest_counts_by_level_and_cause_and_names_the_most_urgent_first(spark):
    group = {"scope": "group", "user_id": None, "segment": "plan", "value": "basic"}
    given = [
        ALERT,
        ALERT | {"alert_id": "a2", "user_id": "ben", "level": "red", "cause": None, "due_on": DAY, "evidence": "50 %"},
        ALERT | {"alert_id": "a3", "user_id": "cid"},
        ALERT | {"alert_id": "a4", **group},
        ALERT | {"alert_id": "a5", "user_id": "dora", "owner": "retention"},
    ]
    found = digest(spark, given)
    assert set(found) == {"operations", "retention"}
    anna, ben, cid = (keyed_id(user, KEY)[:16] for user in ("anna", "ben", "cid"))
    assert found["operations"]["subject"] == "churnwatch 2026-03-10: 4 warnings for operations, 1 red"
    assert found["operations"]["body"].splitlines() == [
        "Warnings of 2026-03-10 for operations: 4, of them red 1",
        "",
        "By level and cause",
        "  red     unknown          1",
        "  yellow  price            3",
        "",
        "First to look at (4 of 4)",
        f"  red     user {ben}, unknown, by 2026-03-10, quiet: 50 %",
        "  yellow  plan=basic, price, by 2026-03-15, quiet: 5 orders",
        f"  yellow  user {anna}, price, by 2026-03-15, quiet: 5 orders",
        f"  yellow  user {cid}, price, by 2026-03-15, quiet: 5 orders",
    ]


def test_no_digest_holds_a_user_id_or_a_hash_that_ids_could_be_tried_on(spark):
    given = [ALERT | {"alert_id": f"hash{n}", "user_id": f"user-{n}"} for n in range(40)]
    (row,) = digest(spark, given).values()
    assert "First to look at (20 of 40)" in row["body"]
    assert "user-" not in str(row) and "hash" not in str(row)


def test_an_id_is_of_day_destination_and_content(spark):
    frames = [[ALERT, ALERT | {"alert_id": "a2", "user_id": "ben"}], [ALERT], [ALERT | {"owner": "retention"}]]
    ids = [row["message_id"] for given in frames for row in digest(spark, given).values()]
    assert len(set(ids)) == 3
    assert [row["message_id"] for row in digest(spark, list(reversed(frames[0]))).values()] == ids[:1]


def test_only_treated_users_who_have_opted_in_are_written_to(spark):
    cases = {  # user: what differs in the action, in the consent, whether there is a message
        "treated": ({}, {}, True),
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
    found = offers(frame(spark, t.retention_actions, actions), in_force_then, DAY, with_key).collect()
    assert {row["destination"] for row in found} == {keyed_id(user, KEY) for user, case in cases.items() if case[2]}


def test_an_offer_names_the_user_by_hash_and_not_why(spark):
    t = contracts()
    (row,) = offers(frame(spark, t.retention_actions, [ACTION]), in_force(spark, t.consents, [CONSENT]), DAY, with_key).collect()
    assert (row["destination"], row["channel"], row["kind"]) == (keyed_id("anna", KEY), "email", "offer")
    assert row["body"] == "offer: voucher\ncampaign: wave\nnot before: 2026-03-11T08:00:00Z\nexpires: 2026-03-17T08:00:00Z\n"
    assert not any(word in str(row) for word in ("anna", "critical", "price", "0.83"))


def sent(spark, tmp_path, run_id="run", deliveries=(), action=ACTION, **sending_):
    """Frames of send_notifications by table, its files in tmp_path."""
    t = contracts()
    places = {
        "storage": {"root": "x", "files": str(tmp_path)},
        "privacy": {"id_key": {"file": str(tmp_path / "id_key")}},
        "sending": {"folder": str(tmp_path / "outbox"), **sending_},
    }
    settings = world(**places)
    inputs = {
        "alerts": frame(spark, t.risk_alerts, [ALERT]),
        "actions": frame(spark, t.retention_actions, [action]),
        "consents": in_force(spark, t.consents, [CONSENT]),
        "deliveries": frame(spark, t.deliveries, [row.asDict() for row in deliveries]),
    }
    frames = alerts.sent(inputs, (DAY,), Senders(spark, settings, run_id, pause_seconds=0.01), settings)
    return {name: made.collect() for name, made in frames.items()}


def files(tmp_path):
    return sorted(p.name for p in (tmp_path / "outbox").rglob("*") if p.is_file())


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
    first = sent(spark, tmp_path, max_attempts=2)["deliveries"]
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


def test_evaluating_the_attempts_twice_sends_once(spark, tmp_path):
    t = contracts()
    settings = world(storage={"root": "x", "files": str(tmp_path)}, sending={"folder": str(tmp_path / "outbox")})
    messages = digests(frame(spark, t.risk_alerts, [ALERT]), DAY, with_key, settings)
    waiting = sending.only_waiting(messages, frame(spark, t.deliveries, []), 3)
    attempts = Senders(spark, settings, "run").send(waiting)
    first = attempts.collect()
    for file in (tmp_path / "outbox").rglob("*.eml"):
        file.unlink()
    assert attempts.collect() == first and files(tmp_path) == []
