"""Columns and fields that a contract got after its table was made."""

import dataclasses
from datetime import date

import pytest
from pyspark.sql.types import ArrayType, StructField, StructType

from churnwatch.core import ContractError, new_fields
from churnwatch.io import definitions
from churnwatch.io.store import Store
from smallworld import contracts, rows, settings

DAY = date(2025, 6, 2)


def test_a_new_field_within_reasons_is_added_and_older_rows_lack_it(spark, tmp_path):
    table = contracts().user_scores
    whole = table.schema["reasons"].dataType
    shorter = ArrayType(StructType(whole.elementType.fields[:-2]))
    fields = [
        f if f.name != "reasons" else StructField("reasons", shorter, False, f.metadata)
        for f in table.schema.fields
        if f.name != "features_hash"
    ]
    older = dataclasses.replace(table, schema=StructType(fields))
    row = {"day": DAY, "user_id": "a", "margin": 0.0, "probability": 0.5, "percentile": 0.5, "tier": "all"}
    row |= {"value_cents": 1, "value_at_risk_cents": 1, "model_version": "1", "reasons": [("orders", 1.0, 0.1, None)]}
    store = Store(spark, settings(storage={"root": str(tmp_path), "files": str(tmp_path)}))
    store.create([older])
    store.replace(older, rows(spark, older, [row]), f"day = DATE'{DAY}'", {})
    fresh = Store(spark, settings(storage={"root": str(tmp_path), "files": str(tmp_path)}))
    with pytest.raises(ContractError, match="churnwatch migrate"):
        fresh.create([table])
    definitions.add_columns(
        fresh, table, new_fields(shorter, whole, "reasons") | {"features_hash": table.schema["features_hash"].dataType}
    )
    fresh.create([table])
    newer = row | {"user_id": "b", "reasons": [("orders", 1.0, 0.1, None, 3.0, "orders_4d")], "features_hash": 5}
    fresh.replace(table, rows(spark, table, [row | {"reasons": []}, newer]), f"day = DATE'{DAY}'", {})
    stored = {r.user_id: r for r in fresh.read(table).collect()}
    assert (stored["b"].reasons[0].usual, stored["b"].reasons[0].feature) == (3.0, "orders_4d") and stored["b"].features_hash == 5


def test_a_table_with_a_boolean_in_its_key_is_made(spark, tmp_path):
    table = contracts().cohort_churn
    assert any(table.schema[name].dataType.simpleString() == "boolean" for name in table.keys)
    store = Store(spark, settings(storage={"root": str(tmp_path), "files": str(tmp_path)}))
    assert store.create([table]) == [table.name]


def test_a_comment_that_changed_stops_no_run_and_is_set_in_one_commit(spark, tmp_path):
    table = contracts().deliveries
    older = dataclasses.replace(
        table,
        comment="an older text",
        schema=StructType(
            [StructField(f.name, f.dataType, f.nullable, {"comment": f"older: it's {f.name}"}) for f in table.schema]
        ),
    )
    Store(spark, settings(storage={"root": str(tmp_path), "files": str(tmp_path)})).create([older])
    store = Store(spark, settings(storage={"root": str(tmp_path), "files": str(tmp_path)}))
    store.create([table])  # comments are no difference
    assert definitions.outdated_comments(store, table) == table.schema.names
    definitions.set_comments(store, table, table.schema.names)
    assert definitions.outdated_comments(store, table) == []
    detail = spark.sql(f"DESCRIBE DETAIL {store.sql_name(table)}").first()
    assert detail["description"] == table.comment and store.version(table) == 2
    assert {f.name: f.nullable for f in store.stored_schema(table)} == {f.name: f.nullable for f in table.schema}
