"""The runner's promises, shown on jobs of two lines."""

import json
import math
import os
import re
import shutil
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from threading import Barrier
from urllib.parse import urlparse

import pytest
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from churnwatch.closing import finish
from churnwatch.core import (
    ConfigError,
    ContractError,
    DataQualityError,
    Due,
    Job,
    LeaseLost,
    MissingDays,
    Refused,
    Skipped,
    Table,
    Terminated,
    WriteConflict,
    column,
)
from churnwatch.io.leases import Leases
from churnwatch.io.operator_log import this_person
from churnwatch.io.store import Store
from churnwatch.publishing import InputsChanged
from churnwatch.reading import Step
from churnwatch.runner import Order, Runner
from churnwatch.settings import load
from churnwatch.versions import of_run
from frames import frame

D = date(2025, 3, 10)


def table(name, **more):
    schema = StructType(
        [
            column("day", "date", "day", nullable=False),
            column("user_id", "string", "user", nullable=False),
            column("n", "long", "number"),
        ]
    )
    return Table(name=name, comment="rows of a test", schema=schema, keys=("day", "user_id"), partitions=("day",), **more)


SEEN = table("seen", complete=True)
SUMS = table("sums", rules={"n_positive": "n IS NULL OR n > 0"})
ASIDE = table("aside")
NOTES = table("notes", kind="log")


def made_in(spark, folder):
    """``made(*jobs)``: a runner over the warehouse in ``folder`` whose ingest job writes two users a day."""
    settings = load("conf/local.yaml", [f"storage.root={folder}/w", f"storage.files={folder}/f"])

    def seen(inputs, days):
        return {"seen": frame(spark, [(d, *user) for d in days for user in (("a", 1), ("b", 2))], SEEN.schema)}

    def sums(inputs, days):
        by_user = inputs["seen"].groupBy("user_id").agg(F.sum("n").alias("n"))
        return {"sums": by_user.crossJoin(frame(spark, [(d,) for d in days], "day date"))}

    ingest = Job("ingest_events", build=seen, writes=(SEEN,))

    def made(*jobs, schema=None):
        storage = settings.storage.model_copy(update={"root": None, "schema_name": schema}) if schema else settings.storage
        return Runner(settings.model_copy(update={"storage": storage}), spark, jobs=(ingest, *jobs))

    made.sums = lambda read, **more: Job("sum", build=sums, reads={"seen": read}, writes=(SUMS,), **more)
    return made


@pytest.fixture
def world(spark, tmp_path):
    """Makes runners over an empty warehouse of the test's own."""
    return made_in(spark, tmp_path)


@pytest.fixture(scope="module")
def one_day(spark, tmp_path_factory):
    """A warehouse in which ``ingest_events`` has run for day D."""
    folder = tmp_path_factory.mktemp("one_day")
    made_in(spark, folder)().run(order("ingest_events"))
    return folder


@pytest.fixture
def ingested(world, one_day, tmp_path):
    """As ``world``, over a copy of ``one_day``."""
    shutil.copytree(one_day, tmp_path, dirs_exist_ok=True)
    return world


def order(*jobs, first=D, last=None, **more):
    return Order(jobs or ("all",), first, last or first, **more)


def rows(runner, of):
    runner.store.refresh()
    return sorted(tuple(r) for r in runner.store.read(of).collect())


@pytest.mark.case(1)
def test_a_second_run_gives_the_same_rows_and_an_input_is_cut_to_its_span(world):
    runner = world(world.sums(SEEN.trailing(2)))
    runner.run(order(first=D - timedelta(days=4), last=D))
    runner.run(order("sum"))
    once = rows(runner, SUMS)
    runner.run(order("sum"))
    assert rows(runner, SUMS) == once
    assert [r for r in once if r[0] == D] == [(D, "a", 2), (D, "b", 4)]


@pytest.mark.case(29)
def test_no_input_reaches_beyond_what_was_known_at_d(world):
    late = Job("sum", build=world.sums(SEEN.on()).build, reads={"seen": SEEN.following(0, 9)}, writes=(SUMS,))
    runner = world(late)
    runner.run(order("ingest_events", first=D, last=D + timedelta(days=9)))
    runner.run(order("sum"))
    assert rows(runner, SUMS) == [(D, "a", 1), (D, "b", 2)]


def test_a_missing_day_stops_the_job_and_is_named(world):
    runner = world(world.sums(SEEN.trailing(3)))
    runner.run(order("ingest_events", first=D - timedelta(days=2)))
    runner.run(order("ingest_events"))
    with pytest.raises(DataQualityError, match=str(D - timedelta(days=1))):
        runner.run(order("sum"))
    assert rows(runner, SUMS) == []


def test_days_before_the_first_ingested_one_are_no_missing_days(world):
    runner = world(world.sums(SEEN.trailing(30)))
    assert [o.status for o in runner.run(order())] == ["done", "done"]


def test_an_output_day_before_history_is_skipped(world):
    runner = world(world.sums(SEEN.on(), lag_days=5))
    assert [o.status for o in runner.run(order())] == ["done", "skipped"]


