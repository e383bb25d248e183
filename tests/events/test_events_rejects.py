"""Every refused row is stored with all its reasons, and every row read is counted once."""

import json
from collections import Counter
from datetime import date

import pytest
from ingestworld import MAP, Ingest, json_source, settings, write_lines
from pyspark.sql.types import StructType

from churnwatch.core import DataQualityError
from churnwatch.events import gate
from churnwatch.events.event_rows import EVENT_SCHEMA
from churnwatch.events.statements import STATEMENT_SCHEMA

DAY = date(2025, 3, 12)
GOOD = {"user_id": "u1", "event_time": "2025-03-12 10:00:00", "event_type": "view", "amount": "1.00", "duration_s": 2}

# kind -> (change of a good row, reasons)
JSON_KINDS = {
    "null_user": ({"user_id": None}, ["no_user"]),
    "blank_user": ({"user_id": " \t\u00a0"}, ["no_user"]),
    "null_time": ({"event_time": None}, ["no_time"]),
    "word_for_time": ({"event_time": "yesterday"}, ["bad_time"]),
    "leap_day_of_no_leap_year": ({"event_time": "2025-02-29 10:00:00"}, ["bad_time"]),
    "time_without_date": ({"event_time": "12:30"}, ["bad_time"]),
    "epoch_zero": ({"event_time": "1970-01-01T00:00:00Z"}, ["impossible_time"]),
    "next_century": ({"event_time": "2105-03-12T00:00:00Z"}, ["impossible_time"]),
    "long_ago": ({"event_time": "2024-12-24 10:00:00"}, ["time_far_from_file"]),
    "no_type": ({"event_type": ""}, ["no_type"]),
    "unknown_type": ({"event_type": "veiw"}, ["unknown_type"]),
    "two_faults": ({"user_id": "", "event_time": "?"}, ["bad_time", "no_user"]),
    "broken_json": (None, ["broken_row"]),
    "not_an_object": (None, ["broken_row"]),
}
CSV_KINDS = {
    "nan_amount": ({"amount": "NaN"}, ["amount_not_finite"]),
    "infinite_amount": ({"amount": "-Infinity"}, ["amount_not_finite"]),
    "comma_amount": ({"amount": "1;50"}, ["bad_amount"]),
    "huge_amount": ({"amount": "1e17"}, ["amount_too_large"]),
    "negative_duration": ({"duration_s": "-1"}, ["negative_duration"]),
    "too_wide": (None, ["broken_row"]),
}
KINDS = JSON_KINDS | CSV_KINDS
EACH = 50
CSV_COLUMNS = ["user_id", "event_time", "event_type", "amount", "duration_s", "item_id", "session_id", "channel"]


def bad_line(kind, change, n):
    row = GOOD | {"item_id": f"{kind}:{n}"} | (change or {})
    if kind == "broken_json":
        return json.dumps(row)[:-2]
    return f"[{json.dumps(row)}, 1]" if kind == "not_an_object" else json.dumps(row)


def csv_line(row, tail=""):
    return ",".join(str(row.get(name, "")) for name in CSV_COLUMNS) + tail


@pytest.fixture(scope="module")
def thousand(spark, tmp_path_factory):
    """1,000 bad rows of 20 kinds beside good ones, repeats and events of other days, ingested for one day."""
    folder = tmp_path_factory.mktemp("thousand")
    good = [GOOD | {"id": f"g{n}", "user_id": f"u{n}"} for n in range(200)]
    other_days = [GOOD | {"id": f"o{n}", "event_time": f"2025-03-{11 + n % 2 * 2} 23:00:00"} for n in range(30)]
    bad = [bad_line(kind, change, n) for kind, (change, _) in JSON_KINDS.items() for n in range(EACH)]
    write_lines(folder / f"log_{DAY}.jsonl", [*good, *bad, *good[:40], *other_days])
    bad_csv = [
        csv_line(GOOD | {"item_id": f"{kind}:{n}"} | (change or {}), ",more" if kind == "too_wide" else "")
        for kind, (change, _) in CSV_KINDS.items()
        for n in range(EACH)
    ]
    write_lines(folder / "table.csv", [",".join(CSV_COLUMNS), *bad_csv, csv_line(GOOD), csv_line(GOOD)])
    log = json_source(folder, map=MAP | {"event_id": "id"}, event_types=["view"])
    table = {"name": "table", "format": "csv", "path": f"{folder}/table.csv", "options": {"header": "true"}, "map": MAP}
    ingest = Ingest(spark, settings(log, table))
    return ingest.run(DAY), ingest


