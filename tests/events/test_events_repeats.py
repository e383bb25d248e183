"""Identical rows without an id: how many are events where files overlap or a delivery came twice."""

from collections import Counter
from datetime import date, timedelta

import pytest
from ingestworld import MAP, NO_GATE, Ingest, json_source, settings, write_lines

from churnwatch.core import DataQualityError

DAY = date(2025, 3, 12)
NEXT = DAY + timedelta(days=1)
BEER = {"user_id": "u1", "event_time": "2025-03-12 20:00:00", "event_type": "purchase", "amount": "3.00", "item_id": "beer"}
WINE, CAKE = BEER | {"item_id": "wine"}, BEER | {"item_id": "cake"}
FIRST, SECOND = [BEER, BEER, WINE, CAKE], [WINE, BEER, BEER, BEER]


@pytest.fixture(scope="module")
def delivered_twice(spark, tmp_path_factory):
    """The counts, and the events by source, of two overlapping files: kept, dropped, and with ids of their own."""
    folder = tmp_path_factory.mktemp("repeats")
    for name in ("kept", "dropped", "named"):
        for day, rows in ((DAY, FIRST), (NEXT, SECOND)):
            write_lines(folder / f"{name}_{day}.jsonl", [row | {"id": f"{row['item_id']}{n}"} for n, row in enumerate(rows)])
    sources = [json_source(folder, "kept"), json_source(folder, "dropped", repeats="drop")]
    sources.append(json_source(folder, "named", map=MAP | {"event_id": "id"}))
    ingest = Ingest(spark, settings(*sources))
    counts = ingest.run(DAY)
    return counts, {name: [row for row in ingest.events if row["source"] == name] for name in counts}


def test_a_row_counts_as_often_as_in_the_file_with_most_of_it(delivered_twice):
    counts, events = delivered_twice
    assert Counter(row["item_id"] for row in events["dropped"]) == {"beer": 3, "wine": 1, "cake": 1}
    assert counts["dropped"] == {
        "read": 8,
        "accepted": 5,
        "duplicate": 3,
        "rejected": 0,
        "outside_days": 0,
        "identical_across_files": 3,
        "id_conflicts": 0,
    }
    # the same ids as where the repeats are kept, the first ordinals of each row
    assert {row["event_id"] for row in events["dropped"]} < {row["event_id"] for row in events["kept"]}


def test_kept_repeats_are_counted(delivered_twice):
    counts, events = delivered_twice
    assert Counter(row["item_id"] for row in events["kept"]) == {"beer": 5, "wine": 2, "cake": 1}
    assert (counts["kept"]["duplicate"], counts["kept"]["identical_across_files"]) == (0, 3)


def test_rows_with_an_id_are_compared_by_it_alone(delivered_twice):
    counts, _ = delivered_twice
    # beer1 stands in both files; the other ids differ
    assert (counts["named"]["duplicate"], counts["named"]["identical_across_files"]) == (1, 0)


def test_too_many_identical_rows_stop_with_two_files_and_the_key(spark, tmp_path):
    many = [BEER | {"item_id": f"item {n}"} for n in range(98)]
    write_lines(tmp_path / f"log_{DAY}.jsonl", [*many, BEER])
    write_lines(tmp_path / f"log_{NEXT}.jsonl", [BEER])
    quality = {"max_rejected_share": 0.0, "max_nobody_share": 0.0}
    counts = Ingest(spark, settings(json_source(tmp_path), quality=quality)).run(DAY)
    assert (counts["log"]["accepted"], counts["log"]["identical_across_files"]) == (100, 1)  # not more than 1 %
    write_lines(tmp_path / f"log_{NEXT}.jsonl", [BEER, many[0]])
    with pytest.raises(DataQualityError) as stopped:
        Ingest(spark, settings(json_source(tmp_path), quality=quality)).run(DAY)
    text = str(stopped.value)
    assert "nothing was published" in text
    assert "log: 2 of 101 accepted rows (2.0%) are identical to rows of another file" in text
    assert (
        f"/log_{DAY}.jsonl and" in text
        and f"/log_{NEXT}.jsonl have: day {DAY}, event_time {DAY} 20:00:00" in text
        and "u1" not in text
    )
    assert "Hint: repeats: drop" in text and len(text.splitlines()) == 5  # what a command prints of an error
    dropped = json_source(tmp_path, repeats="drop")
    assert Ingest(spark, settings(dropped, quality=quality)).run(DAY)["log"]["accepted"] == 99
    loose = settings(json_source(tmp_path), quality=NO_GATE)
    assert Ingest(spark, loose).run(DAY)["log"]["accepted"] == 101
