"""Several writers of one table: two processes on a folder, and threads on a catalog, where Delta itself finds the conflicts."""

import os
import subprocess
import sys
import threading
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from churnwatch.core import Job, Table, WriteConflict, column
from churnwatch.io.delta_errors import is_conflict
from churnwatch.io.locks import Locks
from churnwatch.io.store import Store
from churnwatch.runner import Order, Runner
from churnwatch.settings import load
from frames import frame

D = date(2025, 3, 10)
WRITER, RIVAL = (Path(__file__).with_name(name) for name in ("writer.py", "rival.py"))
PATIENCE_SECONDS = 240
# the day that rival.py writes by each job, while another day is written
RIVAL_DAYS = {"count": D, "plain": D + timedelta(days=21)}
PATHS = os.pathsep.join(map(str, (WRITER.parents[2] / "lib", WRITER.parents[1], WRITER.parent)))
PIPED = {"env": os.environ | {"PYTHONPATH": PATHS}, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
# not partitioned by day: any two commits of it are a conflict
PEOPLE = Table(
    name="people",
    comment="rows of a test",
    schema=StructType(
        [
            column("day", "date", "day", nullable=False),
            column("user_id", "string", "user", nullable=False),
            column("n", "long", "number"),
        ]
    ),
    keys=("day", "user_id"),
)


def settings(folder, schema=None, minutes=5.0):
    made = load("conf/local.yaml", [f"storage.root={folder}/w", f"storage.files={folder}/f"])
    place = {"root": None, "schema_name": schema} if schema else {}
    runs = made.runs.model_copy(update={"conflict_minutes": minutes})
    return made.model_copy(update={"storage": made.storage.model_copy(update=place), "runs": runs})


def write(store, day, run_id, job=None, again=None):
    """Replace the rows of ``day``."""
    rows = frame(store.spark, [(day, user, 1) for user in "ab"], PEOPLE.schema)
    stamp = {"run_id": run_id, "job": job or f"job {day}", "day": str(day)}
    return store.replace(PEOPLE, rows, f"day >= DATE'{day}' AND day <= DATE'{day}'", stamp, again)


def count_days(inputs, days):
    """One row: 1 more than the sum of the days before."""
    total = (F.coalesce(F.sum("n"), F.lit(0)) + 1).alias("n")
    return {"people": inputs["people"].agg(total).select(F.lit(days[0]).alias("day"), F.lit("a").alias("user_id"), "n")}


def write_one(inputs, days):
    """One row, which depends on nothing."""
    return {"people": frame(SparkSession.active(), [(days[0], "b", 1)], PEOPLE.schema)}


def jobs(held=lambda build, name: build):
    """A job that reads earlier days of the table that it writes, and one that reads nothing."""
    daily = {"writes": (PEOPLE,), "mode": "daily", "scheduled": False}
    count = Job("count", reads={"people": PEOPLE.before(9)}, build=held(count_days, "count"), **daily)
    return count, Job("plain", build=held(write_one, "plain"), **daily)


def stored(store):
    store.refresh()
    return sorted((row.day, row.user_id) for row in store.read(PEOPLE).collect())


@pytest.fixture
def catalog(spark, tmp_path):
    """The name of a schema of the session's catalog, whose tables no lock guards."""
    name = "writers"
    spark.sql(f"CREATE SCHEMA {name} LOCATION '{tmp_path}/tables'")
    yield name
    spark.sql(f"DROP SCHEMA {name} CASCADE")


@pytest.mark.long
def test_what_delta_raises_on_a_conflict_is_recognised_and_nothing_else_is(spark, catalog, tmp_path):
    store = Store(spark, settings(tmp_path, catalog))
    store.create([PEOPLE])
    errors = []

    def writer(number):
        for _ in range(3):
            try:
                rows = frame(spark, [(D + timedelta(days=number), "a", number)], PEOPLE.schema)
                where = f"day = DATE'{D + timedelta(days=number)}'"
                rows.write.format("delta").mode("overwrite").option("replaceWhere", where).saveAsTable(f"{catalog}.people")
            except (PySparkException, Py4JJavaError) as error:
                errors.append(error)

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors, "four writers at once never met"
    assert [error for error in errors if not is_conflict(error)] == []
    with pytest.raises((PySparkException, Py4JJavaError)) as other:
        spark.range(1).select(F.raise_error(F.lit("ConcurrentAppendException in a text"))).collect()
    assert not is_conflict(other.value)


@pytest.mark.long
@pytest.mark.case(6, 36)
def test_a_storm_of_ten_writers_of_ten_days_on_a_catalog_loses_nothing(spark, catalog, tmp_path):
    given = settings(tmp_path, catalog)
    Store(spark, given).create([PEOPLE])
    days, failed = [D + timedelta(days=n) for n in range(10)], []

    def writer(day):
        try:
            write(Store(spark, given), day, f"run of {day}")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=writer, args=(day,)) for day in days]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert stored(Store(spark, given)) == [(day, user) for day in days for user in "ab"]