def test_a_dry_run_writes_nothing_and_tells_rows_and_what_it_replaces(ingested):
    runner = ingested(ingested.sums(SEEN.on()))
    before = runner.store.newest(SEEN), runner.store.newest(runner.tables.job_runs)
    (outcome,) = runner.run(order("sum", dry_run=True))
    runner.store.refresh()
    assert not runner.store.exists(SUMS)
    assert (runner.store.newest(SEEN), runner.store.newest(runner.tables.job_runs)) == before
    assert "2 rows" in outcome.message
    assert f"day >= DATE'{D}'" in outcome.message


def test_a_broken_rule_is_named_with_rows_and_nothing_is_written(world):
    def broken(inputs, days):
        return {"sums": inputs["seen"].withColumn("n", F.col("n") - 1)}

    runner = world(world.sums(SEEN.on()), Job("spoil", build=broken, reads={"seen": SEEN.on()}, writes=(SUMS,)))
    runner.run(order("ingest_events", "sum"))
    once = rows(runner, SUMS)
    with pytest.raises(ContractError, match="n_positive: 1 of 2 rows"):
        runner.run(order("spoil"))
    assert rows(runner, SUMS) == once


def test_a_running_row_of_another_run_stops_the_second_at_once(ingested, spark):
    runner = ingested(ingested.sums(SEEN.on()))
    other = ingested(ingested.sums(SEEN.on()))
    other.ledger.refresh()
    other.leases.hold("other")
    other.ledger.write("other", "sum", "", D, "running", (D,))
    other.ledger.flush()
    with pytest.raises(WriteConflict, match="other"):
        runner.run(order("sum"))
    assert not runner.store.exists(SUMS)
    # once it has ended, the day is free
    other.ledger.write("other", "sum", "", D, "failed", (D,))
    other.ledger.flush()
    assert runner.run(order("sum"))[0].status == "done"


def claimed_by(runner, run_id, **owner):
    """A running row of job sum, and the heartbeat of its process: this one but for ``owner``."""
    runner.leases.folder.mkdir(parents=True, exist_ok=True)
    heartbeat = {"owner": vars(runner.leases.owner) | owner, "counter": 1}
    (runner.leases.folder / f"{run_id}.json").write_text(json.dumps(heartbeat))
    runner.store.create([runner.tables.job_runs])
    runner.ledger.refresh()
    runner.ledger.write(run_id, "sum", "", D, "running", (D,))
    runner.ledger.flush()


@pytest.mark.case(2)
def test_a_running_row_of_a_process_that_has_died_on_this_machine_is_no_hindrance(ingested):
    runner = ingested(ingested.sums(SEEN.on()))
    claimed_by(runner, "dead", started="1")
    (staged := Path(runner.settings.storage.files, "staging", "dead")).mkdir(parents=True)
    assert runner.run(order("sum"))[0].status == "done"
    ended = [
        (r.run_id, r.status, r.message) for r in runner.store.read(runner.tables.job_runs).collect() if r.status == "aborted"
    ]
    assert ended == [("dead", "aborted", "the process died before it wrote the end of the run")]
    assert not staged.exists()
    assert not (runner.leases.folder / "dead.json").exists()


@pytest.mark.case(2)
def test_the_work_of_a_run_that_died_on_another_machine_is_taken_over_once_its_heartbeat_stood_still(ingested):
    runner = ingested(ingested.sums(SEEN.on()))
    runner.leases = Leases(with_lease(runner.settings, 0.02))
    claimed_by(runner, "far", host="spot-node-17", boot="another")
    (staged := Path(runner.settings.storage.files, "staging", "far")).mkdir(parents=True)
    ingested().run(order("ingest_events", first=D + timedelta(days=1)))
    assert staged.exists(), "nobody knows yet whether that run lives"
    assert runner.run(order("sum"))[0].status == "done"
    assert not staged.exists()
    message = f"taken over by run .* \\({runner.leases.owner.person}, pid {os.getpid()} on "
    (ended,) = runner.store.read(runner.tables.job_runs).where("run_id = 'far' AND status = 'aborted'").collect()
    assert re.match(message, ended.message)


def with_lease(settings, minutes):
    return settings.model_copy(update={"runs": settings.runs.model_copy(update={"lease_minutes": minutes})})


@pytest.mark.case(5)
def test_a_run_that_was_taken_over_writes_nothing_more_and_exits_4(ingested):
    def build(inputs, days):
        if not taken:
            taken.extend(ingested(ingested.sums(SEEN.on())).run(order("sum", take_over=True)))
            return {"sums": inputs["seen"].withColumn("n", F.lit(99).cast("long"))}
        return ingested.sums(SEEN.on()).build(inputs, days)

    taken = []
    runner = ingested(Job("sum", build=build, reads={"seen": SEEN.on()}, writes=(SUMS,)))
    with pytest.raises(LeaseLost, match="this run was taken over by run .*; it writes nothing more") as lost:
        runner.run(order())
    assert lost.value.exit_code == 4
    assert [outcome.status for outcome in taken] == ["done"]
    assert rows(runner, SUMS) == [(D, "a", 1), (D, "b", 2)]
    assert {(job, status) for job, status in runs(runner) if status == "aborted"} == {("all", "aborted"), ("sum", "aborted")}
    (action,) = runner.store.read(runner.tables.operator_actions).collect()  # the step had no row of its own yet
    assert (action["who"], action["action"], action["note"].split(",")[0]) == (this_person(), "take_over", f"all {D}")