@pytest.mark.case(13, 21, 23, 27, 47)
def test_a_thousand_bad_rows_of_twenty_kinds_are_kept_with_every_reason(thousand):
    _, ingest = thousand
    assert len(KINDS) == 20
    assert len(ingest.rejected_events) == 1000
    found = {kind: Counter() for kind in KINDS}
    for row in ingest.rejected_events:
        kind = next(kind for kind in KINDS if f"{kind}:" in row["raw"])
        found[kind][tuple(row["reasons"])] += 1
    assert found == {kind: Counter({tuple(reasons): EACH}) for kind, (_, reasons) in KINDS.items()}


def test_read_is_accepted_and_duplicate_and_rejected_and_outside_days(thousand):
    counts, _ = thousand
    assert counts == {
        "log": {
            "read": 970,
            "accepted": 200,
            "duplicate": 40,
            "rejected": 700,
            "outside_days": 30,
            "identical_across_files": 0,
            "id_conflicts": 0,
        },
        "table": {
            "read": 302,
            "accepted": 2,
            "duplicate": 0,
            "rejected": 300,
            "outside_days": 0,
            "identical_across_files": 0,
            "id_conflicts": 0,
        },
    }


def test_rejects_lie_under_their_own_day_else_their_files_else_1970(thousand):
    _, ingest = thousand
    days = {}
    for row in ingest.rejected_events:
        days.setdefault((row["source"], row["raw"].split('"item_id')[-1].split(":")[1].strip(' "')), set()).add(row["day"])
    dated = {day for (source, _), found in days.items() if source == "log" for day in found}
    assert dated == {DAY}  # also those without a time: their file is of the day
    undated = {r["day"] for r in ingest.rejected_events if r["source"] == "table" and r["reasons"] == ["broken_row"]}
    timed = {r["day"] for r in ingest.rejected_events if r["source"] == "table" and r["reasons"] != ["broken_row"]}
    assert (undated, timed) == ({date(1970, 1, 1)}, {DAY})


def test_rejects_have_an_identity_and_the_row_as_it_was(thousand):
    _, ingest = thousand
    assert len({row["reject_id"] for row in ingest.rejected_events}) == 1000
    line = next(row for row in ingest.rejected_events if "unknown_type:7" in row["raw"])
    assert json.loads(line["raw"]) == GOOD | {"item_id": "unknown_type:7", "event_type": "veiw"}
    assert line["file"].endswith(f"/log_{DAY}.jsonl")


def test_too_many_rejects_stop_with_counts_and_reasons(spark, tmp_path):
    write_lines(tmp_path / f"log_{DAY}.jsonl", [GOOD] * 18 + [GOOD | {"user_id": None}] * 2)
    Ingest(spark, settings(json_source(tmp_path), quality={"max_rejected_share": 0.1})).run(DAY)
    with pytest.raises(DataQualityError) as stopped:
        Ingest(spark, settings(json_source(tmp_path), quality={"max_rejected_share": 0.09})).run(DAY)
    text = str(stopped.value)
    assert "nothing was published" in text
    assert "log: 10.0% of rows refused" in text
    assert "read 20 = 18 accepted + 0 duplicate + 2 rejected + 0 outside_days; no_user 2" in text


