"""Builds the Spark session. No other module builds one or uses ``sparkContext``."""

import logging
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import Any
from urllib.parse import urlparse

from pyspark.sql import SparkSession

from churnwatch.core import ConfigError, Interrupted, Terminated
from churnwatch.settings import Settings

# set in every session, whatever conf/ says: Delta, UTC, ANSI
ALWAYS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    # without this each call of a column function looks up its line of Python: half the time of building a plan
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
# spark-submit has set these before it starts this process
DECIDED_BY_SUBMIT = ("spark.master", "spark.jars", "spark.driver.memory", "spark.submit.", "spark.app.name")
# for steps over few rows, where plans cost more CPU than rows
FEW_ROWS = {
    # compiling takes longer than interpreting the rows
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # plans every query again after each of its exchanges, and makes a Spark job of each
    "spark.sql.adaptive.enabled": "false",
    # a task costs more CPU than few rows: few tasks read small files, because each file counts as 128 kB and not as 4 MB
    "spark.sql.files.openCostInBytes": "131072",
    # else more than 32 files are listed by a Spark job
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
    # each opened file clears memory for this many rows a column; many files of a few hundred rows are opened
    "spark.sql.parquet.columnarReaderBatchSize": "512",
    # a broadcast is a Spark job of its own, and few rows are shuffled and sorted for less
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    # infer filters that save rows and files, by comparing all pairs of expressions of a plan
    "spark.sql.constraintPropagation.enabled": "false",
    "spark.sql.optimizer.dynamicPartitionPruning.enabled": "false",
    # else each query writes its plan twice, and in full, for the UI
    "spark.sql.ui.explainMode": "simple",
    "spark.sql.debug.maxToStringFields": "5",
}
PARTITIONS = "spark.sql.shuffle.partitions"
FEW_PARTITIONS = 2  # tasks of an exchange of few rows
MOST_PARTITIONS = 16  # a session with more runs on a cluster, where tasks run side by side
# classes of the JVM with the functions that PySpark calls most, by the names under which it looks them up
LOOKED_UP_ONCE = (
    "functions",
    "org.apache.spark.sql.functions",
    "org.apache.spark.sql.expressions.Window",
    "PythonUtils",
    "PythonSQLUtils",
)
JAVA_OPTIONS = "spark.driver.extraJavaOptions"
LOG4J = Path(__file__).parent / "log4j2.properties"
# lines of a JVM's stderr that no setting switches off: Java warns of a module that Spark adds, netlib of a missing libblas
NOISE = (b"WARNING: Using incubator modules", b"netlib-blas: JNI_OnLoad", b"netlib-lapack: JNI_OnLoad")


def on_databricks() -> bool:
    """Whether this process runs on a Databricks runtime, which makes the session itself."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def session(settings: Settings, name: str = "churnwatch") -> SparkSession:
    """The Spark session of this process, made from ``settings.spark``; on Databricks the existing one.

    ``name`` becomes the name of the application, and of its Spark jobs until ``describe`` is called.
    """
    if on_databricks():
        spark = SparkSession.builder.getOrCreate()
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        return spark
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if not submitted:
        _check_jars(settings.spark)
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(name)
    for key, value in {**settings.spark, **_quiet(submitted, settings.spark), **ALWAYS}.items():
        if not (submitted and key.startswith(DECIDED_BY_SUBMIT)):
            builder = builder.config(key, str(value))
    with _without_noise():
        spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    for java_class in LOOKED_UP_ONCE:
        setattr(spark._jvm, java_class, KeptMembers(getattr(spark._jvm, java_class)))
    describe(spark, name)
    return spark


def end_on_signals(spark: SparkSession) -> None:
    """On Ctrl-C and SIGTERM cancel the Spark jobs and raise Interrupted or Terminated in the main thread.

    Raises nothing itself. PySpark's own handler of Ctrl-C would cancel over the connection that waits for the job's end.
    """
    if on_databricks() or current_thread() is not main_thread():
        return

    def end(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the orchestrator may send it again while the end is written
        signal.signal(signal.SIGINT, signal.default_int_handler)
        client: Any = spark.sparkContext._gateway._gateway_client  # type: ignore[union-attr]
        if hasattr(client, "thread_connection"):
            client.thread_connection.connection = None  # the answer to the interrupted call must not be taken for another's
        spark.sparkContext.cancelAllJobs()
        if number == signal.SIGINT:
            raise Interrupted
        raise Terminated

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)


class KeptMembers:
    """A class of the JVM whose static methods are looked up once each.

    PySpark looks up class and method again for each call of a column function: two of three calls into the JVM.
    """

    def __init__(self, java_class: Any) -> None:
        self._java_class = java_class

    def __getattr__(self, name: str) -> Any:  # called for what is not kept yet
        member = getattr(self._java_class, name)
        setattr(self, name, member)
        return member


def _check_jars(configured: Mapping[str, Any]) -> None:
    """Raise ConfigError when a JAR is missing, because Spark only warns, and then finds no class of Delta."""
    jars = [jar for jar in str(configured.get("spark.jars") or "").split(",") if jar and not urlparse(jar).scheme]
    if missing := [jar for jar in jars if not Path(jar).is_file()]:
        raise ConfigError(f"spark.jars: no file {', '.join(missing)}. Hint: make jars fetches the JARs into the project's folder")


def _quiet(submitted: bool, configured: Mapping[str, Any]) -> dict[str, str]:
    """Options that keep Spark's start-up messages off the console, where this process starts the JVM and can give it a file."""
    if submitted or not LOG4J.is_file():
        return {}
    options = f"-Dlog4j2.configurationFile=file:{LOG4J} {configured.get(JAVA_OPTIONS, '')}"
    return {JAVA_OPTIONS: options.strip()}


