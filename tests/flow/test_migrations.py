"""Two versions of the package on one warehouse: the older one is refused, and a migration runs alone and can be rolled back."""

from datetime import date

import pytest
from pyspark.sql.types import StructType

from churnwatch import claims, upkeep
from churnwatch.core import ConfigError, Job, Table, WriteConflict, column
from churnwatch.io import definitions
from churnwatch.io.contracts import STATISTICS
from churnwatch.io.operator_log import this_person
from churnwatch.io.protocol import PROPERTY, PROTOCOL
from churnwatch.runner import Order, Runner
from churnwatch.settings import load
from frames import frame

D = date(2025, 3, 10)
COLUMNS = [column("day", "date", "day", nullable=False), column("user_id", "string", "user", nullable=False)]
NEW = column("n", "long", "number")


class Few:
    """The contracts of a warehouse of few tables."""

    def __init__(self, *found):
        self.found = {table.name: table for table in found}
        self.job_runs, self.operator_actions = self.found["job_runs"], self.found["operator_actions"]

    def __iter__(self):
        return iter(self.found.values())

    def __getitem__(self, name):
        return self.found[name]


@pytest.fixture
def version(spark, tmp_path):
    """``version(*more)``: a runner of a version of the package whose table ``seen`` has the columns ``more`` too."""
    settings = load("conf/local.yaml", [f"storage.root={tmp_path}/w", f"storage.files={tmp_path}/f"])

    def made(*more):
        seen = Table(name="seen", comment="rows of a test", schema=StructType([*COLUMNS, *more]), keys=("day", "user_id"))

        def build(inputs, days):
            return {"seen": frame(spark, [{"day": day, "user_id": "a"} for day in days], seen.schema)}

        runner = Runner(settings, spark, jobs=(Job("ingest_events", build=build, writes=(seen,)),))
        runner.tables = Few(seen, runner.tables.job_runs, runner.tables.operator_actions)
        runner.store.create([runner.tables.operator_actions])
        return runner

    return made


def run(runner):
    return runner.run(Order(("ingest_events",), D, D))


def stored(runner):
    runner.store.refresh()
    seen = runner.tables["seen"]
    return runner.store.stored_schema(seen).names, [row.user_id for row in runner.store.read(seen).collect()]


def test_a_writer_of_another_protocol_is_refused_with_what_to_do(version):
    runner = version()
    run(runner)
    log = runner.tables.job_runs
    assert runner.store.properties(log)[PROPERTY] == str(PROTOCOL)
    definitions.set_properties(runner.store, log, {PROPERTY: str(PROTOCOL + 1)})
    with pytest.raises(ConfigError, match=f"has protocol {PROTOCOL + 1}, this .* writes protocol {PROTOCOL}.*\n.*migrate --undo"):
        run(version())
    definitions.set_properties(runner.store, log, {PROPERTY: "1", STATISTICS: "day, run_id, job, instance, status"})
    before = runner.store.newest(log)
    with pytest.raises(
        ConfigError, match="has protocol 1, .*\nHint: end the runs of the older version, then: churnwatch migrate"
    ):
        run(version())
    assert runner.store.newest(log) == before
    assert list(upkeep.migrate(version(), dry_run=False)) == [
        "job_runs: new files have statistics of day, run_id, job, instance, status, at",
        f"job_runs: protocol set to {PROTOCOL}",
    ]
    assert list(upkeep.migrate(version(), dry_run=False)) == ["every table is as its contract says"]
    assert run(version())[0].status == "done"


def test_a_migration_is_rolled_back_unless_rows_were_written_since(version):
    run(version())
    newer = version(NEW)
    (line,) = upkeep.migrate(newer, dry_run=False)
    assert line == f"seen: added n; days to rebuild: {D} .. {D}"
    assert stored(newer) == (["day", "user_id", "n"], ["a"])
    assert list(upkeep.undo(newer))[0].startswith("seen: restored to version ")
    older = version()
    assert stored(older) == (["day", "user_id"], ["a"])
    done = [(row.who, row.action, row.note) for row in older.store.read(older.tables.operator_actions).orderBy("at").collect()]
    assert done == [(this_person(), "migrate", "seen, job_runs"), (this_person(), "migrate", "rolled back: seen, job_runs")], (
        "both rows stay"
    )
    assert run(older)[0].status == "done"
    with pytest.raises(ConfigError, match="there is no migration to roll back"):
        list(upkeep.undo(version(NEW)))
    list(upkeep.migrate(version(NEW), dry_run=False))
    run(version(NEW))
    with pytest.raises(ConfigError, match=r"would be lost\n  seen: version \d+ was written by run .* \(ingest_events\)"):
        list(upkeep.undo(version(NEW)))
    assert stored(version(NEW))[0] == ["day", "user_id", "n"]


def test_a_migration_goes_with_no_other_run(version):
    runner, other = version(), version(NEW)
    run(runner)
    row = ("other", "ingest_events", "", D)
    runner.leases.hold("other")
    runner.ledger.write(*row, "running", (D,))
    runner.ledger.flush()
    with pytest.raises(WriteConflict, match="ingest_events 2025-03-10 is being run by other"):
        list(upkeep.migrate(other, dry_run=False))
    assert stored(runner)[0] == ["day", "user_id"]
    runner.ledger.write(*row, "done", (D,))
    runner.ledger.flush()
    runner.leases.release_all()
    claims.take(other.ledger, other.leases, claims.Claim("migration", "migrate", "", D, (D,), ()))
    with pytest.raises(WriteConflict, match="migrate 2025-03-10 is being run by migration"):
        run(runner)
