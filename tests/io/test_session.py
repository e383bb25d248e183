"""Settings of the session that hold for some steps only."""

from types import SimpleNamespace

import pytest

from churnwatch.io import session

KEY = "spark.sql.maxMetadataStringLength"


@pytest.mark.parametrize(
    ("enabled", "partitions", "within"),
    [(True, 7, ("31", "2")), (True, 1, ("31", "1")), (False, 7, ("100", "7")), (True, 200, ("100", "200"))],
)
def test_settings_for_few_rows_hold_within_the_block_alone(spark, monkeypatch, enabled, partitions, within):
    monkeypatch.setattr(session, "FEW_ROWS", {KEY: "31"})
    usual = spark.conf.get(session.PARTITIONS)
    spark.conf.set(session.PARTITIONS, str(partitions))
    try:
        with pytest.raises(ValueError, match="half way"), session.few_rows_settings(spark, enabled):
            assert (spark.conf.get(KEY), spark.conf.get(session.PARTITIONS)) == within
            raise ValueError("half way")
        assert (spark.conf.get(KEY), spark.conf.get(session.PARTITIONS)) == ("100", str(partitions))
    finally:
        spark.conf.set(session.PARTITIONS, usual)


def test_on_databricks_the_number_of_partitions_may_be_a_word(monkeypatch):
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    theirs = SimpleNamespace(conf=SimpleNamespace(get=lambda key, *default: "auto"))
    with session.few_rows_settings(theirs, enabled=True):
        pass