@pytest.mark.case(5, 36)
def test_of_two_writers_of_the_same_work_the_second_is_told_who_won(spark, catalog, tmp_path):
    given = settings(tmp_path, catalog)
    Store(spark, given).create([PEOPLE])
    stores, failed, ready = [Store(spark, given) for _ in range(4)], [], threading.Barrier(4)
    for store in stores:
        store.newest(PEOPLE)

    def writer(number):
        ready.wait()
        try:
            write(stores[number], D, f"run {number}", job="ingest_users")
        except WriteConflict as error:
            failed.append(str(error))

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed, "four writers at once never met"
    assert all("has just written ingest_users for 2025-03-10; nothing was written" in text for text in failed)
    assert stored(stores[0]) == [(D, "a"), (D, "b")]


@pytest.mark.long
@pytest.mark.case(36)
def test_a_commit_that_lost_reads_its_own_table_again_and_gives_up_after_its_minutes(spark, catalog, tmp_path):
    patient, hasty = (Store(spark, settings(tmp_path, catalog, minutes)) for minutes in (5.0, 0.0001))
    patient.create([PEOPLE])
    before, seen, ended = patient.newest(PEOPLE), [], threading.Event()

    def rival():
        other, number = Store(spark, settings(tmp_path, catalog)), 0
        while not ended.is_set():
            number += 1
            write(other, D + timedelta(days=1 + number % 5), f"rival {number}")

    def again():
        seen.append(patient.version(PEOPLE))
        return frame(spark, [(D, "again", 2)], PEOPLE.schema)

    thread = threading.Thread(target=rival)
    thread.start()
    try:
        for _ in range(40):
            write(patient, D, "patient", again=again)
            if seen:
                break
        with pytest.raises(WriteConflict, match="run rival .* runs.conflict_minutes"):
            for number in range(40):
                write(hasty, D + timedelta(days=9), f"hasty {number}")
    finally:
        ended.set()
        thread.join()
    assert min(seen) > before
    assert (D, "again") in stored(patient)


@pytest.mark.case(6, 36)
@pytest.mark.processes
def test_a_storm_of_ten_writers_in_two_processes_on_a_folder_loses_nothing(spark, tmp_path):
    store = Store(spark, settings(tmp_path))
    store.create([PEOPLE])
    processes = [subprocess.Popen([sys.executable, str(WRITER), str(tmp_path), n], **PIPED) for n in ("0", "5")]
    ends = [(process.communicate(timeout=300), process.returncode) for process in processes]
    assert [code for _, code in ends] == [0, 0], ends
    days = [D + timedelta(days=n) for n in range(10)]
    assert stored(store) == [(day, user) for day in days for user in "ab"]
    # each process has written each of its days twice: no commit was overwritten by one of the other process
    assert [stamp["day"] for _, stamp in store.commits_from(PEOPLE, 1)].count(str(D)) == 2
    assert len(store.commits_from(PEOPLE, 1)) == 20


@pytest.mark.case(5)
def test_the_lock_of_a_table_is_waited_for_and_a_killed_process_gives_it_back(tmp_path):
    given = settings(tmp_path, minutes=0.005)
    held = f"held = FileLock('{tmp_path}/w/_locks/people.lock'); held.acquire()"
    code = f"import time; from filelock import FileLock; {held}; print('held', flush=True); time.sleep(60)"
    (tmp_path / "w" / "_locks").mkdir(parents=True)
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with Locks(given).of("other"):
            pass
        with pytest.raises(WriteConflict, match="another process has written it"), Locks(given).of("people"):
            pass
        holder.kill()
        holder.wait()
        with Locks(given).of("people"):
            pass
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.case(36)
@pytest.mark.processes
def test_a_step_whose_commit_lost_is_built_again_if_an_input_has_changed_and_only_then(spark, catalog, tmp_path):
    built = []

    def held(build, name):
        """Rows of ``build`` that come only when another process has committed, while Delta is at work on our commit."""
        begun, overtaken, seconds = str(tmp_path / f"{name} begun"), str(tmp_path / f"{name} overtaken"), PATIENCE_SECONDS

        def wait(batches):
            Path(begun).touch()
            deadline = time.monotonic() + seconds
            while not Path(overtaken).exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            yield from batches

        def building(inputs, days):
            built.append(name)
            return {"people": build(inputs, days)["people"].mapInArrow(wait, PEOPLE.schema)}

        return building

    of = Runner(settings(tmp_path, catalog), spark, jobs=jobs(held))
    rival = subprocess.Popen([sys.executable, str(RIVAL), str(tmp_path)], **PIPED)
    ours = {"count": D + timedelta(days=1), "plain": D + timedelta(days=20)}
    for name, day in ours.items():
        of.run(Order((name,), day, day))
    output, _ = rival.communicate(timeout=PATIENCE_SECONDS)
    assert rival.returncode == 0, output
    of.store.refresh()
    rows = sorted((row.day, row.user_id, row.n) for row in of.store.read(PEOPLE).collect())
    assert rows == [(D, "a", 1), (ours["count"], "a", 2), (ours["plain"], "b", 1), (RIVAL_DAYS["plain"], "b", 1)]
    assert built == ["count", "count", "plain"]
    # job_runs names the version from which the rows were made: the one of the other process
    commits = {(stamp["job"], stamp["day"]): version for version, stamp in of.store.commits_from(PEOPLE, 1)}
    (run,) = [run for run in of.ledger.runs(None) if run.job == "count" and run.day == ours["count"]]
    assert run.read == {"people": commits["count", str(D)]}
