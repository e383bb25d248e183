"""Pseudonymised tables hold keyed hashes; the key stands in no plan and on no page of Spark."""

import json
from datetime import date

import pytest
from pyspark.sql import functions as F

import smallworld
from churnwatch import events
from churnwatch.core import ConfigError, ContractError
from churnwatch.io.keys import check_table_ids, id_key, keyed_id, rotate_id_key, table_key, without_ids
from churnwatch.io.sources import Sources
from churnwatch.io.store import Store
from churnwatch.tables import tables

DAY = date(2025, 3, 12)
FIELDS = {name: name for name in ("user_id", "event_time", "event_type", "item_id")}
ROW = {"event_time": "2025-03-12 10:00:00", "event_type": "view"}


def settings(folder, **privacy):
    events_, people = (
        {"name": name, "format": "json", "path": f"{folder}/{name}.jsonl", "map": fields}
        for name, fields in (("log", FIELDS), ("people", {"user_id": "user_id", "plan": "plan"}))
    )
    return smallworld.settings(
        storage={"root": f"{folder}/tables", "files": f"{folder}/files"},
        sources={"events": [events_], "users": people},
        privacy={"id_key": {"file": f"{folder}/files/id_key"}, **privacy},
        quality={"max_rejected_share": 1.0},
    )


@pytest.fixture(scope="module")
def ingested(spark, tmp_path_factory):
    """Frames of an ingest with pseudonyms, its settings, their plans, and the folder of the staged rows."""
    folder = tmp_path_factory.mktemp("pseudonyms")
    lines = [ROW | {"user_id": "anna"}, ROW | {"user_id": " anna "}, ROW | {"user_id": "guest"}, ROW | {"user_id": "a\u0000b"}]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "people.jsonl").write_text('{"user_id": "anna", "plan": "pro"}\n')
    conf = settings(folder, pseudonymise=True)
    inputs = {kind: smallworld.as_of(spark, tables(conf)[kind], [], [DAY]) for kind in ("users", "consents", "context")}
    whole = {"spark.sql.debug.maxToStringFields": "1000", "spark.sql.maxPlanStringLength": "10000000"}
    before = {name: spark.conf.get(name) for name in whole}
    for name, value in whole.items():
        spark.conf.set(name, value)
    staged = events.classify_rows(inputs, [DAY], Sources(spark, conf), conf)
    plans = "".join(frame._jdf.queryExecution().toString() for frame in staged.values())
    for name, frame in staged.items():
        frame.write.parquet(f"{folder}/staged/{name}")
        inputs[name] = spark.read.schema(frame.schema).parquet(f"{folder}/staged/{name}")
    for name, value in before.items():
        spark.conf.set(name, value)
    return events.build_tables(inputs, [DAY], conf), conf, plans, folder


def test_tables_hold_keyed_hashes_and_no_id(spark, ingested):
    frames, conf, _, folder = ingested
    anna = keyed_id("anna", table_key(conf))
    assert [row["user_id"] for row in frames["events"].collect()] == [anna, anna]
    assert [(row["user_id"], row["attributes"]) for row in frames["users"].collect()] == [(anna, {"plan": "pro"})]
    rejects = sorted((row["reasons"], row["raw"]) for row in frames["rejected_events"].collect())
    assert rejects == [(["control_character"], None), (["no_user"], None)]
    for name in ("events", "statements"):
        frame = spark.read.parquet(f"{folder}/staged/{name}")
        assert frame.where(F.to_json(F.struct("*")).contains("anna")).isEmpty()


def test_the_key_stands_in_no_plan_and_no_page_of_spark(spark, ingested):
    _, conf, plans, _ = ingested
    key = table_key(conf).decode()
    assert "MapInArrow" in plans and "hash_batches" in plans and key not in plans and "anna" not in plans
    executions = spark._jsparkSession.sharedState().statusStore().executionsList()
    shown = [executions.apply(n).physicalPlanDescription() + executions.apply(n).description() for n in range(executions.size())]
    assert shown and not any(key in text for text in shown)


def test_a_warehouse_keeps_to_one_kind_of_ids(tmp_path):
    plain, hashed = settings(tmp_path), settings(tmp_path, pseudonymise=True)
    check_table_ids(plain, has_rows=True)
    with pytest.raises(ConfigError, match="the tables hold user ids as the sources give them"):
        check_table_ids(hashed, has_rows=True)
    check_table_ids(hashed, has_rows=False)
    check_table_ids(hashed, has_rows=True)
    with pytest.raises(ConfigError, match="this configuration writes them as the sources give them"):
        check_table_ids(plain, has_rows=True)
    other = settings(tmp_path, pseudonymise=True, table_key={"file": f"{tmp_path}/other_key"})
    with pytest.raises(ConfigError, match="hashed with the key .*, this configuration writes them hashed with the key"):
        check_table_ids(other, has_rows=True)
    with pytest.raises(ConfigError, match="privacy.table_key is missing"):
        check_table_ids(settings(tmp_path / "new", pseudonymise=True, id_key={"env": "KEY"}), has_rows=False)


def test_rotation_changes_the_key_of_pages_and_keeps_the_old_one(tmp_path):
    conf = settings(tmp_path)
    with pytest.raises(ConfigError, match="there is no key to replace"):
        rotate_id_key(conf)
    first, of_tables = id_key(conf), table_key(conf)
    kept = [rotate_id_key(conf), rotate_id_key(conf)]
    assert [path.name for path in kept] == ["id_key.1", "id_key.2"]
    assert kept[0].read_bytes().strip() == first and len({first, kept[1].read_bytes().strip(), id_key(conf)}) == 3
    assert table_key(conf) == of_tables and not kept[0].stat().st_mode & 0o077
    with pytest.raises(ConfigError, match="environment variable KEY, which this command cannot change"):
        rotate_id_key(settings(tmp_path, id_key={"env": "KEY"}))


def test_a_broken_contract_names_the_user_by_the_keyed_hash(spark, tmp_path):
    conf = settings(tmp_path)
    contract, store = tables(conf).users, Store(spark, conf)
    store.create([contract])
    bad = smallworld.rows(spark, contract, [{"day": DAY, "user_id": "anna"}])
    with pytest.raises(ContractError) as broken:
        store.replace(contract, bad, f"day = DATE'{DAY}'", {})
    text, hashed = str(broken.value), keyed_id("anna", id_key(conf))[:16]
    assert "full is never null: 1 of 1 rows" in text and f'"user_id": "{hashed}"' in text and "anna" not in text
    assert json.loads(without_ids('{"unit": "anna", "experiment": "e"}', conf)) == {"unit": hashed, "experiment": "e"}