@contextmanager
def _without_noise() -> Iterator[None]:
    """Pass the stderr of processes that start meanwhile through a thread that drops the lines of NOISE."""
    ours = os.dup(2)
    read, write = os.pipe()
    os.dup2(write, 2)
    os.close(write)
    Thread(target=_pass_on, args=(read, ours), daemon=True).start()
    try:
        yield
    finally:
        os.dup2(ours, 2)


def _pass_on(read: int, to: int) -> None:
    with open(read, "rb") as lines:
        for line in lines:
            if not line.startswith(NOISE):
                os.write(to, line)


def describe(spark: SparkSession, text: str) -> None:
    """Set the description of the Spark jobs that follow, for the Spark UI and the progress line."""
    if not on_databricks():
        spark.sparkContext.setJobGroup("churnwatch", text)


@contextmanager
def few_rows_settings(spark: SparkSession, enabled: bool) -> Iterator[None]:
    """Within the block, set FEW_ROWS if ``enabled``; afterwards the settings are what they were.

    Does nothing on Databricks, and where an exchange has more than MOST_PARTITIONS partitions.
    """
    # not read on Databricks, where the number may be the word "auto"
    partitions = int(spark.conf.get(PARTITIONS) or MOST_PARTITIONS + 1) if enabled and not on_databricks() else 0
    if not 0 < partitions <= MOST_PARTITIONS:
        yield
        return
    values = FEW_ROWS | {PARTITIONS: str(min(partitions, FEW_PARTITIONS))}
    before = {key: spark.conf.get(key, None) for key in values}
    _set(spark, values)
    try:
        yield
    finally:
        _set(spark, before)


def _set(spark: SparkSession, values: Mapping[str, str | None]) -> None:
    """Set each setting; None unsets it."""
    for key, value in values.items():
        if value is None:
            spark.conf.unset(key)
        else:
            spark.conf.set(key, value)


def tasks(spark: SparkSession) -> tuple[int, int]:
    """Finished and known tasks of the running stages; (0, 0) between Spark jobs and on Databricks."""
    if on_databricks():
        return 0, 0
    tracker = spark.sparkContext.statusTracker()
    stages = [info for i in tracker.getActiveStageIds() if (info := tracker.getStageInfo(i))]
    return sum(s.numCompletedTasks for s in stages), sum(s.numTasks for s in stages)


def reset_peak_memory() -> None:
    """Reset the peak memory of this process and its descendants. Does nothing outside Linux."""
    for pid in _family():
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            continue


def peak_memory_mb() -> int:
    """Sum of the memory peaks of this process and its descendants since the last reset, MB; 0 outside Linux."""
    peaks = []
    for pid in _family():
        try:
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        except OSError:
            continue
        peaks.append(int(found[1]) if found else 0)
    return sum(peaks) // 1024


def _family() -> list[int]:
    """This process and its descendants."""
    parents: dict[int, int] = {}
    # listdir, because a glob fails on processes that end meanwhile
    for name in filter(str.isdigit, os.listdir("/proc") if Path("/proc").is_dir() else ()):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(name)] = int(fields[1])
    family = [os.getpid()]
    for pid in family:
        family += [child for child, parent in parents.items() if parent == pid]
    return family
