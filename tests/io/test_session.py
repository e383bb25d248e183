"""Settings of the session that hold for some steps only."""

from types import SimpleNamespace

import pytest

from churnwatch.io import session

KEY = "spark.sql.maxMetadataStringLength"


@pytest.mark.parametrize(("enabled", "partitions", "within"), [(True, 7, "31"), (False, 7, "100"), (True, 200, "100")])
def test_settings_for_few_rows_hold_within_the_block_alone(spark, monkeypatch, enabled, partitions, within):
    monkeypatch.setattr(session, "FEW_ROWS", {KEY: "31"})
    usual = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", str(partitions))
    try:
        with pytest.raises(ValueError, match="half way"), session.few_rows_settings(spark, enabled):
            assert spark.conf.get(KEY) == within
            raise ValueError("half way")
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", usual)
    assert spark.conf.get(KEY) == "100"


def test_on_databricks_the_number_of_partitions_may_be_a_word(monkeypatch):
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    theirs = SimpleNamespace(conf=SimpleNamespace(get=lambda key, *default: "auto"))
    with session.few_rows_settings(theirs, enabled=True):
        pass
