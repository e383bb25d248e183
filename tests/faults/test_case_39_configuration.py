"""Faults of the configuration and of the command line end a command before Spark starts."""

from datetime import UTC, date, datetime

import pytest

import smallworld
from churnwatch.core import ConfigError
from churnwatch.io import clock
from churnwatch.settings.check import cross_faults
from churnwatch.settings.faults import sql_faults

CLOCK = ("current_date()", "current_date", "now()", "current_timestamp", "unix_timestamp()", "CURRENT_USER", "localtimestamp()")
CHANCE = (
    "rand()",
    "`rand`()",
    "uuid()",
    "shuffle(items)",
    "monotonically_increasing_id()",
    "spark_partition_id()",
    "uniform(1, 2)",
)
OUTSIDE = ("secret('a', 'b')", "http_request(item_id)", "ai_query('m', item_id)", "main.own.ai(item_id)", "java_method('a', 'b')")
FINE = (
    "coalesce(try_cast(m AS DECIMAL(18, 2)), 0) * (1 + 2) > 3 AND (i IN ('now()', \"rand()\") OR NOT (a.user IS NULL))",
    "CASE WHEN (size(filter(items, x -> (x > 1))) > 0) THEN (`current_date`) ELSE unix_timestamp(at, 'yyyy') END",
    "date_trunc('month', timestamp_millis(t)) - INTERVAL 2 DAYS = properties['now']",
    "user",
)


@pytest.mark.case(39, 40)
def test_expressions_depend_on_their_columns_alone():
    for text in (*CLOCK, *CHANCE, *OUTSIDE):
        ((path, fault),) = list(sql_faults(("measures", "x"), f"item_id = {text}", None))
        assert path == ("measures", "x") and fault.startswith("function ") and "is refused" in fault and "Hint" in fault, text
    assert [list(sql_faults((), text, None)) for text in FINE] == [[]] * len(FINE)
    # where the columns are known, user is who runs it
    assert next(iter(sql_faults((), "user = item_id", ["item_id"])))[1].startswith("function user is refused")


@pytest.mark.case(22, 39)
def test_readers_that_leave_out_what_is_damaged_are_refused():
    skipping = {"spark.sql.files.ignoreCorruptFiles": True, "spark.sql.files.ignoreMissingFiles": "false"}
    found = dict(cross_faults(smallworld.settings(spark=skipping)))
    assert list(found) == [("spark", "spark.sql.files.ignoreCorruptFiles")]
    source = {"name": "e", "format": "csv", "path": "x", "map": {"user_id": "u", "event_time": "t", "event_type": "'x'"}}
    for options in ({"ignoreCorruptFiles": "TRUE"}, {"ignoreMissingFiles": "true"}, {"MODE": "DropMalformed"}):
        with pytest.raises(ValueError, match="would leave out rows without a word"):
            smallworld.settings(sources={"events": [source | {"options": options}]})


@pytest.mark.case(39)
def test_days_after_tomorrow_are_refused(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 1, 31, 17, tzinfo=UTC))
    in_utc, in_tokyo = smallworld.settings(), smallworld.settings(clock={"time_zone": "Asia/Tokyo"})
    clock.refuse_future(date(2026, 2, 1), in_utc)
    clock.refuse_future(date(2026, 2, 2), in_tokyo)  # there it is 1 February already
    for day, settings in ((date(2026, 2, 2), in_utc), (date(2062, 1, 1), in_tokyo)):
        with pytest.raises(ConfigError, match=f"the day {day} lies in the future") as refused:
            clock.refuse_future(day, settings)
        assert refused.value.exit_code == 2
