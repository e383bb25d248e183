"""Erasing users: from every table and file, proved by a scan; nobody comes back with a backfill."""

import json
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import ArrayType, BooleanType, DateType, IntegerType, LongType, StringType, TimestampType

import smallworld
import world
from churnwatch.core import ConfigError, WriteConflict
from churnwatch.io.keys import id_key, keyed_id, rotate_id_key, table_key
from churnwatch.io.leases import Leases
from churnwatch.io.sources import Sources
from churnwatch.rights import Erasure, explain, read_requests, to_json, to_lines, verify
from churnwatch.runner import Runner

DAY, AT = date(2025, 3, 12), datetime(2025, 3, 12, 10, tzinfo=UTC)
ANNA, BEN = "anna-4711", "ben-4712"
ALERTS = {ANNA: "a1a1a1a1a1a1", BEN: "b2b2b2b2b2b2"}  # without their names, as real ids are
FILL = {DateType: DAY, TimestampType: AT, StringType: "x", LongType: 1, IntegerType: 1, BooleanType: False, ArrayType: []}


def store(of, name, rows):
    """Write rows as a Delta table; columns that may not be null and are left out get any value."""
    contract = of.tables[name]
    needed = {f.name: FILL[type(f.dataType)] for f in contract.schema.fields if not f.nullable}
    columns = pa.Table.from_pylist([needed | row for row in rows], to_arrow_schema(contract.schema, timezone="UTC"))
    write_deltalake(of.store.path(contract), columns)


