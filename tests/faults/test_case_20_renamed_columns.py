"""A renamed column is found: its field is suddenly null, or the files lack the column. An added one is named once."""

from datetime import date, timedelta

import pytest
from ingestworld import MAP, Ingest, json_source, settings, write_lines

from churnwatch.core import DataQualityError
from churnwatch.staleness import late_lines

FIRST = date(2025, 3, 3)
PEOPLE = {"name": "people", "format": "json", "map": {"user_id": "u", "plan": "plan"}}


def write_day(folder, day, amount="amount", plan="plan"):
    rows = [
        {"user_id": f"u{n}", "event_time": f"{day} 10:{n}:00", "event_type": "pay", amount: n if n % 2 else None}
        for n in range(10, 40)
    ]
    write_lines(folder / f"log_{day}.jsonl", rows)
    write_lines(folder / f"people_{day}.jsonl", [{"u": f"u{n}", plan: f"p{day}"} for n in range(30)])


@pytest.mark.case(20)
def test_a_renamed_field_stops_the_day_and_is_named(spark, tmp_path):
    days = [FIRST + timedelta(days=n) for n in range(5)]
    for day in days[:3]:
        write_day(tmp_path, day)
    write_day(tmp_path, days[3], amount="amount_eur", plan="tariff")
    people = PEOPLE | {"path": f"{tmp_path}/people_{{day}}.jsonl", "file_days": [0]}

    def conf(**quality):
        return settings(json_source(tmp_path, map=MAP), users=people, quality={"max_rejected_share": 1.0} | quality)

    ingest = Ingest(spark, conf())
    ingest.run(*days[:3], with_history=True)
    kept = {(row["source"], row["day"]): row for row in ingest.source_days}
    assert kept["log", FIRST]["rows"] == 30 and kept["log", FIRST]["hours"] == {10: 30}
    assert kept["log", FIRST]["nulls"] == dict.fromkeys(("duration_s", "item_id", "session_id", "channel"), 30) | {"amount": 15}
    assert (kept["people", FIRST]["hours"], kept["people", FIRST]["nulls"]) == (None, {"plan": 0})
    with pytest.raises(DataQualityError) as stopped:
        ingest.run(days[3], with_history=True)
    text = str(stopped.value)
    assert "log 2025-03-06: amount is null in 100.0% of 30 rows, in 50.0% on the 3 days before" in text
    assert "people 2025-03-06: plan is null in 100.0% of 30 rows, in 0.0%" in text and "max_null_share_rise" in text
    ingest.conf = conf(max_null_share_rise=None)
    assert ingest.run(days[3], with_history=True)["log"]["accepted"] == 30


@pytest.mark.case(20)
def test_a_column_that_the_files_lack_is_named_with_those_they_have(spark, tmp_path):
    spark.sql("SELECT 'u' AS user_id, TIMESTAMP'2025-03-03 10:00:00Z' AS event_time, 'x' AS kind").write.parquet(
        f"{tmp_path}/log"
    )
    fields = {"user_id": "user_id", "event_time": "event_time", "event_type": "event_type"}
    source = {"name": "log", "format": "parquet", "path": f"{tmp_path}/log", "map": fields}
    with pytest.raises(DataQualityError, match="source log: the map names `event_type`, which the files lack; they have user_id"):
        Ingest(spark, settings(source)).run(FIRST)


@pytest.mark.case(20)
def test_an_added_column_is_named_once_and_the_day_goes_on(spark, tmp_path):
    fields = {"user_id": "user_id", "event_time": "event_time", "event_type": "event_type"}
    table = {"name": "table", "format": "csv", "path": f"{tmp_path}/table_{{day}}.csv", "options": {"header": "true"}}
    typed = {"name": "typed", "format": "parquet", "path": f"{tmp_path}/typed_{{day}}"}
    ingest = Ingest(spark, settings(json_source(tmp_path, "lines", map=fields), table | {"map": fields}, typed | {"map": fields}))
    notes = []
    for day in (FIRST + timedelta(days=n) for n in range(4)):
        row = {"user_id": "u", "event_time": f"{day} 10:00:00", "event_type": "x"}
        if len(notes) >= 2:
            row = {"discount": "3"} | row  # first, so that it would move the others if they were read by their place
        write_lines(tmp_path / f"lines_{day}.jsonl", [row])
        write_lines(tmp_path / f"table_{day}.csv", [",".join(row), ",".join(row.values())])
        spark.createDataFrame([row]).coalesce(1).write.parquet(f"{tmp_path}/typed_{day}")
        counts = ingest.run(day)
        assert [counts[name]["accepted"] for name in ("lines", "table", "typed")] == [1, 1, 1]
        notes.append(late_lines(ingest.scope.note))
    what = "has columns that it did not have before: discount. A column is read when map of the source names it"
    assert notes == [[], [], [f"{name} {what}" for name in ("lines", "table", "typed")], []]
