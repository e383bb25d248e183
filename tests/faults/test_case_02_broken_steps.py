"""Steps that break off before or after one of their writes: readers see nothing of them, and a second run makes them right.

``make test`` runs 2 of these faults, drawn by the seed that it prints.
"""

import pytest
from daywrites import DAY, writes_of_the_day

import world
from churnwatch.io.store import Store
from churnwatch.publishing import replaced
from churnwatch.runner import Order

DRAWN = 2
# an ingest finds what it replaces by a look at its files, and a page says when it was made
LEFT_OUT = {"ingest_events", "render_report"}


class Broken(Exception):
    """The fault that the test puts into the store."""


def break_off(of, job, table, when, monkeypatch):
    """Run the job, which breaks off before or after its write of the table."""
    commit = Store._commit

    def faulty(self, one, *rest):
        if one.name != table:
            return commit(self, one, *rest)
        if when == "after":
            commit(self, one, *rest)
        raise Broken

    with monkeypatch.context() as fault:
        fault.setattr(Store, "_commit", faulty)
        with pytest.raises(Broken):
            world.run(of, job, first=DAY)


def empty(of, job):
    """Delete the rows that the job writes on the day; return the versions without them of its tables by days."""
    (step,) = of.chooser.steps(Order((job,), DAY, DAY))
    for table in step.job.writes:
        of.store.create([table])
        of.store.alter(table, f"DELETE FROM {of.store.sql_name(table)} WHERE {replaced(step, table.name)}")
    return {table.name: of.store.newest(table) for table in step.job.writes if table.kind == "day"}


@pytest.mark.case(2)
def test_a_step_that_breaks_off_at_a_write_is_read_by_nobody_and_a_second_run_makes_it_right(
    spark, history_world, loaded_world, tmp_path, monkeypatch, sample
):
    undisturbed = world.runner(spark, loaded_world)
    writes = writes_of_the_day(world.runner(spark, history_world), undisturbed)
    faults = [(one.job, one.table, when) for one in writes if one.job not in LEFT_OUT for when in ("before", "after")]
    assert len(faults) >= 30, faults
    of = world.runner(spark, world.copied(loaded_world, tmp_path / "w"))
    for job, table, when in sample(faults, DRAWN):
        fault = f"{job} broke off {when} its write of {table}"
        emptied = empty(of, job)
        break_off(of, job, table, when, monkeypatch)
        of.store.refresh()
        assert {name: of.reader.version(of.tables[name]) for name in emptied} == emptied, fault
        world.run(of, job, first=DAY)
        written = [one.name for one in of.tables if any(one in j.writes for j in of.jobs if j.full_name == job)]
        assert [name for name in written if world.rows(of, name) != world.rows(undisturbed, name)] == [], fault
