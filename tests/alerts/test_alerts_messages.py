"""Messages: what a digest says and never says, who is written to, and what is sent once alone."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from alertworld import ALERT, DAY, before, frame, in_force, world
from pyspark.sql import functions as F

from churnwatch import alerts
from churnwatch.alerts.messages import offer_messages, owner_messages
from churnwatch.io.keys import keyed, keyed_id
from churnwatch.io.senders import MESSAGE, Senders, slice_numbers
from churnwatch.settings import Offers
from churnwatch.upkeep.doctor import unsent_messages
from smallworld import at, contracts
from webhooks import Hooks

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


def messages(spark, given, settings=None, overdue=None, untold=None):
    """Messages to owners by (kind, destination), as they are written on DAY."""
    t = contracts()
    handed = None if overdue is None else frame(spark, t.risk_alerts, overdue).withColumn("superior", F.lit("head"))
    carried = None if untold is None else frame(spark, t.risk_alerts, untold)
    found = owner_messages(frame(spark, t.risk_alerts, given), handed, DAY, hashed, settings or world(), carried).collect()
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


def test_the_id_of_a_message_is_what_it_is_about_and_not_what_it_says(spark):
    one, more = [ALERT], [ALERT, ALERT | {"alert_id": "a2", "user_id": "ben"}]
    ids = [row["message_id"] for given in (one, more) for row in messages(spark, given).values()]
    assert ids[0] == ids[1]
    group = ALERT | GROUP
    others = [
        *messages(spark, [ALERT | {"owner": "retention"}]).values(),
        *messages(spark, [ALERT | {"level": "red"}]).values(),
        *messages(spark, [group | {"alert_id": "g1"}]).values(),
        *messages(spark, [group | {"alert_id": "g2"}]).values(),
        *messages(spark, one, world(domain="other")).values(),
    ]
    assert len({*ids, *(row["message_id"] for row in others)}) == 6


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
    found = offer_messages(frame(spark, t.retention_actions, actions), in_force_then, None, DAY, with_key, world()).collect()
    assert {row["destination"] for row in found} == {keyed_id(user, KEY) for user, case in cases.items() if case[2]}
    assert len({row["message_id"] for row in found}) == len(found) == 2, "the id depends on the destination"


def test_an_offer_names_the_user_by_hash_and_not_why(spark):
    t = contracts()
    zoned = world(
        sources={"users": {"name": "u", "format": "parquet", "path": "x", "map": {"user_id": "u", "zone": "z"}}},
        offers={"time_zone_attribute": "zone"},
    )
    users = in_force(spark, t.users, [{"user_id": "anna", "attributes": {"zone": "Asia/Shanghai"}, "full": False}])
    actions = [ACTION, ACTION | {"campaign": "spring"}, ACTION | {"expires_at": at(DAY + timedelta(days=9), "08:00")}]
    consents = in_force(spark, t.consents, [CONSENT])
    row, other, later = (
        offer_messages(frame(spark, t.retention_actions, [action]), consents, users, DAY, with_key, zoned).collect()[0]
        for action in actions
    )
    sent = {name: row[name] for name in MESSAGE if name != "attempts"}
    assert (row["destination"], row["channel"], row["kind"]) == (keyed_id("anna", KEY), "email", "offer")
    assert row["body"] == "offer: voucher\ncampaign: wave\nnot before: 2026-03-11T08:00:00Z\nexpires: 2026-03-17T08:00:00Z\n"
    assert not any(word in str(sent) for word in ("anna", "critical", "price", "0.83"))
    assert (row["user_id"], row["campaign"], row["time_zone"]) == ("anna", "wave", "Asia/Shanghai")
    # another campaign is another offer, another expiry is not
    assert row["message_id"] == later["message_id"] != other["message_id"]


def made(settings, spark, tmp_path, run_id, day, stored, **given):
    """What write_messages and send_messages of ``day`` add to the frames ``stored`` (table -> rows), which they are added to."""
    t = contracts()
    senders = Senders(spark, settings, run_id)
    inputs = {
        "alerts": frame(spark, t.risk_alerts, list(given.get("warnings", (ALERT,)))),
        "actions": frame(spark, t.retention_actions, list(given.get("actions", (ACTION,)))),
        "consents": in_force(spark, t.consents, list(given.get("consents", (CONSENT,)))),
        "alert_events": frame(spark, t.alert_events, list(given.get("events", ()))),
        "labels": frame(spark, t.user_labels, list(given.get("labels", ()))),
    }
    added = {}

    def store(name, rows):
        rows = [row.asDict() for row in rows]
        known = {tuple(row[key] for key in t[name].keys) for row in stored[name]}
        added[name] = [row for row in rows if tuple(row[key] for key in t[name].keys) not in known]
        stored[name] += added[name]

    def known():
        return {name: frame(spark, t[name], stored[name]) for name in ("notifications", "deliveries")}

    for name, rows in alerts.write_messages(inputs | known(), (day,), senders, settings).items():
        store(name, rows.collect())
    added["deliveries"] = []
    now = given.get("now") or given
    inputs |= {"consents": in_force(spark, t.consents, list(now.get("consents", (CONSENT,))))}
    inputs |= {"actions": frame(spark, t.retention_actions, list(now.get("actions", (ACTION,))))}
    for rows in alerts.send_messages(inputs | known(), (day,), senders, settings)["deliveries"]:
        tried = [row.asDict() for row in rows.collect()]
        added["deliveries"] += tried
        stored["deliveries"] += tried
    return added


def empty():
    """No message, attempt or action is stored."""
    return {"notifications": [], "deliveries": [], "alert_events": []}


def placed(tmp_path, owners=None, **sending_):
    """Settings whose messages are files in tmp_path."""
    places = {
        "storage": {"root": "x", "files": str(tmp_path)},
        "privacy": {"id_key": {"file": str(tmp_path / "id_key")}},
        "sending": {"folder": str(tmp_path / "outbox"), "pause_seconds": 0.01, **sending_},
    }
    return world(**places, **({"owners": owners} if owners else {}))


def sent(spark, tmp_path, run_id="run", stored=None, owners=None, given=None, **sending_):
    """What a run of DAY adds to ``stored``, its files in tmp_path."""
    settings = placed(tmp_path, owners, **sending_)
    return made(settings, spark, tmp_path, run_id, DAY, empty() if stored is None else stored, **(given or {}))


def files(tmp_path):
    return sorted(p.name for p in (tmp_path / "outbox").rglob("*") if p.is_file())


def test_the_end_of_a_day_closes_what_is_known_and_tells_the_superior_of_what_nobody_acted_on(spark, tmp_path):
    known = ALERT | {"alert_id": "known", "user_id": "ben", "day": before(9)}
    late = ALERT | {"alert_id": "late", "user_id": "cid", "day": before(6), "due_on": before(1)}
    label = {"day": before(9), "definition": "silent", "user_id": "ben", "churned": True, "last_active_day": before(30)}
    owners = {"owners": {"operations": {"superior": "head"}}}
    found = sent(spark, tmp_path, owners=owners, given={"warnings": [ALERT, known, late], "labels": [label]})
    assert sorted((r["alert_id"], r["action"], r["outcome"], r["owner"], r["who"]) for r in found["alert_events"]) == [
        ("known", "closed", "churned", None, "system"),
        ("late", "escalated", None, "head", "system"),
    ]
    written = {(r["kind"], r["destination"]) for r in found["notifications"] if r["kind"] != "offer"}
    assert written == {("digest", "operations"), ("escalation", "head")}
    assert "1 overdue" in next(r["subject"] for r in found["notifications"] if r["kind"] == "escalation")


@pytest.mark.case(41)
def test_every_message_is_sent_once_however_often_the_day_is_run(spark, tmp_path):
    stored = empty()
    first = sent(spark, tmp_path, stored=stored)
    ids = {row["kind"]: row["message_id"] for row in first["notifications"]}
    assert files(tmp_path) == sorted([f"{ids['digest']}.eml", f"{ids['offer']}.json"])
    assert sorted((r["message_id"], r["attempt"], r["outcome"]) for r in first["deliveries"]) == sorted(
        (i, 1, "sent") for i in ids.values()
    )
    # late data have changed the warnings, the plan has changed the offer, and the key of ids is another one
    changed = {"warnings": [ALERT, ALERT | {"alert_id": "a2", "user_id": "ben"}], "actions": [ACTION | {"offer": "call"}]}
    (tmp_path / "id_key").write_text("f" * 64)
    again = sent(spark, tmp_path, "again", stored, given=changed)
    assert again["notifications"] == [] and again["deliveries"] == []
    assert len(files(tmp_path)) == 2


def test_messages_of_an_older_version_are_not_written_a_second_time(spark, tmp_path):
    stored = empty()
    sent(spark, tmp_path, stored=stored)
    unnamed = dict.fromkeys(("user_id", "campaign", "owner", "topic"))
    stored["notifications"] = [row | unnamed | {"message_id": f"old-{row['kind']}"} for row in stored["notifications"]]
    assert sent(spark, tmp_path, "again", stored)["notifications"] == []


def test_failed_messages_are_tried_again_up_to_the_limit(spark, tmp_path):
    (tmp_path / "outbox").write_text("no folder")
    stored = empty()
    first = sent(spark, tmp_path, stored=stored, tries_a_run=2)["deliveries"]
    assert {(r["attempt"], r["outcome"]) for r in first} >= {(1, "failed")}
    by_message = {r["message_id"]: max(x["attempt"] for x in first if x["message_id"] == r["message_id"]) for r in first}
    assert max(by_message.values()) == 2
    (tmp_path / "outbox").unlink()
    assert sent(spark, tmp_path, "third", dict(stored), max_attempts=1)["deliveries"] == []
    second = sent(spark, tmp_path, "again", stored, max_attempts=3)["deliveries"]
    assert sorted((r["message_id"], r["attempt"], r["outcome"]) for r in second) == sorted(
        (i, n + 1, "sent") for i, n in by_message.items()
    )


def test_what_has_expired_by_the_end_of_the_day_is_no_file(spark, tmp_path):
    late = ACTION | {"expires_at": at(DAY + timedelta(days=1), "00:00")}
    found = sent(spark, tmp_path, given={"actions": [late]})
    offer = next(r["message_id"] for r in found["notifications"] if r["kind"] == "offer")
    assert [r["outcome"] for r in found["deliveries"] if r["message_id"] == offer] == ["expired"]
    assert files(tmp_path) == [f"{r['message_id']}.eml" for r in found["notifications"] if r["kind"] == "digest"]


@pytest.mark.case(43)
def test_consent_and_arm_are_asked_again_at_the_moment_of_sending(spark, tmp_path):
    users = ("stays", "opts_out", "held_out", "dropped")
    planned = [ACTION | {"user_id": user} for user in users]
    consents = [CONSENT | {"user_id": user} for user in users]
    now = {
        "consents": [row | {"granted": row["user_id"] != "opts_out"} for row in consents],
        "actions": [row | {"arm": "control"} if row["user_id"] == "held_out" else row for row in planned[:3]],
    }
    stored = empty()
    given = {"warnings": (), "actions": planned, "consents": consents, "now": now}
    found = sent(spark, tmp_path, stored=stored, given=given)
    names = {row["message_id"]: row["user_id"] for row in found["notifications"]}
    assert {names[r["message_id"]]: (r["outcome"], r["detail"].split(".json")[0][:4]) for r in found["deliveries"]} == {
        "stays": ("sent", "file"),
        "opts_out": ("suppressed", "not "),
        "held_out": ("suppressed", "not "),
        "dropped": ("suppressed", "not "),
    }
    assert sorted(r["detail"] for r in found["deliveries"] if r["outcome"] == "suppressed") == [
        "not sent: no consent to contact",
        "not sent: the user is held out",
        "not sent: the user is no longer assigned to the campaign",
    ]
    assert len(files(tmp_path)) == 1
    assert sent(spark, tmp_path, "again", stored, given=given)["deliveries"] == []


def over_http(hooks, tmp_path, **sending_):
    """Settings that post everything to ``hooks``; no hour is quiet."""
    places = {name: {"kind": "json", "url": f"http://127.0.0.1:{hooks.start()}/"} for name in ("operations", "head", "crm")}
    sending_ = {"kind": "network", "destinations": places, "gateways": {"email": "crm"}, "allow_loopback": True, **sending_}
    owners = {"owners": {"operations": {"superior": "head"}}}
    return placed(tmp_path, owners, **sending_).model_copy(update={"offers": Offers(quiet_hours=(8, 8))})


def test_decisions_of_long_ago_are_not_sent_and_their_open_cases_enter_the_next_digest(spark, tmp_path):
    hooks, stored = Hooks(), empty()
    settings = over_http(hooks, tmp_path)
    today = datetime.now(UTC).date()
    old, recent = today - timedelta(days=4), today - timedelta(days=3)
    late = {"day": old, "due_on": today + timedelta(days=1)}
    warnings = [ALERT | late, ALERT | late | {"alert_id": "done", "user_id": "ben"}, ALERT | late | {"alert_id": "g", **GROUP}]
    closed = {"event_id": "e", "alert_id": "done", "at": at(old, "12:00"), "who": "eva", "action": "closed"}
    planned = ACTION | {"day": old, "earliest_send_at": None, "expires_at": at(today + timedelta(days=3), "08:00")}
    given = {"warnings": warnings, "actions": [planned], "events": [closed | {"day": old, "outcome": "retained"}]}
    try:
        first = made(settings, spark, tmp_path, "old", old, stored, **given | {"events": ()})
        assert {(r["outcome"], r["detail"][:17]) for r in first["deliveries"]} == {("history", "not sent: history")}
        assert len(first["deliveries"]) == len(first["notifications"]) == 3 and hooks.taken == []
        # the same day again: what is recorded as history stays so
        assert made(settings, spark, tmp_path, "again", old, stored, **given)["deliveries"] == []
        second = made(settings, spark, tmp_path, "recent", recent, stored, **given | {"actions": ()})
        ((digest,), (row,)) = second["notifications"], second["deliveries"]
        assert (digest["kind"], digest["owner"], row["outcome"]) == ("digest", "operations", "sent")
        assert digest["body"].splitlines()[:2] == [
            f"Warnings of {recent} for operations: 2",
            "2 of them are of earlier days and still open; no message about them was sent",
        ]
        assert "plan=basic" in digest["body"] and len(hooks.taken) == 1
        # who was told is not told again
        third = made(settings, spark, tmp_path, "today", today, stored, **given | {"actions": ()})
        assert third["notifications"] == [] and len(hooks.taken) == 1
        # unless it is wanted: all messages of the old day go out, under their ids
        everything = settings.model_copy(update={"sending": settings.sending.model_copy(update={"history_after_days": None})})
        wanted = made(everything, spark, tmp_path, "history", old, stored, **given)
        assert wanted["notifications"] == [] and {r["outcome"] for r in wanted["deliveries"]} == {"sent"}
        posted = {headers["Idempotency-Key"] for _, headers, _ in hooks.taken[1:]}
        assert posted == {row["message_id"] for row in first["notifications"]}
    finally:
        hooks.stop()


def test_a_superior_whose_message_was_history_gets_the_open_case_in_the_next_digest(spark, tmp_path):
    hooks, stored = Hooks(), empty()
    settings = over_http(hooks, tmp_path)
    today = datetime.now(UTC).date()
    warned, old = today - timedelta(days=9), today - timedelta(days=5)
    given = {"warnings": [ALERT | {"day": warned, "due_on": warned + timedelta(days=2)}], "actions": ()}
    try:
        everything = settings.model_copy(update={"sending": settings.sending.model_copy(update={"history_after_days": None})})
        assert len(made(everything, spark, tmp_path, "warned", warned, stored, **given)["deliveries"]) == 1
        escalated = made(settings, spark, tmp_path, "old", old, stored, **given)
        assert [(row["kind"], row["owner"]) for row in escalated["notifications"]] == [("escalation", "head")]
        events = given | {"events": escalated["alert_events"]}
        next_ = made(settings, spark, tmp_path, "next", today, stored, **events)
        assert [(row["kind"], row["owner"]) for row in next_["notifications"]] == [("digest", "head")]
        assert [row["outcome"] for row in next_["deliveries"]] == ["sent"]
        assert made(settings, spark, tmp_path, "again", today, stored, **events)["notifications"] == []
    finally:
        hooks.stop()


def test_slices_hold_kinds_in_their_order_and_each_message_once(spark):
    counts = {"offer": 25, "digest": 3, "urgent": 4, "task": 2}
    rows = [(kind, f"{kind}{n}") for kind, number in counts.items() for n in range(number)]
    numbered = spark.createDataFrame(rows, "kind string, message_id string").withColumn("slice", slice_numbers(counts, 10))
    found = {}
    for row in numbered.collect():
        found.setdefault(row["slice"], {}).setdefault(row["kind"], []).append(row["message_id"])
    assert {kind: len(ids) for kind, ids in found[0].items()} == {"task": 2, "urgent": 4, "digest": 3}
    offers = {number: len(kinds["offer"]) for number, kinds in found.items() if number}
    assert set(offers) == {1, 2, 3} and sum(offers.values()) == 25


def unsent(tables, stored, settings):
    """What the doctor says about messages in a warehouse that holds the frames ``stored`` by table."""
    store = SimpleNamespace(
        exists=lambda table: table.name in stored,
        read=lambda table, where=None: stored[table.name].where(where) if where else stored[table.name],
    )
    return list(unsent_messages(SimpleNamespace(tables=tables, store=store, settings=settings)))


def test_evaluating_the_attempts_twice_sends_once(spark, tmp_path):
    t = contracts()
    settings = placed(tmp_path)
    written = owner_messages(frame(spark, t.risk_alerts, [ALERT]), None, DAY, hashed, settings)
    waiting = written.withColumns({"attempts": F.lit(0), "withheld": F.lit(None).cast("string")})
    (attempts,) = Senders(spark, settings, "run").send(waiting, DAY)
    first = attempts.collect()
    assert [row["outcome"] for row in first] == ["sent"]
    for file in (tmp_path / "outbox").rglob("*.eml"):
        file.unlink()
    assert attempts.collect() == first and files(tmp_path) == []


def test_what_could_not_be_sent_yesterday_is_sent_today_and_a_dead_letter_is_told(spark, tmp_path):
    t = contracts()
    (tmp_path / "outbox").write_text("no folder")
    stored = empty()
    yesterday = {"warnings": [ALERT | {"day": before(1)}], "actions": [ACTION | {"day": before(1)}]}
    settings = placed(tmp_path, tries_a_run=2)
    made(settings, spark, tmp_path, "run", before(1), stored, **yesterday)
    left = [row | {"message_id": f"y-{row['kind']}"} for row in stored["notifications"]]
    tried = {"day": before(1), "attempt": 2, "at": at(DAY, "01:00"), "outcome": "failed", "detail": "no folder"}
    before_ = [tried | {"message_id": row["message_id"]} for row in left]
    (tmp_path / "outbox").unlink()
    stored = empty() | {"notifications": list(left), "deliveries": list(before_)}
    both = {"actions": [ACTION, *yesterday["actions"]]}
    found = sent(spark, tmp_path, "again", stored, given=both)["deliveries"]
    retried = [(r["day"], r["message_id"], r["attempt"], r["outcome"]) for r in found if r["message_id"].startswith("y-")]
    assert sorted(retried) == [(before(1), "y-digest", 3, "sent"), (before(1), "y-offer", 3, "sent")]
    notifications, deliveries = frame(spark, t.notifications, left), frame(spark, t.deliveries, before_)

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
    shown = unsent(t, store, world(**places))
    assert sorted(text for good, text in shown if not good) == [
        f"1 digest message(s) of {before(1)} to operations were not sent: no folder",
        f"1 offer message(s) of {before(1)} to channel email were not sent: no folder",
    ]
    # what goes to a name that is no destination is told at once
    room = {"kind": "slack", "url": "https://hooks.example.org/x"}
    crm = {"kind": "json", "url": "https://crm.example.org"}
    network = {"kind": "network", "max_attempts": 3, "gateways": {"email": "crm"}}
    assert dead(before(1), **network | {"gateways": {}}, destinations={"room": room}) == [offer, digest]
    assert dead(before(1), **network, destinations={"room": room, "crm": crm}) == [digest]
    assert dead(before(1), **network, destinations={"operations": room, "crm": crm}) == []
