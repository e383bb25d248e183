"""Runs that are broken in the middle, and two at once: the tables are whole, and a re-run makes them right."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import world
from churnwatch.io.store import Store
from sparkconf import SHORT_LIVED, TEST_SPARK

DAY = world.WORLD.day
HELD = Path(__file__).parent / "held.py"
TABLES = ("rejected_events", "users", "consents", "context", "events")


class Broken(Exception):
    """The fault that the test puts into the store."""


@pytest.fixture(scope="module")
def whole(spark, raw_world, tmp_path_factory):
    """Rows of days 1 and 2 as an undisturbed run writes them."""
    of = world.runner(spark, world.copied(raw_world, tmp_path_factory.mktemp("whole")))
    world.run(of, "ingest_events", "build_activity", first=DAY(1), last=DAY(2))
    return {name: world.rows(of, name) for name in (*TABLES, "daily_activity")}


def test_after_a_fault_before_every_table_the_resumed_day_gives_the_same_rows(
    spark, history_world, loaded_world, tmp_path, monkeypatch
):
    folder, broken = world.copied(history_world, tmp_path / "w"), []
    # keyed ids are the same only under the same key
    shutil.copy(loaded_world / "files" / "id_key", folder / "files" / "id_key")
    of = world.runner(spark, folder)

    def once_broken(write):
        def faulty(self, table, *rest):
            if table.name not in broken and table.name != "job_runs":
                broken.append(table.name)
                raise Broken(table.name)
            return write(self, table, *rest)

        return faulty

    monkeypatch.setattr(Store, "replace", once_broken(Store.replace))
    monkeypatch.setattr(Store, "append", once_broken(Store.append))
    for _ in range(len(list(of.tables))):
        try:
            world.run(of, first=DAY(62), resume=True)
            break
        except Broken:
            assert of.store.staged_runs() == []
            # events are published last: a reader never sees them without what stands beside them
            assert broken[-1] not in TABLES or world.rows(of, "events", after=DAY(61)) == []
    assert set(TABLES) | {"user_scores", "risk_alerts", "retention_actions", "deliveries", "report_pages"} <= set(broken)
    # the page tells of runs that failed, and deliveries where the messages lie
    undisturbed = world.runner(spark, loaded_world)
    found, expected = (world.tables_of(one, "report_pages", "deliveries") for one in (of, undisturbed))
    assert {name for name in found if found[name] != expected[name]} == set()
    sent = [one.store.read(one.tables.deliveries).select("message_id", "attempt", "outcome") for one in (of, undisturbed)]
    assert sorted(sent[0].collect()) == sorted(sent[1].collect())


def command(folder, what, number, *arguments):
    """A process that runs ``churnwatch`` with a fault; one that waits goes on once ``folder``/go is there."""
    environment = os.environ | {"PYTHONPATH": str(world.CONFIG.parents[2] / "lib"), "SPARK_LOCAL_IP": "127.0.0.1"}
    given = [sys.executable, str(HELD), what, str(number), f"{folder}/go", "run", *arguments, "--config", str(world.CONFIG)]
    for pair in [*world.sets(folder), *(f"spark.{k}={v}" for k, v in (TEST_SPARK | SHORT_LIVED).items())]:
        given += ["--set", pair]
    return subprocess.Popen(given, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.processes
def test_a_killed_process_leaves_tables_that_a_re_run_makes_right(spark, raw_world, tmp_path, whole):
    folder = world.copied(raw_world, tmp_path / "w")
    of = world.runner(spark, folder)
    of.store.create(of.tables)  # quicker here than in a process that has just started
    span = ["--from", str(DAY(1)), "--to", str(DAY(2))]
    # before the first table, before the last of ingest, and before that of the next job
    for number in (1, 5, 6):
        killed = command(folder, "die", number, "ingest_events", "build_activity", *span)
        output, _ = killed.communicate(timeout=240)
        assert killed.returncode == -9, output
    world.run(of, "ingest_events", "build_activity", first=DAY(1), last=DAY(2))
    assert {name: world.rows(of, name) for name in whole} == whole
    assert of.store.staged_runs() == []


@pytest.mark.processes
def test_of_two_runs_of_one_day_one_wins_and_the_other_exits_4(spark, raw_world, tmp_path, whole):
    folder = world.copied(raw_world, tmp_path / "w")
    span = ["--from", str(DAY(1)), "--to", str(DAY(2))]
    of = world.runner(spark, folder)
    first = command(folder, "wait", 1, "ingest_events", *span)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        of.store.refresh()
        if of.store.exists(of.tables.job_runs) and of.store.read(of.tables.job_runs).count():
            break
        time.sleep(1)
    second = command(folder, "wait", 0, "ingest_events", *span)
    output, _ = second.communicate(timeout=240)
    (folder / "go").touch()
    assert second.returncode == 4, output
    assert "is being run by" in output
    assert len(output.strip().splitlines()[-5:]) <= 5
    output, _ = first.communicate(timeout=240)
    assert first.returncode == 0, output
    assert {name: world.rows(of, name) for name in TABLES} == {name: whole[name] for name in TABLES}
