"""Events of devices whose clock is ahead are refused as future_event."""

from datetime import UTC, date, datetime

import pytest
from ingestworld import MAP, UNDATED, Ingest, json_source, settings, write_lines

DAY = date(2025, 3, 12)
READ_AT = datetime(2025, 3, 12, 12, tzinfo=UTC)
GOOD = {"user_id": "u1", "event_type": "view"}


def at(time):
    return GOOD | {"event_time": time, "item_id": time}


@pytest.mark.case(12, 40)
def test_events_of_the_future_are_refused_and_the_day_is_as_without_them(spark, tmp_path, monkeypatch):
    monkeypatch.setattr("churnwatch.io.sources.now", lambda: READ_AT)
    # a file without a day: five minutes of the clock at ingest
    write_lines(tmp_path / "all.jsonl", [at("2025-03-12 12:05:00"), at("2025-03-12 12:05:01"), at("2031-01-01 00:00:00")])
    # a file of a day: what no day finds that reads the file
    write_lines(tmp_path / f"log_{DAY}.jsonl", [at("2025-03-12 23:00:00"), at("2025-03-14 00:00:00"), at("2025-03-10 23:59:59")])
    whole = json_source(tmp_path, "whole", path=f"{tmp_path}/all.jsonl")
    ingest = Ingest(spark, settings(json_source(tmp_path, map=MAP), whole))
    ingest.run(DAY)
    assert sorted(row["item_id"] for row in ingest.events) == ["2025-03-12 12:05:00", "2025-03-12 23:00:00"]
    refused = sorted((row["source"], row["day"], *row["reasons"]) for row in ingest.rejected_events)
    assert refused == [
        ("log", DAY, "future_event"),
        ("log", DAY, "time_far_from_file"),
        ("whole", UNDATED, "future_event"),
        ("whole", UNDATED, "future_event"),
    ]