@pytest.mark.case(46)
def test_a_run_that_is_interrupted_ends_with_rows_that_say_so(ingested):
    def build(inputs, days):
        raise Terminated

    runner = ingested(Job("sum", build=build, reads={"seen": SEEN.on()}, writes=(SUMS,)))
    with pytest.raises(Terminated):
        runner.run(order())
    assert [row for row in runs(runner) if row[1] == "aborted"] == [("sum", "aborted"), ("all", "aborted")]
    assert list(runner.leases.folder.iterdir()) == []


@pytest.mark.case(14)
def test_instants_of_runs_are_the_same_in_every_time_zone_of_the_process(ingested, monkeypatch):
    stored = []
    for zone in ("UTC", "Asia/Shanghai", "America/New_York"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        runner = ingested()
        runner.ledger.refresh()
        runner.ledger.write(zone, "sum", "", D, "done", (D,))
        runner.ledger.flush()
        (row,) = runner.store.read(runner.tables.job_runs).where(F.col("run_id") == zone).selectExpr("unix_seconds(at)").collect()
        stored.append(time.time() - row[0])
    monkeypatch.undo()
    time.tzset()
    assert max(map(abs, stored)) < 60


def test_every_spark_job_says_what_it_is_for(world, spark):
    jobs = spark.sparkContext._jsc.sc().statusStore()

    def known():
        found = jobs.jobsList(None)
        return {found.apply(n).jobId(): found.apply(n) for n in range(found.size())}

    before = known()
    world(world.sums(SEEN.trailing(2), lag_days=1)).run(order(last=D + timedelta(days=1)))
    new = [job for number, job in known().items() if number not in before]
    assert {job.jobGroup().getOrElse(None) for job in new} == {"churnwatch"}
    # Delta says beside it what it does; the sum of the day before history is left out
    steps = {f"ingest_events {D} .. {D + timedelta(days=1)} (2 days)", f"sum {D}"}
    told = {job.description().getOrElse(None) or "nothing" for job in new}
    # the day before history is cut off once the step looks at it
    asked = f"sum {D - timedelta(days=1)} .. {D} (2 days)"
    known_titles = {*steps, asked, "job_runs: what has run so far"}
    assert {text for text in told if not any(title in text for title in known_titles)} == set()
    assert {title for title in steps if any(title in text for text in told)} == steps


def test_files_are_skipped_by_keys_and_by_nothing_else(world):
    runner = world(world.sums(SEEN.on()))
    runner.run(order("ingest_events"))
    commits = [json.loads(line) for line in Path(runner.store.path(SEEN), "_delta_log", f"{1:020}.json").read_text().splitlines()]
    (least,) = {tuple(json.loads(action["add"]["stats"])["minValues"]) for action in commits if "add" in action}
    assert least == ("user_id",)


def test_skipped_is_recorded_and_the_run_goes_on(world):
    def nothing(inputs, days):
        raise Skipped("no release as of the day")

    skipping = Job("skipping", build=nothing, writes=(SUMS,), mode="daily")
    runner = world(skipping, Job("after", build=world.sums(SEEN.on()).build, reads={"seen": SEEN.on()}, writes=(SUMS,)))
    assert [(o.status, o.message) for o in runner.run(order())][1:] == [("skipped", "no release as of the day"), ("done", "")]


def runner_ledger(world):
    """The ledger as another process reads it."""
    ledger = world().ledger
    ledger.refresh()
    return ledger


def runs(runner):
    """Rows of job_runs in the order in which they were written: (job, status)."""
    runner.store.refresh()
    return [(r.job, r.status) for r in runner.store.read(runner.tables.job_runs).orderBy("at").collect()]


def test_the_end_of_a_step_and_the_start_of_the_next_are_one_commit(world):
    runner = world(world.sums(SEEN.on()))
    runner.run(order("ingest_events", "sum"))
    assert runs(runner) == [("ingest_events", "running"), ("ingest_events", "done"), ("sum", "running"), ("sum", "done")]
    # created, the first claim, the turn from one step to the next, the end
    assert runner.store.newest(runner.tables.job_runs) == 3


def test_a_run_of_the_whole_flow_claims_its_day_once_and_commits_short_steps_together(world):
    runner = world(world.sums(SEEN.on()))
    runner.run(order())
    steps = [("ingest_events", "running"), ("ingest_events", "done"), ("sum", "running"), ("sum", "done")]
    assert runs(runner) == [("all", "running"), *steps, ("all", "done")]
    # created, the claim, the end
    assert runner.store.newest(runner.tables.job_runs) == 2


def test_steps_that_took_long_are_stored_before_the_next_one_starts(world, monkeypatch):
    monkeypatch.setattr("churnwatch.runner.UNRECORDED_SECONDS", 0.0)
    stored = []

    def looking(inputs, days):
        stored.extend(runs(world()))
        return world.sums(SEEN.on()).build(inputs, days)

    world(Job("sum", build=looking, reads={"seen": SEEN.on()}, writes=(SUMS,))).run(order())
    assert stored == [("all", "running"), ("ingest_events", "running"), ("ingest_events", "done"), ("sum", "running")]


def test_a_run_of_the_whole_flow_and_one_of_its_jobs_exclude_each_other(world):
    def claimed(job, instance=""):
        other.leases.hold("other")
        other.ledger.write("other", job, instance, D, "running", (D,))
        other.ledger.flush()

    runner, other = world(world.sums(SEEN.on())), world()
    runner.run(order("ingest_events"))
    other.ledger.refresh()
    claimed("all")
    with pytest.raises(WriteConflict, match=f"all {D} is being run by other"):
        runner.run(order("sum"))
    runner.run(order("ingest_events", first=D + timedelta(days=1)))  # another day
    other.ledger.write("other", "all", "", D, "done", (D,))
    claimed("sum")
    with pytest.raises(WriteConflict, match=f"sum {D} is being run by other"):
        runner.run(order())
    assert "all" not in [run.job for run in runner.ledger.running()]


def test_of_two_claims_the_one_that_is_committed_first_wins(ingested, monkeypatch):
    runner, other = ingested(ingested.sums(SEEN.on())), ingested()
    flush = runner.ledger.flush

    def too_late(**given):
        other.ledger.refresh()
        other.ledger.write("other", "sum", "", D, "running", (D,))  # written later, committed earlier
        other.ledger.flush()
        monkeypatch.setattr(runner.ledger, "flush", flush)
        flush(**given)

    monkeypatch.setattr(runner.ledger, "flush", too_late)
    with pytest.raises(WriteConflict, match="being run by other"):
        runner.run(order("sum"))
    assert not runner.store.exists(SUMS)


def test_a_command_beside_a_run_of_the_whole_flow_leaves_its_staged_rows_alone(world):
    def staged(inputs, days):
        return {"staged": inputs["seen"].select("user_id", "n")}

    def build(inputs, days):
        aside = Job("aside", build=lambda inputs, days: {"aside": inputs["seen"]}, reads={"seen": SEEN.on()}, writes=(ASIDE,))
        world(replace(aside, scheduled=False)).run(order("aside"))
        return {"sums": inputs["staged"].select(F.lit(days[0]).alias("day"), "user_id", "n")}

    job = Job("sum", stage=staged, build=build, reads={"seen": SEEN.on()}, writes=(SUMS,))
    runner = world(job)
    assert [outcome.status for outcome in runner.run(order())] == ["done", "done"]
    assert rows(runner, SUMS) == [(D, "a", 1), (D, "b", 2)]


def test_the_end_of_a_long_step_does_not_wait(world):
    runner = world()
    runner.store.create([runner.tables.job_runs])
    runner.ledger.refresh()
    runner.ledger.write("one", "sum", "", D, "done", (D,), seconds=3600.0)
    runner.ledger.flush(10.0)
    runner.ledger.write("two", "sum", "", D, "done", (D,), seconds=1.0)
    runner.ledger.flush(10.0)
    assert runs(runner) == [("sum", "done")]


def test_rows_of_a_commit_that_failed_are_stored_by_the_next_one(world, monkeypatch):
    runner = world()
    runner.store.create([runner.tables.job_runs])
    runner.ledger.refresh()
    runner.ledger.write("one", "sum", "", D, "done", (D,))
    with monkeypatch.context() as full_disk:
        full_disk.setattr(Store, "append_rows", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
        with pytest.raises(OSError, match="No space"):
            runner.ledger.flush()
    runner.ledger.flush()
    assert runs(runner) == [("sum", "done")]


def test_a_step_that_sends_reads_what_people_logged_during_the_run(world, spark):
    def acknowledged(inputs, days):
        row = frame(spark, [(D, "a", 7)], NOTES.schema)
        world().store.append(NOTES, row, {"job": "people", "day": str(D)})
        return {"sums": inputs["seen"]}

    def sent(inputs, days, senders):
        return {"aside": inputs["notes"]}

    first = Job("sum", build=acknowledged, reads={"seen": SEEN.on(), "notes": NOTES.on()}, writes=(SUMS,))
    runner = world(first, Job("send", build=sent, reads={"notes": NOTES.on()}, writes=(ASIDE,), ports=("senders",)))
    runner.store.create([NOTES])
    runner.run(order())
    assert rows(runner, ASIDE) == [(D, "a", 7)]


def test_a_run_of_the_whole_flow_that_fails_keeps_what_ended_well_and_is_recorded(world):
    def broken(inputs, days):
        raise ValueError("half way")

    runner = world(Job("sum", build=broken, reads={"seen": SEEN.on()}, writes=(SUMS,)))
    with pytest.raises(ValueError, match="half way"):
        runner.run(order())
    ended = [(job, status) for job, status in runs(runner) if status != "running"]
    assert ended == [("ingest_events", "done"), ("sum", "failed"), ("all", "failed")]
    assert [o.status for o in world(world.sums(SEEN.on())).run(order(resume=True))] == ["kept", "done"]


def test_a_step_looks_up_the_history_of_a_table_at_most_once(spark, world, tmp_path, monkeypatch):
    looked_up = []
    real = type(spark).sql

    def counted(self, query, *args, **more):
        if query.startswith("DESCRIBE HISTORY"):
            looked_up.append(query.split()[2])
        return real(self, query, *args, **more)

    spark.sql(f"CREATE SCHEMA looked_up LOCATION '{tmp_path}/tables'")
    try:
        runner = world(world.sums(SEEN.trailing(2)), schema="looked_up")
        runner.run(order(first=D - timedelta(days=1)))
        monkeypatch.setattr(type(spark), "sql", counted)
        runner.run(order("ingest_events"))
        assert [name for name in looked_up if "job_runs" not in name] == ["looked_up.seen"]
        looked_up.clear()
        assert runner.run(order("sum"))[0].written[0].rows == 2
        assert sorted(name for name in looked_up if "job_runs" not in name) == ["looked_up.seen", "looked_up.sums"]
    finally:
        spark.sql("DROP SCHEMA IF EXISTS looked_up CASCADE")


def test_the_rows_that_a_step_will_read_are_known_from_earlier_runs(world):
    runner = world(world.sums(SEEN.trailing(3)))
    runner.run(order(first=D - timedelta(days=4), last=D))
    ingest, sums = runner.jobs
    assert runner.reader.rows(Step(sums, D, (D,))) == 3 * 2
    loading, next_day = replace(ingest, ports=("sources",)), D + timedelta(days=1)
    assert runner.reader.rows(Step(loading, next_day, (next_day,))) == 2, "as many as came in on the day before"
    assert runner.reader.rows(Step(loading, D - timedelta(days=9), (D - timedelta(days=9),))) == math.inf


def test_many_small_files_of_job_runs_become_one(world, monkeypatch):
    monkeypatch.setattr("churnwatch.io.ledger.COMPACT_EVERY", 4)
    runner = world()
    for _ in range(3):
        runner.run(order())
    table = runner.tables.job_runs
    assert len(runs(runner)) == 12
    files = files_of(runner, table)
    assert len(files) <= 4
    # what was joined once stays as it is, so that readers of newer rows leave it out
    largest = max(files, key=lambda file: Path(file).stat().st_size)
    monkeypatch.setattr("churnwatch.io.ledger.COMPACT_EVERY", 1000)
    runner.run(order())
    runner.store.compact(replace(table, file_bytes=Path(largest).stat().st_size))
    assert files_of(runner, table) == {largest, *files_of(runner, table)} and len(files_of(runner, table)) == 2


def files_of(runner, table):
    """Paths of the data files of a table."""
    return {urlparse(r[0]).path for r in runner.store.read(table).selectExpr("_metadata.file_path").collect()}


def test_rows_of_job_runs_are_read_since_a_day_by_their_day_or_by_the_time_of_writing(ingested, monkeypatch):
    runner = ingested()
    store, table = runner.store, runner.tables.job_runs
    version, now = store.newest(table), datetime.now(UTC).date()
    rows, whole = store.rows_since(table, now, version)
    assert len(rows) == len(runs(runner)) > 0 and whole, "rows about D of 2025 that were written today"
    assert store.rows_since(table, now + timedelta(days=4), version) == ([], False)
    monkeypatch.setattr("churnwatch.io.store.read_rows", lambda *given: None)  # as in a catalog
    again, whole = store.rows_since(table, now, version)
    order_of = itemgetter("at", "status", "job")
    assert sorted(again, key=order_of) == sorted(rows, key=order_of) and not whole, "Spark reads the same"
    assert store.rows_since(table, now + timedelta(days=4), version) == ([], False)
    assert store.rows_since(table, None, version)[1]


def test_resume_runs_only_what_is_missing(world):
    runner = world(world.sums(SEEN.on()))
    runner.run(order(last=D + timedelta(days=1)))
    outcomes = runner.run(order(last=D + timedelta(days=2), resume=True))
    assert [o.step.days for o in outcomes] == [(D + timedelta(days=2),)] * 2


def broken(inputs, days):
    raise ValueError("half way")


def test_resume_runs_a_day_again_whose_newest_run_failed_and_what_reads_it(world):
    world(world.sums(SEEN.on())).run(order())
    failing = world(Job("sum", build=broken, reads={"seen": SEEN.on()}, writes=(SUMS,)))
    with pytest.raises(ValueError, match="half way"):
        failing.run(order("sum"))
    outcomes = world(world.sums(SEEN.on())).run(order(resume=True, last=D + timedelta(days=1)))
    assert [o.step.days for o in outcomes] == [(D + timedelta(days=1),), (D, D + timedelta(days=1))]


def test_resume_runs_again_what_is_older_than_what_it_reads(world):
    """A good day is run again on new input and breaks in the middle: what comes after it must not keep the old rows."""
    more = Job("more", build=lambda inputs, days: {"aside": inputs["sums"]}, reads={"sums": SUMS.on()}, writes=(ASIDE,))
    stays = Job("stays", build=world.sums(SEEN.on()).build, reads={"seen": SEEN.on()}, writes=(table("others"),))
    stays = replace(stays, build=lambda inputs, days: {"others": inputs["seen"]})
    world(world.sums(SEEN.on()), more, stays).run(order())
    runner = world(Job("sum", build=broken, reads={"seen": SEEN.on()}, writes=(SUMS,)), more)
    with pytest.raises(ValueError, match="half way"):
        runner.run(order())
    outcomes = world(world.sums(SEEN.on()), more, stays).run(order(resume=True))
    assert [(o.step.job.name, o.status) for o in outcomes] == [
        ("ingest_events", "kept"),
        ("sum", "done"),
        ("more", "done"),
        ("stays", "done"),  # it read the table before the second ingest wrote it
    ]
    assert {o.status for o in world(world.sums(SEEN.on()), more, stays).run(order(resume=True))} == {"kept"}


def test_resume_runs_again_what_was_skipped_or_refused(world):
    def refused(inputs, days):
        raise Refused("a measure was redefined")

    world(replace(world.sums(SEEN.on()), build=refused, mode="daily")).run(order())
    outcomes = world(world.sums(SEEN.on(), mode="daily")).run(order(resume=True))
    assert [o.status for o in outcomes] == ["kept", "done"]


def test_steps_that_do_not_read_a_failed_one_go_on_and_the_run_ends_with_its_exit_code(world):
    def refused(inputs, days):
        raise DataQualityError("too many rows refused")

    ends = Job("more", build=lambda inputs, days: {"aside": inputs["sums"]}, reads={"sums": SUMS.on()}, writes=(ASIDE,))
    shows = Job("page", build=lambda i, d: {"page": i["seen"]}, reads={"sums": SUMS.on(), "seen": SEEN.on()})
    shows = replace(shows, writes=(table("page"),), despite_failures=True)
    stays = Job(
        "stays", build=lambda inputs, days: {"others": inputs["seen"]}, reads={"seen": SEEN.on()}, writes=(table("others"),)
    )
    runner = world(replace(world.sums(SEEN.on()), build=refused), ends, stays, shows)
    report = runner.attempt(order())
    assert [(o.step.job.name, o.status) for o in report.outcomes] == [
        ("ingest_events", "done"),
        ("sum", "failed"),
        ("more", "not run"),
        ("stays", "done"),
        ("page", "done"),
    ]
    assert report.exit_code == 3 and report.outcomes[2].message == f"because of sum {D}"
    row = next(run for run in runner_ledger(world).runs(None) if run.job == "all")
    assert (row.status, "too many rows refused" in row.message) == ("failed", True)


@pytest.mark.case(8)
def test_of_a_range_with_a_day_at_fault_the_others_are_done_and_resume_runs_that_day_alone(world):
    wrong, days = D + timedelta(days=3), [D + timedelta(days=n) for n in range(6)]
    good = world().jobs[0].build

    def gated(inputs, days):
        if wrong in days:
            raise DataQualityError(f"{wrong}: too many rows refused")
        return good(inputs, days)

    runner = world(world.sums(SEEN.on()))
    runner.jobs = (replace(runner.jobs[0], build=gated), runner.jobs[1])
    report = Runner(runner.settings, runner.spark, jobs=runner.jobs).attempt(order(last=days[-1]))
    ended = [(o.step.job.name, o.status, o.step.days) for o in report.outcomes]
    assert ended == [
        ("ingest_events", "done", tuple(days[:3])),
        ("ingest_events", "failed", (wrong,)),
        ("ingest_events", "done", tuple(days[4:])),
        ("sum", "not run", (wrong,)),
        ("sum", "done", tuple(d for d in days if d != wrong)),
    ]
    assert report.exit_code == 3
    assert f"failed   ingest_events {wrong}" in "\n".join(report.summary())
    outcomes = world(world.sums(SEEN.on())).run(order(last=days[-1], resume=True))
    assert [(o.status, o.step.days) for o in outcomes] == [("done", (wrong,))] * 2


def test_days_whose_input_is_missing_fail_and_the_other_days_of_the_range_are_done(world):
    runner = world(world.sums(SEEN.on()))
    runner.run(order("ingest_events"))
    runner.run(order("ingest_events", first=D + timedelta(days=2)))
    report = runner.attempt(order("sum", last=D + timedelta(days=2)))
    assert [(o.status, [(d - D).days for d in o.step.days]) for o in report.outcomes] == [("done", [0, 2]), ("failed", [1])]
    assert isinstance(report.worst, MissingDays) and report.exit_code == 3


@pytest.mark.case(2)
def test_half_of_a_step_is_never_read(world, monkeypatch):
    """A step that breaks off after the first of its tables: readers keep the versions of the newest step that was done."""

    def two(factor):
        def build(inputs, days):
            made = inputs["seen"].withColumn("n", F.col("n") * factor)
            return {"first": made, "second": made}

        return Job("two", build=build, reads={"seen": SEEN.on()}, writes=(table("first"), table("second")))

    both_tables = (table("first"), table("second"))
    both = {"first": table("first").on(), "second": table("second").on()}
    sums = Job("sum", build=lambda i, d: {"sums": i["first"].unionAll(i["second"])}, reads=both, writes=(table("sums"),))
    runner = world(two(10), sums)
    runner.run(order("ingest_events", first=D - timedelta(days=1), last=D))
    runner.run(order("two"))
    real = Store.replace

    def once(self, of, *rest):
        if of.name == "second":
            raise OSError("No space left on device")
        return real(self, of, *rest)

    with monkeypatch.context() as full_disk:
        full_disk.setattr(Store, "replace", once)
        with pytest.raises(OSError, match="No space left") as failed:
            world(two(1000)).run(order("two"))
    assert "while second was written. Committed before it: first version 2" in failed.value.__notes__[0]
    # a step that had nothing to commit names no version that holds the half
    idle = Job(
        "idle", build=lambda i, d: {"first": i["seen"].limit(0)}, reads={"seen": SEEN.on()}, writes=both_tables[:1], lag_days=1
    )
    world(two(10), sums, idle).run(order("idle"))
    other = world(two(10), sums, idle)
    assert [o.status for o in other.run(order("sum"))] == ["done"]
    assert sorted(r[2] for r in rows(other, SUMS)) == [10, 10, 20, 20]


def test_slices_of_a_log_end_with_their_step_and_rows_of_earlier_days_are_added_once(world, spark, monkeypatch):
    ended = []

    def build(inputs, days):
        def slices():
            try:
                yield frame(spark, [(D - timedelta(days=1), "a", 1)], NOTES.schema)
                yield frame(spark, [(D, "b", 2)], NOTES.schema)
            finally:
                ended.append(days)

        return {"notes": slices()}

    runner = world(Job("note", build=build, reads={"notes": NOTES.before(3)}, writes=(NOTES,)))
    runner.run(order("ingest_events"))
    with monkeypatch.context() as full_disk:
        full_disk.setattr(Store, "append", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
        with pytest.raises(OSError, match="No space left") as failed:
            runner.run(order("note"))
    assert ended == [(D,)], "what the port held is free, although the error still holds its frames"
    assert failed.value.__traceback__
    for _ in range(2):
        runner.run(order("note"))
    assert rows(runner, NOTES) == [(D - timedelta(days=1), "a", 1), (D, "b", 2)]


def test_a_step_whose_inputs_change_at_every_conflict_is_given_up_after_its_minutes(ingested, monkeypatch):
    runner, tries = ingested(ingested.sums(SEEN.on())), []
    runs = runner.settings.runs.model_copy(update={"conflict_minutes": 0.001})
    runner.settings = runner.settings.model_copy(update={"runs": runs})

    def changed(*given):
        tries.append(time.monotonic())
        raise InputsChanged("seen changed while sum was built")

    monkeypatch.setattr("churnwatch.runner.publish", changed)
    with pytest.raises(WriteConflict, match=r"seen changed while sum was built, and again .* for 0.001 minutes"):
        runner.run(order("sum"))
    assert len(tries) >= 2 and tries[-1] - tries[0] > 0.06
    assert rows(runner, SUMS) == []


def test_a_job_reads_the_versions_that_a_run_of_the_whole_flow_has_left(world):
    runner = world(world.sums(SEEN.on()))
    report = runner.attempt(order())
    runner.store.replace(SEEN, frame(runner.spark, [(D, "a", 100)], SEEN.schema), f"day = DATE'{D}'", {})
    runner.run(order("sum"))
    assert rows(runner, SUMS) == [(D, "a", 100)]
    world(world.sums(SEEN.on())).run(order("sum", as_of_run=report.run_id))
    assert rows(runner, SUMS) == [(D, "a", 1), (D, "b", 2)]
    with pytest.raises(ConfigError, match=f"--as-of-run other.*is not in job_runs.*{report.run_id}"):
        runner.run(order("sum", as_of_run="other"))


def test_a_day_of_jobs_by_name_is_closed_with_the_row_all(world):
    more = Job("more", build=lambda inputs, days: {"aside": inputs["sums"]}, reads={"sums": SUMS.on()}, writes=(ASIDE,))
    runner = world(world.sums(SEEN.on()), more)
    runner.run(order("ingest_events", "sum"))
    report = finish(runner, D)
    assert [o.status for o in report.outcomes] == ["done", "done", "missing"] and report.exit_code == 1
    assert "run more --day" in "\n".join(report.summary())
    runner.run(order("more"))
    report = finish(world(world.sums(SEEN.on()), more), D)
    assert report.exit_code == 0 and of_run(runner_ledger(world), report.run_id) == {"seen": 1, "sums": 1, "aside": 1}


def test_steps_run_side_by_side_with_the_rows_and_versions_of_steps_one_after_the_other(world):
    meet = Barrier(2, timeout=60)

    def meeting(name):
        def build(inputs, days):
            meet.wait()  # broken after a minute, unless both steps are under way
            return {name: inputs["seen"]}

        return Job(name, build=build, reads={"seen": SEEN.on()}, writes=(table(name),))

    total = Job(
        "total", build=lambda i, d: {"sums": i["left"].unionAll(i["right"]).groupBy("day", "user_id").agg(F.sum("n").alias("n"))}
    )
    total = replace(total, reads={"left": table("left").on(), "right": table("right").on()}, writes=(table("sums"),))
    runner = world(meeting("left"), meeting("right"), total)
    side = runner.settings.runs.model_copy(update={"parallel_steps": 2})
    runner.settings = runner.settings.model_copy(update={"runs": side})
    report = runner.attempt(order())
    assert {o.step.job.name: o.status for o in report.outcomes} == dict.fromkeys(
        ("ingest_events", "left", "right", "total"), "done"
    )
    assert rows(runner, SUMS) == [(D, "a", 2), (D, "b", 4)]
    ledger = runner_ledger(world)
    assert of_run(ledger, report.run_id) == {"seen": 1, "left": 1, "right": 1, "sums": 1}
    assert next(run for run in ledger.runs(None) if run.job == "total").read == {"left": 1, "right": 1}


def test_a_job_that_was_run_by_name_is_not_due_again_on_its_day(world):
    job = replace(world.sums(SEEN.on(), mode="daily"), due=Due(28))
    runner = world(job)
    runner.run(order("ingest_events", "sum"))
    assert [o.status for o in runner.run(order())] == ["done", "not due"]
    assert [o.status for o in runner.run(order("sum", if_due=True))] == ["not due"]
    assert [o.status for o in runner.run(order("sum"))] == ["done"]


def test_days_that_every_leaves_out_are_not_taken_for_days_without_history(world):
    (outcome,) = world(world.sums(SEEN.on(), snapshots=True)).run(order("sum", first=date(2025, 3, 11), every=7))
    assert outcome.message == "no snapshot day among the output days (--every 7)"


def test_a_reader_sees_nothing_of_a_lagged_table_that_was_not_known_at_d(world, spark):
    late = table("late")
    runner = world(
        Job("label", build=dict, writes=(late,), lag_days=2),
        Job("sum", build=dict, reads={"seen": late.trailing(4)}, writes=(SUMS,)),
    )
    runner.store.create([late])
    stored = [(D - timedelta(days=n), "a", n) for n in range(4)]
    runner.store.replace(late, frame(spark, stored, late.schema), "day > DATE'2025-01-01'", {})
    seen = runner.reader.cut(Step(runner.jobs[-1], D, (D,)), late.trailing(4))
    assert {(D - r.day).days for r in seen.collect()} == {2, 3}


def test_a_dry_run_on_an_empty_warehouse_makes_nothing(world, tmp_path):
    outcomes = world(world.sums(SEEN.on())).run(order(dry_run=True))
    assert [o.status for o in outcomes] == ["would run", "would skip"]
    assert not (tmp_path / "w").exists()


def test_every_keeps_days_that_are_whole_steps_after_a_fixed_monday(world):
    runner = world(world.sums(SEEN.on(), snapshots=True))
    runner.run(order(first=D, last=D + timedelta(days=15), every=8))
    assert {(r[0] - date(1970, 1, 5)).days % 8 for r in rows(runner, SUMS)} == {0}
    assert len({r[0].weekday() for r in rows(runner, SUMS)}) == 2


def test_an_instance_with_a_longer_lag_is_cut_at_its_own_day(world, spark):
    # two definitions share a table: the slow one's rows of D-1 are not known at D, whoever stored them
    shared = table("labels", instance_column="user_id")
    quick = Job("label", build=dict, instance="a", writes=(shared,), lag_days=0)
    slow = Job("label", build=dict, instance="b", writes=(shared,), lag_days=2)
    runner = world(quick, slow, Job("sum", build=dict, reads={"seen": shared.trailing(2)}, writes=(SUMS,)))
    runner.store.create([shared])
    stored = [(D - timedelta(days=n), user, n + 1) for n in range(3) for user in "ab"]
    runner.store.replace(shared, frame(spark, stored, shared.schema), "day > DATE'2025-01-01'", {})
    seen = runner.reader.cut(Step(runner.jobs[-1], D, (D,)), shared.trailing(3))
    assert {(r.user_id, (D - r.day).days) for r in seen.collect()} == {("a", 0), ("a", 1), ("a", 2), ("b", 2)}


def test_as_of_gives_the_row_in_force_by_day(world, spark):
    state = table("state", pick="latest", pick_key=("user_id",))
    runner = world(Job("sum", build=dict, reads={"state": state.as_of()}, writes=(SUMS,)))
    runner.store.create([state])
    changes = [(D - timedelta(days=9), "a", 1), (D - timedelta(days=5), "a", 2), (D, "a", 3), (D + timedelta(days=1), "a", 4)]
    runner.store.replace(state, frame(spark, changes, state.schema), "day > DATE'2025-01-01'", {})
    days = (D - timedelta(days=1), D)
    found = runner.reader.cut(Step(runner.jobs[-1], D, days), state.as_of()).orderBy("day").collect()
    assert [(r.n, r.until) for r in found] == [(2, D - timedelta(days=1)), (3, date(9999, 12, 31))]
