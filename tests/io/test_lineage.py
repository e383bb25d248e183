"""What a lineage server hears about runs, through the transport into a file of openlineage-python itself."""

import json
import logging
import uuid
from datetime import UTC, date, datetime, timedelta

import pytest

from churnwatch.io.ledger import Run
from churnwatch.io.lineage import send_lineage

DAY, START = date(2025, 6, 30), datetime(2025, 7, 1, 3, tzinfo=UTC)
PARENT, STEP = "1" * 32, f"{'1' * 32}-{'2' * 12}"  # as a run of the whole flow names itself and its steps


def run(status, message="", **more):
    return Run(STEP, "sum", "a", DAY, status, START, START + timedelta(seconds=9), frozenset([DAY]), message, 9.0, **more)


def run_uuid(run_id):
    return str(uuid.uuid5(uuid.NAMESPACE_OID, run_id))


@pytest.fixture
def client(tmp_path):
    from openlineage.client import OpenLineageClient

    config = {"type": "file", "log_file_path": str(tmp_path / "events.json"), "append": True}
    return OpenLineageClient(config={"transport": config})


def test_a_step_is_two_events_with_the_versions_that_it_read_and_wrote(client, tmp_path):
    done = run("done", read={"seen": 4}, wrote={"sums": 7}, rows={"sums": 12})
    assert send_lineage("shop", PARENT, [done, run("skipped")], client) == 2
    start, end = map(json.loads, (tmp_path / "events.json").read_text().splitlines())
    assert (start["eventType"], end["eventType"], start["eventTime"]) == ("START", "COMPLETE", "2025-07-01T03:00:00+00:00")
    assert end["job"]["namespace"] == "shop" and end["job"]["name"] == "sum:a"
    ids = start["run"]["runId"], end["run"]["runId"], end["run"]["facets"]["parent"]["run"]["runId"]
    assert ids == (run_uuid(STEP), run_uuid(STEP), run_uuid(PARENT))
    (read,), (wrote,) = end["inputs"], end["outputs"]
    assert (read["name"], read["facets"]["version"]["datasetVersion"]) == ("seen", "4")
    assert (wrote["name"], wrote["facets"]["version"]["datasetVersion"]) == ("sums", "7")
    assert wrote["outputFacets"]["outputStatistics"]["rowCount"] == 12


def test_a_failed_step_is_told_with_its_message(client, tmp_path):
    assert send_lineage("shop", PARENT, [run("failed", "JobFailed: MLflow is down")], client) == 2
    _, end = map(json.loads, (tmp_path / "events.json").read_text().splitlines())
    assert end["eventType"] == "FAIL" and end["run"]["facets"]["errorMessage"]["message"] == "JobFailed: MLflow is down"


def test_a_receiver_that_is_down_stops_nothing(monkeypatch, caplog):
    from openlineage.client import OpenLineageClient

    client = OpenLineageClient(config={"transport": {"type": "http", "url": "http://127.0.0.1:9", "retry": {"total": 0}}})
    with caplog.at_level(logging.WARNING):
        assert send_lineage("shop", PARENT, [run("done")], client) == 0
    assert "the receiver failed" in caplog.text
