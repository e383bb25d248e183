"""A process that is told to end in the middle of a Spark job."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_case_05_06_36_writers import PIPED, settings

from churnwatch.runner import Runner
from processworld import ended, until
from sparkconf import SHORT_LIVED, TEST_SPARK

BUSY = Path(__file__).with_name("busy.py")


@pytest.mark.case(46)
@pytest.mark.processes
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_gets_a_signal_cancels_its_jobs_and_records_that_it_was_aborted(spark, tmp_path, number, code):
    command = [sys.executable, str(BUSY), str(tmp_path), "--config", "conf/local.yaml"]
    pairs = {"storage.root": f"{tmp_path}/w", "storage.files": f"{tmp_path}/f"}
    for key, value in {**pairs, **{f"spark.{key}": value for key, value in (TEST_SPARK | SHORT_LIVED).items()}}.items():
        command += ["--set", f"{key}={value}"]
    process = subprocess.Popen(command, **PIPED)
    try:
        until(lambda: (tmp_path / "busy").exists() or process.poll() is not None, "the run began no job")
        time.sleep(2)
        process.send_signal(number)
        sent = time.monotonic()
        end = ended(process)
    finally:
        process.kill()
        process.wait()
    assert end.code == code, end.output
    assert time.monotonic() - sent < 120
    of = Runner(settings(tmp_path), spark)
    rows = of.store.read(of.tables.job_runs).collect()
    assert [(row.job, row.status) for row in sorted(rows, key=lambda row: row.at)] == [
        ("ingest_events", "running"),
        ("ingest_events", "aborted"),
    ], end.output
    assert list(of.leases.folder.iterdir()) == []
