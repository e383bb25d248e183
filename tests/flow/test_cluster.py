"""A real standalone cluster: master and two workers on loopback, the package as a zip alone, every job of a day."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyspark
import pytest

import world

ROOT = Path(__file__).resolve().parents[2]
# an interpreter in whose path this folder stands knows no churnwatch but what it is handed: no installed one stands in unseen
HIDES = """
import os, sys
sys.path[:] = [place for place in sys.path if not os.path.isdir(os.path.join(place, "churnwatch"))]
"""
SPARK_HOME = Path(pyspark.__file__).parent
DAY = world.WORLD.day


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """PYTHONPATH of processes in which the package is not installed."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(HIDES)
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", "import churnwatch"], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert "No module named 'churnwatch'" in done.stderr
    return str(folder)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The wheel, built from a copy of the sources and renamed, so that executors import it too."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "lib", source / "lib", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(source / "dist"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = (source / "dist").glob("*.whl")
    return wheel.rename(wheel.with_suffix(".zip"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, bare):
    """A master and two workers; the address of the master."""
    work = tmp_path_factory.mktemp("cluster")
    port = free_port()
    environment = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": str(SPARK_HOME), "PYSPARK_PYTHON": sys.executable}
    environment["PYTHONPATH"] = bare  # executors inherit it
    spark_class = str(SPARK_HOME / "bin" / "spark-class")
    package = "org.apache.spark.deploy"
    master = [spark_class, f"{package}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
    worker = [spark_class, f"{package}.worker.Worker", "--host", "127.0.0.1", "--webui-port", "0", "-c", "1", "-m", "1g"]
    started = []
    with open(work / "log", "w") as log:
        started.append(subprocess.Popen(master, env=environment, stdout=log, stderr=log))
        _until(lambda: _listens(port), 60)
        for name in ("one", "two"):
            command = [*worker, "-d", str(work / name), f"spark://127.0.0.1:{port}"]
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        _until(lambda: (work / "log").read_text().count("Successfully registered with master") >= 2, 60)
        yield f"spark://127.0.0.1:{port}"
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(true, seconds):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the cluster did not start"
        time.sleep(0.5)


@pytest.mark.processes
def test_a_day_on_a_cluster_equals_the_day_in_local_mode(spark, history_world, loaded_world, cluster, package, bare, tmp_path):
    there = world.copied(history_world, tmp_path / "there")
    # keyed ids are the same only under the same key
    shutil.copy(loaded_world / "files" / "id_key", there / "files" / "id_key")
    jars = ",".join(str(jar) for jar in sorted((ROOT / ".jars").glob("*.jar")))
    submit = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", cluster, "--py-files", str(package), "--jars", jars]
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
        submit += ["--conf", pair]
    command = [*submit, str(ROOT / "jobs" / "all.py"), "--config", str(world.CONFIG), "--day", str(DAY(62))]
    for pair in world.sets(there):
        command += ["--set", pair]
    environment = os.environ | {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_HOME": str(SPARK_HOME),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": bare,  # so that --py-files alone brings the package
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    local, remote = (world.runner(spark, folder) for folder in (loaded_world, there))
    # the page tells where it lies, and messages' attempts when they were made
    mine, theirs = (world.tables_of(of, "report_pages", "deliveries") for of in (local, remote))
    assert {name for name in mine if mine[name] != theirs[name]} == set()
