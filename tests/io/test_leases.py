"""Leases of two processes over one folder: who lives, who is dead, who was taken over."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from churnwatch.core import LeaseLost
from churnwatch.io.leases import Leases, lease_of, process_start, this_owner

HOLDS = """
import sys, time
from types import SimpleNamespace
from churnwatch.io.leases import Leases
Leases(SimpleNamespace(**{p: SimpleNamespace(**v) for p, v in eval(sys.argv[1]).items()})).hold("theirs")
print("held", flush=True)
time.sleep(60)
"""
SHORT = 0.02  # minutes: 1.2 seconds


def parts(folder, minutes=5.0, attempt=None):
    return {"storage": {"files": str(folder)}, "runs": {"lease_minutes": minutes, "attempt": attempt}}


def leases(folder, minutes=5.0, attempt=None):
    return Leases(SimpleNamespace(**{part: SimpleNamespace(**v) for part, v in parts(folder, minutes, attempt).items()}))


def elsewhere(folder, lease_id, counter=1, **more):
    """The heartbeat of a process on another machine; ``more``: of its owner."""
    owner = replace(this_owner(), host="spot-node-17", boot="another", **more)
    (folder / "leases").mkdir(exist_ok=True)
    (folder / "leases" / f"{lease_id}.json").write_text(json.dumps({"owner": vars(owner), "counter": counter}))


@pytest.fixture
def other(tmp_path):
    """A process that holds the lease ``theirs``."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(parts(tmp_path))], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_process_on_this_machine_lives_until_it_is_killed_whatever_its_heartbeat(tmp_path, other):
    observer = leases(tmp_path, minutes=0.0001)
    observer.lives("theirs")
    time.sleep(0.05)
    assert observer.first_living(["theirs"]) == "theirs"
    assert observer.dead() == []
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert leases(tmp_path).first_living(["theirs"]) is None
    assert leases(tmp_path).dead() == ["theirs"]


def test_a_process_that_has_ended_and_waits_for_its_parent_is_dead(tmp_path, other):
    os.kill(other.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while process_start(other.pid) and time.monotonic() < deadline:  # its number is still taken
        time.sleep(0.01)
    assert leases(tmp_path).lives("theirs") is False


def test_the_number_of_a_dead_process_that_another_one_has_by_now_is_no_sign_of_life(tmp_path):
    owner = replace(this_owner(), started="1")
    (tmp_path / "leases").mkdir()
    (tmp_path / "leases" / "theirs.json").write_text(json.dumps({"owner": vars(owner), "counter": 1}))
    assert leases(tmp_path).lives("theirs") is False


def test_on_another_machine_only_the_counter_shows_whether_a_run_lives_and_no_clock_is_compared(tmp_path):
    elsewhere(tmp_path, "dead")
    elsewhere(tmp_path, "alive")
    long_ago = 1_000_000_000  # a file server's clock that is decades off
    for file in (tmp_path / "leases").iterdir():
        os.utime(file, (long_ago, long_ago))
    observer, ended = leases(tmp_path, SHORT), Event()

    def beat():
        for counter in range(2, 1000):
            if ended.wait(0.2):
                return
            elsewhere(tmp_path, "alive", counter)

    thread = Thread(target=beat)
    thread.start()
    assert observer.first_living(["alive"]) == "alive"
    assert observer.first_living(["dead"]) is None
    ended.set()
    thread.join()
    assert leases(tmp_path).lives("dead") is None, "another observer has watched for no time yet"


def test_a_lease_without_a_heartbeat_is_watched_too(tmp_path):
    began = time.monotonic()
    assert leases(tmp_path, SHORT).first_living(["never_there"]) is None
    assert time.monotonic() - began >= SHORT * 60


def test_an_earlier_attempt_of_the_same_task_run_is_over_and_a_later_one_is_not(tmp_path):
    elsewhere(tmp_path, "theirs", attempt="daily-2025-03-10/2")
    state = {attempt: leases(tmp_path, attempt=attempt).lives("theirs") for attempt in (None, "other/3", "daily-2025-03-10/2")}
    assert set(state.values()) == {None}
    assert leases(tmp_path, attempt="daily-2025-03-10/10").lives("theirs") is False
    assert leases(tmp_path, attempt="daily-2025-03-10/1").lives("theirs") is True


def test_a_run_that_was_taken_over_learns_it_and_by_whom(tmp_path):
    mine, other = leases(tmp_path), leases(tmp_path)
    mine.hold("first")
    mine.check()
    other.take_over("first", "second")
    with pytest.raises(LeaseLost, match=rf"taken over by run second \({other.owner.person}, pid {os.getpid()} on "):
        mine.check()
    assert LeaseLost.exit_code == 4
    mine.release("first")
    mine.check()


def test_a_run_whose_heartbeat_cannot_be_written_counts_itself_as_dead(tmp_path):
    mine = leases(tmp_path, SHORT)
    mine.hold("first")
    folder = tmp_path / "leases"
    folder.rename(tmp_path / "gone")
    folder.write_text("no folder")
    mine.check()
    time.sleep(SHORT * 60 + 0.3)
    with pytest.raises(LeaseLost, match="heartbeat of this run cannot be written"):
        mine.check()


def test_a_lease_beats_until_its_release_and_leaves_nothing_behind(tmp_path):
    mine = leases(tmp_path, SHORT)
    mine.hold("first")
    file = tmp_path / "leases" / "first.json"
    before = json.loads(file.read_text())["counter"]
    time.sleep(0.6)
    assert json.loads(file.read_text())["counter"] > before
    mine.release("first")
    time.sleep(0.4)
    assert list((tmp_path / "leases").iterdir()) == []


def test_the_runs_of_a_run_of_the_whole_flow_work_under_its_lease():
    assert (lease_of("a1-b2"), lease_of("a1")) == ("a1", "a1")
