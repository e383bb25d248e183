"""Steps side by side: the order of those that depend on each other stays, and the others do run at once."""

from datetime import date
from threading import Barrier

import pytest
from pyspark.sql.types import StructType

from churnwatch.core import Job, Table
from churnwatch.core.table import column
from churnwatch.lanes import Shared, side_by_side
from churnwatch.reading import Step
from churnwatch.steps import Outcome

DAY = date(2025, 6, 30)


def table(name):
    return Table(name=name, comment="c", schema=StructType([column("day", "date", "day")]), keys=("day",))


def step(name, reads=(), writes=()):
    read = {one: table(one).on() for one in reads}
    return Step(Job(name, build=dict, reads=read, writes=tuple(map(table, writes))), DAY, (DAY,))


STEPS = [step("load", writes=["a"]), step("left", ["a"], ["b"]), step("right", ["a"], ["c"]), step("both", ["b", "c"], ["d"])]


def test_independent_steps_run_at_once_and_the_others_in_their_order():
    meet, ended = Barrier(2, timeout=20), []

    def lane(one):
        if one.job.name in ("left", "right"):
            meet.wait()  # broken after 20 s, unless both are under way
        ended.append(one.job.name)
        return [Outcome(one, "done")]

    outcomes = list(side_by_side([lane, lane], STEPS))
    assert ended[0] == "load" and ended[-1] == "both" and sorted(ended) == ["both", "left", "load", "right"]
    assert [outcome.step.job.name for outcome in outcomes][-1] == "both"


def test_an_error_that_ends_the_run_starts_no_further_step():
    started = []

    def lane(one):
        started.append(one.job.name)
        if one.job.name == "load":
            raise KeyboardInterrupt
        return [Outcome(one, "done")]

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side([lane, lane], STEPS))
    assert started == ["load"]


def test_a_shared_object_is_called_by_one_thread_at_a_time():
    from concurrent.futures import ThreadPoolExecutor
    from time import sleep

    class Counter:
        rows = 0

        def add(self):
            before = self.rows
            sleep(0.001)
            self.rows = before + 1

    shared = Shared(Counter())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: shared.add(), range(40)))
    assert shared.rows == 40