@pytest.fixture
def warehouse(spark, tmp_path):
    """A warehouse in which anna and ben are named wherever users can be; anna's key on pages was rotated once."""
    conf = smallworld.settings(
        storage={"root": f"{tmp_path}/tables", "files": f"{tmp_path}/files"},
        privacy={"id_key": {"file": f"{tmp_path}/files/id_key"}},
        sending={"folder": f"{tmp_path}/files/outbox"},
        sources={"events": [dict(smallworld.SMALL["sources"]["events"][0], path=f"{tmp_path}/files/raw/{{day}}")]},
    )
    of = Runner(conf, spark)
    old = {user: keyed_id(user, id_key(conf)) for user in (ANNA, BEN)}
    rotate_id_key(conf)
    new = {user: keyed_id(user, id_key(conf)) for user in (ANNA, BEN)}
    users = (ANNA, BEN)
    store(of, "events", [{"user_id": user, "event_id": user} for user in users])
    raws = [f'{{"user_id": "{ANNA}", "t": "?"}}', f'{{"user_id": "{ANNA}0"}}', f"{BEN},?"]
    store(of, "rejected_events", [{"reject_id": str(n), "reasons": ["bad_time"], "raw": raw} for n, raw in enumerate(raws)])
    alerts = [{"user_id": user, "alert_id": ALERTS[user], "scope": "user", "level": "red"} for user in users]
    store(of, "risk_alerts", alerts)
    events = [{"event_id": user, "alert_id": ALERTS[user], "action": "acted"} for user in users]
    events.append({"event_id": "other", "alert_id": "a group", "action": "acted", "note": f"called {ANNA} and {BEN}"})
    store(of, "alert_events", events)
    offers = [
        {"message_id": f"offer to {user}", "destination": hashes[user], "kind": "offer"} for user in users for hashes in (old,)
    ]
    digest = {
        "message_id": "digest",
        "destination": "team",
        "kind": "digest",
        "body": f"user {old[ANNA][:16]}, user {new[BEN][:16]}",
    }
    store(of, "notifications", [*offers, digest])
    store(of, "deliveries", [{"message_id": f"offer to {user}", "outcome": "sent"} for user in users])
    of.store.create([of.tables.job_runs])
    of.ledger.write("f", "score_users", "", DAY, "failed", [], message=f"key {ANNA} repeats, and {ANNA}0")
    of.ledger.flush()
    of.store.refresh()
    files = tmp_path / "files"
    lines = [json.dumps({"alert_id": "a", "note": f"{user} was called"}) for user in users]
    lines += [json.dumps({"alert_id": ALERTS[user], "action": "ack"}) for user in users]
    write(files / "inbox" / "alert_events" / "2025-03-12" / "one.jsonl", "\n".join(lines) + "\n")
    write(files / "outbox" / "2025-03-12" / "offer.json", json.dumps({"to": old[ANNA]}))
    write(files / "outbox" / "2025-03-12" / "other.json", json.dumps({"to": old[BEN]}))
    write(files / "pages" / "2025-03-12" / "churn.html", f"<td>{old[ANNA][:16]}</td><td>{new[BEN][:16]}</td>")
    write(files / "raw" / "2025-03-12" / "events.jsonl", json.dumps({"user_id": ANNA}))
    write(files / "staging" / "run" / "part.parquet", "rows of a run that died")
    return of, tmp_path, old | {"new": new}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_user_is_erased_from_every_table_and_file_and_nobody_else_is(warehouse, spark):
    of, folder, hashes = warehouse
    before = tree(folder / "files"), {t.name: world.stored(of, t.name) for t in of.tables}
    found = Erasure(of, [ANNA]).find()
    assert {name: n for name, n in found.rows.items() if n} == {
        "events": 1,
        "rejected_events": 1,
        "risk_alerts": 1,
        "alert_events": 2,
        "notifications": 2,
        "deliveries": 1,
        "job_runs": 1,
    }
    assert sorted(file.name for file in found.files) == ["churn.html", "offer.json", "one.jsonl"] and found.copies == 1
    after = {t.name: world.stored(of, t.name) for t in of.tables}
    assert (tree(folder / "files").keys() - {"table_key"}, after) == (before[0].keys() - {"table_key"}, before[1])  # a look

    number, _ = Erasure(of, [ANNA]).run("the officer")
    rows = {t.name: world.stored(of, t.name) for t in of.tables}
    assert [row["user_id"] for row in rows["events"]] == [BEN]
    assert sorted(row["raw"] for row in rows["rejected_events"]) == [f"{BEN},?", f'{{"user_id": "{ANNA}0"}}']
    assert [row["user_id"] for row in rows["risk_alerts"]] == [BEN]
    notes = {row["event_id"]: row["note"] for row in rows["alert_events"]}
    assert notes == {BEN: None, "other": f"called erased and {BEN}"}
    bodies = {row["message_id"]: row["body"] for row in rows["notifications"]}
    assert bodies == {f"offer to {BEN}": "x", "digest": f"user erased, user {hashes['new'][BEN][:16]}"}
    assert [row["message_id"] for row in rows["deliveries"]] == [f"offer to {BEN}"]
    (failed,) = [row for row in rows["job_runs"] if row["job"] == "score_users"]
    assert failed["message"] == f"key erased repeats, and {ANNA}0"
    (erased,) = [row for row in rows["job_runs"] if row["job"] == "erase" and row["status"] == "done"]
    assert "events" in {output["table"] for output in erased["outputs"]} and erased["run_id"] == number
    files = tree(folder / "files")
    assert {name for name in before[0] if name not in files} == {"outbox/2025-03-12/offer.json", "staging/run/part.parquet"}
    assert files["pages/2025-03-12/churn.html"] == f"<td>erased</td><td>{hashes['new'][BEN][:16]}</td>".encode()
    assert [json.loads(line) for line in files["inbox/alert_events/2025-03-12/one.jsonl"].splitlines()] == [
        {"alert_id": "a", "note": f"{BEN} was called"},
        {"alert_id": ALERTS[BEN], "action": "ack"},
    ]
    assert files["raw/2025-03-12/events.jsonl"] == before[0]["raw/2025-03-12/events.jsonl"]

    (proof,) = rows["erasures"]
    assert (proof["erasure_id"], proof["step"], proof["who"], proof["users"]) == (number, "erased", "the officer", 1)
    assert {t["table"]: t["rows"] for t in proof["tables"]} == {name: n for name, n in found.rows.items() if n}
    assert [row["user_hash"] for row in rows["suppressions"]] == [keyed_id(ANNA, table_key(of.settings))]
    assert ANNA not in repr((rows["erasures"], rows["suppressions"]))

    # nobody comes back
    given = spark.createDataFrame(
        [(ANNA, "a", "a"), (BEN, "b", "b"), (None, "c", "c")], "user_id STRING, _raw STRING, _own STRING"
    )
    kept = Sources(spark, of.settings).protect(given)
    assert sorted(row["_raw"] for row in kept.collect()) == ["b", "c"] and kept.columns == given.columns

    # the old files are there until they are vacuumed
    ((good, text),) = verify(of)
    assert good and "old files are kept for now" in text and "events (1 files)" in text
    for table in of.tables:
        if DeltaTable.is_deltatable(of.store.path(table)):
            DeltaTable(of.store.path(table)).vacuum(0, dry_run=False, enforce_retention_duration=False)
    ((good, text),) = verify(of)
    of.store.refresh()
    gone = [row for row in world.stored(of, "erasures") if row["step"] == "gone"]
    assert good and "no file with them is left" in text and len(gone) == 1 and gone[0]["physically_gone_on"] is not None
    write_deltalake(of.store.path(of.tables.events), one_event(of, ANNA), mode="append")
    of.store.refresh()
    assert next(iter(verify(of))) == (False, "events: 1 users of the list of erased ones. Hint: erase them again")


