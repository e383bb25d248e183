"""Runs that are broken in the middle, and two at once: the tables are whole, and a re-run makes them right."""

from datetime import UTC, datetime, timedelta

import pytest

import world
from churnwatch.io.store import Store

DAY = world.WORLD.day
TABLES = ("rejected_events", "users", "consents", "context", "events")
# some of the tables that a day always writes
WRITTEN = set(TABLES) | {"user_scores", "risk_alerts", "retention_actions", "deliveries", "report_pages"}


class Broken(Exception):
    """The fault that the test puts into the store."""


@pytest.fixture(scope="module")
def whole(spark, raw_world, tmp_path_factory):
    """Rows of days 1 and 2 as an undisturbed run writes them."""
    of = world.runner(spark, world.copied(raw_world, tmp_path_factory.mktemp("whole")))
    world.run(of, "ingest_events", "build_activity", first=DAY(1), last=DAY(2))
    return {name: world.rows(of, name) for name in (*TABLES, "daily_activity")}


@pytest.mark.case(2)
@pytest.mark.long
def test_after_a_fault_before_every_table_the_resumed_day_gives_the_same_rows(
    spark, history_world, loaded_world, tmp_path, monkeypatch, sample
):
    """A fault before the first write of every table; without --whole of 8 tables drawn by the seed, and two always."""
    folder, broken = world.copied(history_world, tmp_path / "w"), []
    of = world.runner(spark, folder)
    chosen = {"events", "deliveries", *sample([table.name for table in of.tables if table.name != "job_runs"], 8)}

    def once_broken(write):
        def faulty(self, table, *rest):
            if table.name in chosen and table.name not in broken:
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
    assert chosen & WRITTEN <= set(broken)
    # the page tells of runs that failed, and deliveries where the messages lie
    undisturbed = world.runner(spark, loaded_world)
    found, expected = (world.tables_of(one, "report_pages", "deliveries") for one in (of, undisturbed))
    assert {name for name in found if found[name] != expected[name]} == set()
    sent = [one.store.read(one.tables.deliveries).select("message_id", "attempt", "outcome") for one in (of, undisturbed)]
    assert sorted(sent[0].collect()) == sorted(sent[1].collect())


@pytest.mark.case(2, 3)
@pytest.mark.processes
def test_a_killed_process_leaves_tables_that_a_re_run_makes_right(spark, killed_runs, whole):
    folder, runs = killed_runs
    assert [run.code for run in runs] == [-9, -9, -9], [run.output for run in runs]
    of = world.runner(spark, folder)
    world.run(of, "ingest_events", "build_activity", first=DAY(1), last=DAY(2))
    assert {name: world.rows(of, name) for name in whole} == whole
    assert of.store.staged_runs() == []


@pytest.mark.case(5)
@pytest.mark.processes
def test_of_two_runs_of_one_day_one_wins_and_the_other_exits_4(spark, two_runs, whole):
    folder, first, second = two_runs
    assert second.code == 4, second.output
    assert "is being run by" in second.output
    assert len(second.output.strip().splitlines()[-5:]) <= 5
    assert first.code == 0, first.output
    of = world.runner(spark, folder)
    assert {name: world.rows(of, name) for name in TABLES} == {name: whole[name] for name in TABLES}


@pytest.mark.case(14)
@pytest.mark.processes
def test_a_run_in_a_process_of_another_time_zone_gives_the_same_rows(spark, two_runs, whole):
    folder, first, _ = two_runs
    assert first.code == 0, first.output
    of = world.runner(spark, folder)
    assert {name: world.rows(of, name) for name in TABLES} == {name: whole[name] for name in TABLES}
    # instants too: the run claimed its days less than a day ago, in a zone that is 14 hours ahead
    claimed = [row["at"] for row in world.stored(of, "job_runs")]
    assert claimed and all(timedelta(0) <= datetime.now(UTC) - at < timedelta(hours=13) for at in claimed)
