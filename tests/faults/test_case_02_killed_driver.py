"""Drivers that are killed (-9) right after a commit, at any write of a day: the resumed day is as one that nobody disturbed."""

import signal
from pathlib import Path

import pytest
from daywrites import DAY, commits_behind, versions, writes_of_the_day

import world
from processworld import ended, held

KILLED_A_RUN = 6


def outbox(of):
    """The names of the messages' files."""
    folder = Path(of.settings.outbox_folder)
    return sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())


def attempts(of):
    """The attempts to send a message, without the places of files."""
    return sorted((row["message_id"], row["attempt"], row["outcome"]) for row in world.stored(of, "deliveries"))


def half_read(of, commits):
    """The tables by days of which readers take one of the commits."""
    of.store.refresh()
    of.ledger.refresh()
    days = [commit for commit in commits if of.tables[commit.table].kind == "day"]
    return {commit.table for commit in days if of.reader.version(of.tables[commit.table]) >= commit.version}


@pytest.mark.case(2, 3)
@pytest.mark.processes
def test_a_driver_that_is_killed_after_any_write_leaves_a_day_that_resumed_runs_make_right(
    spark, history_world, loaded_world, tmp_path, sample
):
    """A day is run by one process after the other, each killed after one more write, and by a last one that nobody kills.

    The writes are those that the undisturbed day has made: 6 drawn by the seed, under --whole all.
    """
    undisturbed = world.runner(spark, loaded_world)
    writes = [commit.write for commit in writes_of_the_day(world.runner(spark, history_world), undisturbed)]
    assert len(writes) >= 20, writes
    of = world.runner(spark, folder := world.copied(history_world, tmp_path / "w"))
    for write in sample(writes, KILLED_A_RUN):
        before = versions(of)
        end = ended(held(folder, "die-after", write, "all", "--day", str(DAY), "--resume"))
        assert end.code == -signal.SIGKILL, f"{write}: {end.output}"
        made = commits_behind(of, before)
        assert made[-1].write == write, f"killed after {write}, but the last commit is {made[-1]}"
        of_the_killed = [commit for commit in made if commit.run_id == made[-1].run_id]
        assert half_read(of, of_the_killed) == set(), f"readers see half of the step that was killed after {write}"
        assert not of.ledger.is_done(made[-1].run_id, None)
    world.run(of, first=DAY, resume=True)
    # the page lists runs that broke off, and deliveries name files
    found, expected = (world.tables_of(one, "report_pages", "deliveries") for one in (of, undisturbed))
    assert {name for name in found if found[name] != expected[name]} == set()
    assert [attempts(of), outbox(of)] == [attempts(undisturbed), outbox(undisturbed)]
    assert len(world.stored(of, "report_pages")) == len(world.stored(undisturbed, "report_pages"))
    assert of.store.staged_runs() == []