def one_event(of, user):
    fields = to_arrow_schema(of.tables.events.schema, timezone="UTC")
    row = {"day": DAY, "event_id": "n", "user_id": user, "event_time": AT, "event_type": "x", "source": "e"}
    return pa.Table.from_pylist([row], fields)


def test_an_erasure_waits_for_runs_that_are_under_way(warehouse):
    of, _, _ = warehouse
    of.ledger.refresh()
    other = Leases(of.settings)
    other.hold("r")
    of.ledger.write("r", "score_users", "", DAY, "running", [DAY])
    of.ledger.flush()
    with pytest.raises(WriteConflict, match=r"score_users 2025-03-12 is being run by r .*; nothing was written"):
        Erasure(of, [ANNA]).run("me")
    other.release_all()


def test_an_erasure_refuses_tables_of_steps_that_broke_off_because_readers_take_older_versions(warehouse):
    of, _, _ = warehouse
    of.ledger.refresh()
    of.ledger.write("half", "ingest_events", "", DAY, "failed", [DAY])
    of.ledger.flush()
    of.store.append_rows(of.tables.events, one_event(of, ANNA).to_pylist(), {"run_id": "half", "job": "ingest_events"})
    with pytest.raises(WriteConflict, match=r"events: version 1 .* Hint: churnwatch run ingest_events --day 2025-03-12"):
        Erasure(of, [ANNA]).run("me")
    assert not world.stored(of, "suppressions")
    of.ledger.refresh()
    assert of.ledger.running() == []


def test_a_file_of_requests_has_a_user_a_line(tmp_path):
    file = tmp_path / "requests.csv"
    file.write_text('\ufeffuser_id\r\n anna \r\n"007"\n\nanna\n')
    assert read_requests(file) == ("anna", "007")
    file.write_text("user_id\n\n")
    with pytest.raises(ConfigError, match="names nobody"):
        read_requests(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_requests(tmp_path / "absent")


def test_everything_about_a_user_is_explained_with_its_source(warehouse):
    of, _, _ = warehouse
    found = explain(of, ANNA, DAY + timedelta(days=3))
    assert [about.table for about in found] == ["events", "risk_alerts", "alert_events", "notifications", "deliveries"]
    tables = json.loads(to_json(ANNA, DAY, found))["tables"]
    assert tables["events"]["rows"] == [{"day": "2025-03-12", "source": "x", "event_type": "x", "count": 1}]
    assert tables["events"]["written_by"] == ["ingest_events"] and "cleaned" in tables["events"]["meaning"]
    assert [row["message_id"] for row in tables["notifications"]["rows"]] == [f"offer to {ANNA}"]  # by the key of then
    text = "\n".join(to_lines(ANNA, DAY, found))
    assert "risk_alerts: a warning by a rule or the model" in text and ALERTS[ANNA] in text and BEN not in text
