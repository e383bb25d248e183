"""Drivers that are killed (-9) right after a commit: a second run completes the work, and nobody reads half of a step."""

import pytest
from outboxworld import DAY, written

import world
from churnwatch.flow import flow
from churnwatch.settings.terms import DONE
from processworld import ended, held

KILLED_A_RUN = 6
SEND = "send_messages/deliveries"


def writes_of_a_day(before, after):
    """The writes that a day makes, as (job, table) in the order of the flow: ``after`` has run one day more than ``before``."""
    declared = [(job, table) for job in flow(before.settings) if job.scheduled for table in job.writes]
    return [(job, table) for job, table in declared if before.store.newest(table) != after.store.newest(table)]


def sent_files(folder):
    """The messages in the outbox of a warehouse."""
    outbox = folder / "files" / "outbox"
    return sorted(file.relative_to(outbox) for file in outbox.rglob("*") if file.is_file())


def attempts(of):
    """The attempts to send a message."""
    return sorted((row["message_id"], row["attempt"], row["outcome"]) for row in world.stored(of, "deliveries"))


@pytest.mark.case(2, 3)
@pytest.mark.processes
def test_a_driver_that_is_killed_after_any_table_leaves_a_day_that_re_runs_make_right(
    spark, history_world, loaded_world, tmp_path, sample
):
    """One day is run by processes of which each is killed after one more write: 6 of all, drawn by the seed; --whole: all."""
    folder = world.copied(history_world, tmp_path / "w")
    undisturbed = world.runner(spark, loaded_world)
    all_writes = writes_of_a_day(world.runner(spark, folder), undisturbed)
    drawn = sample(all_writes, KILLED_A_RUN)
    print(f"killed after {len(drawn)} of {len(all_writes)} writes: {[f'{job.full_name}/{table.name}' for job, table in drawn]}")
    for job, table in drawn:
        of = world.runner(spark, folder)
        seen = {one.name: of.reader.version(one) for one in job.writes if one.kind == "day"}
        end = ended(held(folder, "die-after", f"{job.full_name}/{table.name}", "all", "--day", str(DAY), "--resume"))
        assert end.code == -9, (job.full_name, table.name, end.output)
        of = world.runner(spark, folder)
        assert of.store.version(table) != seen.get(table.name, -1), f"{table.name} was not committed"
        assert {name: of.reader.version(of.tables[name]) for name in seen} == seen, "readers see half of a step"
    world.run(of, first=DAY, resume=True)
    # the page lists runs that failed, and deliveries name files
    found, expected = (world.tables_of(one, "report_pages", "deliveries") for one in (of, undisturbed))
    assert {name for name in found if found[name] != expected[name]} == set()
    assert attempts(of) == attempts(undisturbed)
    assert sent_files(folder) == sent_files(loaded_world)
    assert of.store.staged_runs() == []


@pytest.mark.case(3)
@pytest.mark.processes
def test_a_commit_whose_run_never_heard_of_it_is_not_made_a_second_time(spark, tmp_path):
    """The driver dies between the commit of a log and the next statement: the rows are there, and no run has recorded them."""
    names = ["m1", "m2", "m3"]
    of = written(spark, tmp_path, [{"day": DAY, "message_id": name} for name in names], [DAY])
    end = ended(held(tmp_path, "die-after", SEND, "send_messages", "--day", str(DAY)))
    assert end.code == -9, end.output
    committed = of.store.newest(of.tables.deliveries)
    assert [(name, outcome) for name, _, outcome in attempts(of)] == [(name, "sent") for name in names]
    files = sent_files(tmp_path)
    assert [run for run in world.stored(of, "job_runs") if run["job"] == "send_messages" and run["status"] == DONE] == []
    world.run(of, "send_messages", first=DAY)
    assert [(name, outcome) for name, _, outcome in attempts(of)] == [(name, "sent") for name in names]
    assert of.store.newest(of.tables.deliveries) == committed
    assert sent_files(tmp_path) == files
    (done,) = [run for run in world.stored(of, "job_runs") if run["job"] == "send_messages" and run["status"] == DONE]
