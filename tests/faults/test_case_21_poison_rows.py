"""Rows with bytes that are no UTF-8, with control characters, and of 10 MB: they are refused or kept, and the day goes on."""

import json
from datetime import date

import pytest
from ingestworld import MAP, Ingest, json_source, settings, write_lines

DAY = date(2025, 3, 12)
GOOD = {"user_id": "u1", "event_time": "2025-03-12 10:00:00", "event_type": "view"}
LONG = 10_000_000
POISON = {
    b'{"user_id": "u\\u0000", "event_time": "2025-03-12 10:00:00", "event_type": "view"}': ["control_character"],
    b'{"user_id": "a\\tb", "event_time": "2025-03-12 10:00:00", "event_type": "view"}': ["control_character"],
    b'{"user_id": "u\xff", "event_time": "2025-03-12 10:00:00", "event_type": "view"}': ["bad_encoding"],
    b'{"user_id": "u\xfe", "event_time": "2025-03-12 10:00:00", "event_type": "view"}': ["bad_encoding"],
    b'{"user_id": "u1", "event_time": "2025-03-12 10:00:00", "event_type': ["broken_row"],
}


@pytest.mark.case(21, 24)
def test_poison_rows_are_refused_and_the_day_goes_on(spark, tmp_path):
    folder = tmp_path / "json"
    write_lines(folder / f"log_{DAY}.jsonl", [GOOD, GOOD | {"user_id": "\u00e9"}, GOOD | {"user_id": "e\u0301"}])
    with (folder / f"log_{DAY}.jsonl").open("ab") as file:
        file.write(b"".join(line + b"\n" for line in POISON))
        file.write(json.dumps(GOOD | {"channel": "x" * LONG}).encode() + b"\n")
    rows = b"".join(user + b",2025-03-12 10:00:00,view\n" for user in (b"u\xff", b"v\x00", b"w"))
    (tmp_path / "table.csv").write_bytes(b"user_id,event_time,event_type\n" + rows)
    fields = {name: name for name in ("user_id", "event_time", "event_type")}
    table = {"name": "table", "format": "csv", "path": f"{tmp_path}/table.csv", "options": {"header": "true"}, "map": fields}
    spark.sql(
        "SELECT decode(x'75', 'utf-8') AS user_id, CAST(x'ff41' AS STRING) AS event_id, '2025-03-12 10:00:00' AS t"
    ).write.parquet(f"{tmp_path}/typed")
    fields = {"user_id": "user_id", "event_id": "event_id", "event_time": "t", "event_type": "'view'"}
    typed = {"name": "typed", "format": "parquet", "path": f"{tmp_path}/typed", "map": fields}
    ingest = Ingest(spark, settings(json_source(folder, map=MAP), table, typed))
    counts = ingest.run(DAY)
    assert counts["log"].items() >= {"accepted": 4, "rejected": 5, "duplicate": 0}.items()
    found = {row["raw"]: row["reasons"] for row in ingest.rejected_events if row["source"] == "log"}
    # a byte that is no UTF-8 is U+FFFD, so that every reader can read the table
    assert found == {line.decode(errors="replace"): reasons for line, reasons in POISON.items()}
    others = sorted((row["source"], *row["reasons"]) for row in ingest.rejected_events if row["source"] != "log")
    assert others == [("table", "bad_encoding"), ("table", "control_character"), ("typed", "bad_encoding")]
    assert sorted(row["user_id"] for row in ingest.events) == sorted(["u1", "u1", "w", "\u00e9", "e\u0301"])
    assert max(len(row["channel"] or "") for row in ingest.events) == LONG