def test_dates_of_users_that_cannot_be_read_are_counted_and_stop_beyond_a_share(spark, tmp_path):
    ends = {"kind": "event", "attribute": "ends", "active_within_days": 7, "horizon_days": 7}
    churn = {"primary": "ends", "definitions": {"ends": ends}}
    values = ["31.12.2025", "2025", " 2025-12-31 ", "2025-12-31 23:00:00", " ", None, "2025-02-29", "2025-1-2"]
    write_lines(tmp_path / f"users_{DAY}.jsonl", [{"u": f"u{n}", "ends": value} for n, value in enumerate(values)])
    source = {"name": "people", "format": "json", "path": f"{tmp_path}/users_{{day}}.jsonl"}
    source["map"] = {"user_id": "u", "ends": "ends"}
    write_lines(tmp_path / f"log_{DAY}.jsonl", [GOOD])

    def ingest(limit):
        share = {"max_rejected_share": 1.0, "max_unreadable_share": limit}
        return Ingest(spark, settings(json_source(tmp_path), users=source, churn=churn, quality=share)).run(DAY)

    # of the six that are not blank
    assert ingest(0.5)["people"]["unreadable_ends"] == 3
    with pytest.raises(DataQualityError) as stopped:
        ingest(0.4)
    text = str(stopped.value)
    assert "nothing was published" in text and "attribute ends: 3 of 6 values (50.0%) are no date, such as '2025'" in text
    assert "Hint: map it to a date" in text


def test_undated_rejects_of_a_whole_file_do_not_stop_a_single_day(spark, tmp_path):
    many = [GOOD | {"event_time": f"2025-03-{n % 20 + 1:02} 10:00:00"} for n in range(96)]
    write_lines(tmp_path / "all.jsonl", [*many, *[GOOD | {"event_time": None}] * 4])
    conf = settings(json_source(tmp_path, path=f"{tmp_path}/all.jsonl"), quality={"max_rejected_share": 0.05})
    assert Ingest(spark, conf).run(DAY)["log"] == {
        "read": 100,
        "accepted": 5,
        "duplicate": 0,
        "rejected": 4,
        "outside_days": 91,
        "identical_across_files": 0,
        "id_conflicts": 0,
    }


@pytest.mark.case(18)
def test_empty_days_stop_where_they_are_not_allowed(spark, tmp_path):
    write_lines(tmp_path / f"log_{DAY}.jsonl", [GOOD])
    strict = settings(json_source(tmp_path), quality={"allow_empty_days": False})
    with pytest.raises(DataQualityError, match="no event on 2025-03-13, 2025-03-14"):
        Ingest(spark, strict).run(DAY, date(2025, 3, 13), date(2025, 3, 14))


@pytest.mark.case(19)
def test_a_day_far_below_the_usual_stops(spark, tmp_path):
    for n in range(1, 9):
        write_lines(
            tmp_path / f"log_2025-03-{n:02}.jsonl", [GOOD | {"event_time": f"2025-03-{n:02} 10:00:00"}] * (10 if n < 8 else 4)
        )
    conf = settings(json_source(tmp_path), quality={"min_rows_share_of_usual": 0.5})
    ingest = Ingest(spark, settings(json_source(tmp_path)))
    ingest.run(*(date(2025, 3, n) for n in range(1, 9)))
    columns = StructType.fromDDL(EVENT_SCHEMA).names
    accepted = [{"verdict": "accepted", "nobody": False, "conflict": False} | row for row in ingest.events]
    rows = spark.createDataFrame([tuple(row.get(name) for name in columns) for row in accepted], EVENT_SCHEMA)
    before = spark.createDataFrame([(row["day"],) for row in ingest.events], "day DATE")
    inputs = {"events": rows, "statements": spark.createDataFrame([], STATEMENT_SCHEMA), "events_before": before}
    days = [date(2025, 3, n) for n in range(1, 9)]
    with pytest.raises(DataQualityError, match="2025-03-08: 4 events, fewer than 50% of the usual 10"):
        gate(inputs, days, conf)
    # rows of a day that is not taken in count as outside
    assert gate(inputs, days[:7], conf)["log"].items() >= {"accepted": 70, "outside_days": 4}.items()
