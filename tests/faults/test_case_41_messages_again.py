"""A day that is decided again after its messages were sent: nobody gets a second one, and what was sent is not rewritten."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

import world
from churnwatch.core import ConfigError
from churnwatch.settings.terms import DONE

DAY = world.WORLD.day(62)
ALERT = {
    "day": DAY,
    "scope": "user",
    "rule_id": "silent_three_days",
    "level": "yellow",
    "cause": "engagement",
    "evidence": "no event",
    "owner": "operations",
    "due_on": DAY + timedelta(days=3),
}
ACTION = {
    "day": DAY,
    "campaign": "stay",
    "offer": "voucher",
    "channel": "email",
    "arm": "offer",
    "cost_cents": 20,
    "expected_value_cents": 100,
    "earliest_send_at": datetime(DAY.year, DAY.month, DAY.day) + timedelta(days=1, hours=8),
    "expires_at": datetime(DAY.year, DAY.month, DAY.day) + timedelta(days=8, hours=8),
}
CONSENT = {"day": DAY - timedelta(days=5), "channel": "email", "purpose": "contact", "full": False}


def put(of, table, rows):
    """Replace the rows of DAY, or those of the consents' day, in ``table``."""
    made = of.spark.createDataFrame([tuple(row.get(name) for name in table.schema.names) for row in rows], table.schema)
    of.store.replace(table, made, f"day = DATE'{rows[0]['day']}'", {})


def outbox(of):
    """The stored messages and attempts, and the files of the outbox."""
    of.store.refresh()
    messages = sorted(tuple(row) for row in of.store.read(of.tables.notifications).collect())
    attempts = sorted(tuple(row) for row in of.store.read(of.tables.deliveries).collect())
    files = sorted(file.name for file in Path(of.settings.outbox_folder).rglob("*") if file.is_file())
    return messages, attempts, files


@pytest.mark.case(41)
def test_a_day_that_is_decided_again_changes_no_message_and_sends_nothing(spark, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "id_key").write_text("0" * 64)
    of = world.runner(spark, tmp_path)
    t = of.tables
    of.store.create([t.job_runs, t.risk_alerts, t.retention_actions, t.consents])
    of.ledger.write("ingest", "ingest_events", "", DAY, DONE, [DAY])
    of.ledger.flush()
    put(of, t.risk_alerts, [ALERT | {"alert_id": "a1", "user_id": "ann"}])
    put(of, t.retention_actions, [ACTION | {"user_id": user} for user in ("ann", "ben")])
    put(of, t.consents, [CONSENT | {"user_id": user, "granted": True} for user in ("ann", "ben", "cid")])
    world.run(of, "write_messages", first=DAY)
    # between writing and sending one of them opts out, on a later day than the one that is run
    put(of, t.consents, [CONSENT | {"day": DAY + timedelta(days=1), "user_id": "ben", "granted": False}])
    world.run(of, "send_messages", first=DAY)
    messages, attempts, files = outbox(of)
    names = t.deliveries.schema.names
    assert sorted(row[names.index("outcome")] for row in attempts) == ["sent", "sent", "suppressed"]
    assert len(messages) == 3 and len(files) == 2
    # late data: another warning, another offer, another user, and the key of ids was changed
    put(of, t.risk_alerts, [ALERT | {"alert_id": f"a{n}", "user_id": user} for n, user in enumerate(("ann", "cid"))])
    put(of, t.retention_actions, [ACTION | {"user_id": user, "offer": "call"} for user in ("ann", "ben", "cid")])
    (tmp_path / "files" / "id_key").write_text("1" * 64)
    with pytest.raises(ConfigError, match="they would repeat what was sent since"):
        world.run(of, "send_messages", first=DAY, as_of_run="earlier")
    for _ in range(2):
        ends = world.run(of, "write_messages", "send_messages", first=DAY)
        assert [end.status for end in ends] == ["done", "done"]
    again = outbox(of)
    # the user who is new gets an offer; all else stays as it was
    assert set(messages) < set(again[0]) and len(again[0]) == 4
    assert set(attempts) < set(again[1]) and len(again[1]) == 4
    assert set(files) < set(again[2]) and len(again[2]) == 3
