"""Fixtures that start processes of their own: runs that are killed, two runs at once, a cluster."""

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyspark
import pytest

import world
from sparkconf import SHORT_LIVED, TEST_SPARK

ROOT = Path(__file__).resolve().parents[1]
SPARK_HOME = Path(pyspark.__file__).parent
HELD = ROOT / "tests" / "faults" / "held.py"
DAY = world.WORLD.day
FIRST_DAYS = ["--from", str(DAY(1)), "--to", str(DAY(2))]
PATIENCE_SECONDS = 480
FAR_ZONE = "Pacific/Kiritimati"  # 14 hours ahead of UTC: processes that start here run in it
# an interpreter in whose path this stands knows no churnwatch but what it is handed: no installed one stands in unseen
HIDES = """
import os, sys
sys.path[:] = [place for place in sys.path if not os.path.isdir(os.path.join(place, "churnwatch"))]
"""


@dataclass(frozen=True)
class Ended:
    """A process that came to its end: exit code (-9: killed) and what it printed."""

    code: int
    output: str


def held(folder, what, write, *arguments):
    """A process that runs ``churnwatch`` with a fault, see held.py; one that waits goes on once ``folder``/go is there."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "lib"), "SPARK_LOCAL_IP": "127.0.0.1", "TZ": FAR_ZONE}
    given = [sys.executable, str(HELD), what, str(write), f"{folder}/go", "run", *arguments, "--config", str(world.CONFIG)]
    for pair in [*world.sets(folder), *(f"spark.{k}={v}" for k, v in (TEST_SPARK | SHORT_LIVED).items())]:
        given += ["--set", pair]
    return subprocess.Popen(given, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process):
    """Waits for ``process``."""
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return Ended(process.returncode, output)


@pytest.fixture(scope="session")
def killed_runs(spark, raw_world, tmp_path_factory):
    """The warehouse and the ends of three runs that were killed: before the first table, the last of ingest, the next job's."""
    folder = world.copied(raw_world, tmp_path_factory.mktemp("killed"))
    of = world.runner(spark, folder)
    of.store.create(of.tables)  # quicker here than in a process that has just started
    jobs = ("ingest_events", "build_activity")
    return folder, [ended(held(folder, "die", number, *jobs, *FIRST_DAYS)) for number in (1, 5, 6)]


@pytest.fixture(scope="session")
def two_runs(spark, raw_world, tmp_path_factory):
    """The warehouse and the ends of two runs of the same days, the second started while the first was at work."""
    folder = world.copied(raw_world, tmp_path_factory.mktemp("two"))
    of = world.runner(spark, folder)
    first = held(folder, "wait", 1, "ingest_events", *FIRST_DAYS)
    until(lambda: world.stored(of, "job_runs"), "the first run claimed nothing")
    second = ended(held(folder, "wait", 0, "ingest_events", *FIRST_DAYS))
    (folder / "go").touch()
    return folder, ended(first), second


def until(true, else_error):
    """Wait until ``true()``; fail with ``else_error`` after ``PATIENCE_SECONDS``."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, else_error
        time.sleep(0.5)


@pytest.fixture(scope="session")
def cluster_day(history_world, tmp_path_factory):
    """The warehouse and the end of a day's flow by spark-submit on a standalone cluster of two workers on loopback."""
    there, work = world.copied(history_world, tmp_path_factory.mktemp("there")), tmp_path_factory.mktemp("cluster")
    started = []
    try:
        hide_the_installed(work)
        master = cluster(work, started)
        return there, ended(submit(master, package(work), there, work))
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def package(work):
    """The wheel, built from a copy of the sources and renamed, so that executors import it too."""
    source = work / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "lib", source / "lib", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(source / "dist"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = (source / "dist").glob("*.whl")
    return wheel.rename(wheel.with_suffix(".zip"))


def hide_the_installed(work):
    """Makes ``work``/bare, a PYTHONPATH under which the package is not installed: it must come by --py-files."""
    bare = work / "bare"
    bare.mkdir()
    (bare / "sitecustomize.py").write_text(HIDES)
    command = [sys.executable, "-c", "import churnwatch"]
    done = subprocess.run(command, env=on_loopback(work), cwd=work, capture_output=True, text=True)
    assert "No module named 'churnwatch'" in done.stderr, "the installed package is still there"


def on_loopback(work, **more):
    """The environment of Spark's processes, executors included: nothing of this process's own packages."""
    return os.environ | {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_HOME": str(SPARK_HOME),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(work / "bare"),
        **more,
    }


def cluster(work, started):
    """Starts a master and two workers, which go to ``started``; the address of the master."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spark_class, deploy = str(SPARK_HOME / "bin" / "spark-class"), "org.apache.spark.deploy"
    master = [spark_class, f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
    worker = [spark_class, f"{deploy}.worker.Worker", "--host", "127.0.0.1", "--webui-port", "0", "-c", "1", "-m", "1g"]
    with open(work / "log", "w") as log:
        started.append(subprocess.Popen(master, env=on_loopback(work), stdout=log, stderr=log))
        until(lambda: listens(port), "the master did not start")
        for name in ("one", "two"):
            command = [*worker, "-d", str(work / name), f"spark://127.0.0.1:{port}"]
            started.append(subprocess.Popen(command, env=on_loopback(work), stdout=log, stderr=log))
        registered = "Successfully registered with master"
        until(lambda: (work / "log").read_text().count(registered) >= 2, "the workers did not start")
    return f"spark://127.0.0.1:{port}"


def listens(port):
    """Whether something listens on ``port`` of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def submit(master, package, there, work):
    """The flow of day 62 by spark-submit to ``master``, with ``package`` as its only churnwatch."""
    jars = ",".join(str(jar) for jar in sorted((ROOT / ".jars").glob("*.jar")))
    command = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", master, "--py-files", str(package), "--jars", jars]
    for pair in (
        "spark.driver.host=127.0.0.1",
        "spark.driver.bindAddress=127.0.0.1",
        "spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.shuffle.partitions=2",
        "spark.sql.adaptive.enabled=false",
        "spark.sql.codegen.wholeStage=false",
        "spark.databricks.delta.snapshotPartitions=1",
        "spark.ui.enabled=false",
        "spark.executor.memory=1g",
        "spark.cores.max=2",
    ):
        command += ["--conf", pair]
    command += [str(ROOT / "jobs" / "all.py"), "--config", str(world.CONFIG), "--day", str(DAY(62))]
    for pair in world.sets(there):
        command += ["--set", pair]
    environment = on_loopback(work, PYSPARK_DRIVER_PYTHON=sys.executable)
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=work)
