"""The page shows the rows that came late, and those that no load has taken in."""

import json
from datetime import datetime
from types import SimpleNamespace

from churnwatch.reports.page.data_quality import _ingest_blocks


def load(hour, **message):
    counts = {"log": {"read": 10, "accepted": 10}}
    day = datetime(2025, 3, 12).date()
    days = [{"first": day, "last": day}]
    at = datetime(2025, 3, 13, hour)
    return {"job": "ingest_events", "status": "done", "day": day, "days": days, "at": at, "message": json.dumps(counts | message)}


def test_late_rows_are_shown_by_business_day_and_what_waits_as_the_newest_load_found_it():
    # what waited for 2025-03-01 was taken in since: its day has nothing to show
    runs = [
        load(1, late_rows={"2025-03-11": 2}, waiting_rows={"2025-03-01": 3, "2025-03-02": -1}),
        load(2, late_rows={"2025-03-11": 1}, waiting_rows={"2025-03-01": 0}),
    ]
    came_in, late = _ingest_blocks(SimpleNamespace(runs=runs))
    assert [column.name for column in came_in.columns][1:] == ["read", "accepted"]
    assert [list(row[1:]) for row in late.rows] == [["3", "0"], ["0", "files not read"]]
    assert _ingest_blocks(SimpleNamespace(runs=[load(1)]))[1:] == []
