"""Claims against each other and against runs that died, and the versions that readers take; without Spark."""

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from churnwatch import claims
from churnwatch.core import WriteConflict
from churnwatch.io.leases import Leases
from churnwatch.io.ledger import Run
from churnwatch.settings.terms import ABORTED, ERASE
from churnwatch.versions import complete_version, half_step_text

D, AT = date(2025, 3, 10), datetime(2025, 3, 10, tzinfo=UTC)
USERS = SimpleNamespace(name="users", kind="day")
SHORT = 0.02  # minutes


class Rows:
    """Runs of job_runs in memory: what claims ask of a ledger."""

    def __init__(self, *running):
        self.rows = {run.run_id: run for run in running}

    def refresh(self, newest=True):
        pass

    def reach(self, first):
        pass

    def check_protocol(self):
        pass

    def flush(self, compact=True):
        pass

    def running(self):
        return [run for run in self.rows.values() if run.status == "running"]

    def write(self, run_id, job, instance, day, status, days, message=None):
        self.rows[run_id] = run(run_id, job, status, days, message or "")


def run(run_id, job, status="running", days=(D,), message="pid 7 on pod"):
    return Run(run_id, job, "", D, status, AT, AT, frozenset(days), message)


def leases(folder):
    runs = SimpleNamespace(lease_minutes=SHORT, attempt=None)
    return Leases(SimpleNamespace(storage=SimpleNamespace(files=str(folder)), runs=runs))


@pytest.fixture
def other(tmp_path):
    """The leases of another run that lives."""
    made = leases(tmp_path)
    made.hold("theirs")
    yield made
    made.release_all()


def claim(job, steps=()):
    return claims.Claim("mine", job, "", D, (D,), tuple(steps))


def test_an_erasure_and_a_run_never_go_together(tmp_path, other):
    step = SimpleNamespace(job=SimpleNamespace(full_name="ingest_events", scheduled=True), days=(D,))
    for running, mine in (("ingest_events", claim(ERASE)), (ERASE, claim("ingest_events", [step])), (ERASE, claim("migrate"))):
        with pytest.raises(WriteConflict, match=f"{running} {D} is being run by theirs"):
            claims.take(Rows(run("theirs", running)), leases(tmp_path), mine)


def test_an_erasure_ends_a_run_that_died_without_a_lease_file(tmp_path):
    rows, mine = Rows(run("orphan", "all")), leases(tmp_path)
    claims.take(rows, mine, claim(ERASE))
    mine.release_all()
    assert {one: rows.rows[one].status for one in rows.rows} == {"orphan": ABORTED, "mine": "running"}


def test_maintain_ends_dead_runs_and_keeps_living_ones(tmp_path, other):
    rows = Rows(run("orphan", "all"), run("theirs", "all"))
    assert [one.run_id for one in claims.end_dead(rows, leases(tmp_path))] == ["theirs"]
    assert rows.rows["orphan"].status == ABORTED and rows.rows["theirs"].status == "running"


def state(recorded, commits, newest, done=(), runs=()):
    ledger = SimpleNamespace(
        recorded=lambda name: recorded, is_done=lambda run_id, day: run_id in done, runs=lambda first: list(runs)
    )
    store = SimpleNamespace(newest=lambda t: newest, commits_from=lambda t, first: [one for one in commits if one[0] >= first])
    return ledger, store


def test_a_step_that_broke_off_is_named_with_its_command_until_a_newer_version_is_recorded():
    commits = [(10, {"run_id": "a-b"}), (11, {"erasure": "e"})]
    broken = state(9, commits, 11, runs=[run("a-b", "ingest_events", "failed")])
    assert complete_version(*broken, USERS, 11) == 9
    assert half_step_text(*broken, USERS).endswith(f"Hint: churnwatch run all --day {D} --resume")
    alone = state(9, [(10, {"run_id": "r"})], 10, runs=[run("r", "ingest_events", "failed")])
    assert half_step_text(*alone, USERS).endswith(f"Hint: churnwatch run ingest_events --day {D}")
    assert complete_version(*state(11, commits, 11), USERS, 11) == 11, "an erasure has recorded its version"
    assert half_step_text(*state(9, commits, 11, done=["a-b"]), USERS) is None
