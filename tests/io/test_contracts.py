"""A stored table and its contract: columns that were taken out of the configuration, and rules that changed."""

import dataclasses
from datetime import date

import pytest
from pyspark.sql.types import StructField, StructType

from churnwatch.core import ContractError
from churnwatch.io import definitions
from churnwatch.io.contracts import contract_differences
from churnwatch.io.store import Store
from smallworld import contracts, rows, settings

DAY = date(2025, 6, 2)
TABLE = contracts().activity_trend
RULES = {f"delta.constraints.{name.lower()}": rule for name, rule in TABLE.rules.items()}


def with_column(name, nullable):
    return StructType([*TABLE.schema.fields, StructField(name, TABLE.schema["day"].dataType, nullable, {"comment": name})])


def test_a_column_that_was_taken_out_is_no_difference_when_it_may_be_null():
    assert contract_differences(TABLE, TABLE.schema, RULES) == []
    assert contract_differences(TABLE, with_column("old", True), RULES) == []
    found = contract_differences(TABLE, with_column("old", False), RULES)
    assert found == ["column old (date) is not in the contract and never null"]


def test_rules_and_properties_are_compared_as_columns_are():
    found = contract_differences(TABLE, TABLE.schema, RULES | {"delta.constraints.odd": "day IS NULL"})
    assert found == ["rule odd is another one as stored"]
    activity = contracts().daily_activity
    (name, value), *_ = activity.properties.items()
    rules = {f"delta.constraints.{rule}": text for rule, text in activity.rules.items()}
    assert contract_differences(activity, activity.schema, rules | {name: value}) == []
    assert name in contract_differences(activity, activity.schema, rules | {name: "99"})[0]


def test_a_column_that_was_taken_out_is_unread_and_a_rule_is_never_missing(spark, tmp_path, monkeypatch):
    monkeypatch.setenv("UNUSED", "0" * 32)  # the key of ids in messages
    table = contracts().bots
    older = dataclasses.replace(
        table,
        schema=StructType([*table.schema.fields, StructField("gone", table.schema["day"].dataType, False, {"comment": "gone"})]),
        rules={"user_known": "user_id != 'x'"},
    )
    where, conf = f"day = DATE'{DAY}'", settings(storage={"root": str(tmp_path), "files": str(tmp_path)})
    store = Store(spark, conf)
    store.create([older])
    store.replace(older, rows(spark, older, [{"day": DAY, "user_id": "a", "gone": DAY}]), where, {})
    newer = dataclasses.replace(table, rules={"user_known": "user_id != 'y'"})
    fresh = Store(spark, conf)
    with pytest.raises(ContractError, match="(?s)gone.*user_known.*"):
        fresh.create([newer])
    definitions.relax_columns(fresh, newer, ["gone"])
    with pytest.raises(ContractError, match="stored rows break the new rule"):
        definitions.set_rules(fresh, dataclasses.replace(newer, rules={"user_known": "user_id != 'a'"}), ["user_known"])
    assert fresh.properties(newer)["delta.constraints.user_known"] == "user_id != 'x'"
    definitions.set_rules(fresh, newer, ["user_known"])
    fresh.create([newer])
    assert fresh.properties(newer)["delta.constraints.user_known"] == "user_id != 'y'"
    fresh.replace(newer, rows(spark, newer, [{"day": DAY, "user_id": "b"}]), f"{where} AND user_id = 'b'", {})
    assert sorted(fresh.read(newer).collect()) == [(DAY, "a"), (DAY, "b")]
    with pytest.raises(ContractError, match="user_known"):
        fresh.replace(newer, rows(spark, newer, [{"day": DAY, "user_id": "y"}]), f"{where} AND user_id = 'y'", {})
