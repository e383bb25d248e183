"""A pytest plugin that measures what tests cost: ``pytest --costs=FILE`` writes seconds, CPU, Spark jobs and Py4J calls.

CPU is that of the test process and all its descendants (the JVM, Python workers, processes that a test starts), from /proc.
A fixture's cost goes to the test that needed it first. Under pytest-xdist each worker measures its own processes.
"""

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

UNITS = ("seconds", "cpu_seconds", "spark_jobs", "py4j_calls")
TICKS = os.sysconf("SC_CLK_TCK")


def pytest_addoption(parser):
    group = parser.getgroup("costs")
    group.addoption("--costs", metavar="FILE", help="write what each test and each file costs, as JSON, the dearest first")
    group.addoption("--order", metavar="FILE", help="update FILE, the CPU seconds by test file that decide which starts first")
    group.addoption("--rules", metavar="FILE", help="write the time that each rule of Spark's optimizer took in the session")


def pytest_configure(config):
    if config.getoption("--costs") or config.getoption("--order"):
        config.pluginmanager.register(Costs(config), "costs-of-tests")


def cpu_seconds() -> float:
    """CPU of this process, of its living descendants, and of all that they have waited for."""
    parents, ticks = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # it has just ended
        parents[int(name)] = int(fields[1])
        ticks[int(name)] = sum(map(int, fields[11:15]))  # user and system time, of its own and of its dead children
    family = [os.getpid()]
    for pid in family:
        family += [child for child, parent in parents.items() if parent == pid]
    return sum(ticks.get(pid, 0) for pid in family) / TICKS


def write_rules(spark, file: str) -> None:
    """Writes the time that each rule of the analyzer and the optimizer took since the JVM started."""
    Path(file).write_text(spark._jvm.org.apache.spark.sql.catalyst.rules.RuleExecutor.dumpTimeSpent())


class Costs:
    """Measures each phase of each test where it runs, and adds the phases up where the reports arrive."""

    def __init__(self, config):
        self.file, self.order, self.is_worker = config.option.costs, config.option.order, hasattr(config, "workerinput")
        self.calls, self.before = 0, None
        self.tests = defaultdict(lambda: dict.fromkeys(UNITS, 0.0))
        self._count_calls()

    def _count_calls(self):
        from py4j.clientserver import JavaClient

        real = JavaClient.send_command

        def counted(client, *args, **more):
            self.calls += 1
            return real(client, *args, **more)

        JavaClient.send_command = counted

    def _now(self):
        from pyspark import SparkContext

        context, calls = SparkContext._active_spark_context, self.calls
        # a stand-in for Spark's context has no JVM, and a context that was stopped no scheduler
        scheduler = context._jsc.sc().dagScheduler() if getattr(context, "_jsc", None) else None
        jobs = scheduler.numTotalJobs() if scheduler else 0
        self.calls = calls  # what is asked here is no test's
        return {"cpu_seconds": cpu_seconds(), "spark_jobs": jobs, "py4j_calls": calls}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self):
        self.before = self._now()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self):
        report = yield
        now = self._now()
        report.costs = {unit: max(now[unit] - self.before[unit], 0) for unit in now}
        self.before = now
        return report

    def pytest_runtest_logreport(self, report):
        if not self.is_worker:
            found = self.tests[report.nodeid]
            for unit, cost in {"seconds": report.duration, **report.costs}.items():
                found[unit] += cost

    def pytest_sessionfinish(self):
        if self.is_worker:
            return
        files = defaultdict(lambda: dict.fromkeys(UNITS, 0.0))
        for name, costs in self.tests.items():
            for unit in UNITS:
                files[name.partition("::")[0]][unit] += costs[unit]
        if self.file:
            total = {unit: round(sum(costs[unit] for costs in files.values()), 2) for unit in UNITS}
            written = {"total": total, "files": dearest_first(files), "tests": dearest_first(self.tests)}
            Path(self.file).write_text(json.dumps(written, indent=1))
        if self.order:
            update_order(Path(self.order), files)


def update_order(file, files):
    """Store the CPU seconds of the test files that ran, the dearest first; others keep theirs while they exist."""
    known = {name: cost for name, cost in json.loads(file.read_text()).items() if (file.parent / name).is_file()}
    known |= {name.removeprefix("tests/"): round(costs["cpu_seconds"]) for name, costs in files.items()}
    file.write_text(json.dumps(dict(sorted(known.items(), key=lambda pair: (-pair[1], pair[0]))), indent=1) + "\n")


def dearest_first(costs):
    """``costs`` by name, rounded, those with the most CPU first."""
    order = sorted(costs, key=lambda name: -costs[name]["cpu_seconds"])
    return {name: {unit: round(cost, 2) for unit, cost in costs[name].items()} for name in order}
