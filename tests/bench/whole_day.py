"""The fixed cost of a day: ``run all`` for two days on a stored warehouse of a few thousand users, step by step.

    whole_day.py build FOLDER [USERS]        simulate, load, train and decide once; keep the warehouse in FOLDER
    whole_day.py run FOLDER [JOB ...]        copy it, run the jobs (default: all) for one day cold and for the next warm

The code that runs is that of the ``churnwatch`` package on PYTHONPATH, with the ``conf/`` of its checkout, so that two
commits can be compared. ``run`` prints a table of the steps, or JSON with ``--json``; ``--spark-jobs`` lists the Spark jobs;
``--spark.some.setting=value`` sets one of Spark's settings over those of ``conf/``.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from py4j.clientserver import ClientServerConnection

import churnwatch
from processes import cpu_seconds

USERS = 3000
LOADED, DECIDED, LAST = 251, 252, 256  # day numbers of the world: history and model, decisions, last simulated day
DAYS = (253, 254)  # the day that runs in a fresh JVM, and the day that runs after it
# few trials, and a gate that lets the model of a small base pass: what is measured is the day after
EASY = (
    "model.max_evals=2",
    "model.origins=1",
    "model.gate.min_origins=1",
    "model.gate.min_positives=10",
    "model.gate.max_rate_error=10",
) + tuple(f"model.gate.min_margin_over_{other}=-1" for other in ("rule", "column", "release"))
CHECKOUT = Path(churnwatch.__file__).resolve().parents[2]


@dataclass(frozen=True)
class Cost:
    """What a step took: wall and CPU seconds (of the tree of processes), Spark jobs, Delta commits, calls into the JVM."""

    seconds: float
    cpu_seconds: float
    spark_jobs: int
    commits: int
    calls: int


class Meter:
    """Notes where each step of a runner starts; a step ends where the next one starts."""

    def __init__(self, root: Path, spark: Any) -> None:
        self._root, self._spark, self._calls = root, spark, 0
        self._marks: list[tuple[str, Cost]] = []
        send = ClientServerConnection.send_command

        def counted(connection: Any, command: str) -> Any:
            self._calls += 1
            return send(connection, command)

        ClientServerConnection.send_command = counted

    def mark(self, name: str) -> None:
        """A step starts; a name that is the last one's is the same step."""
        if not self._marks or self._marks[-1][0] != name:
            calls = self._calls
            jobs = self._spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs()
            commits = sum(1 for _ in self._root.glob("*/_delta_log/*.json"))
            self._marks.append((name, Cost(time.monotonic(), cpu_seconds(), jobs, commits, calls)))

    def steps(self) -> dict[str, Cost]:
        """Cost of each step so far; starts anew."""
        self.mark("end")
        marks, self._marks = self._marks, []
        found = {}
        for (name, start), (_, end) in zip(marks, marks[1:], strict=False):
            found[name] = Cost(*(b - a for a, b in zip(asdict(start).values(), asdict(end).values(), strict=True)))
        return found


def settings_of(folder: Path, sets: tuple[str, ...] = ()) -> Any:
    """The laptop's settings of the checkout, with the warehouse of ``folder``; JARs of the checkout."""
    from churnwatch.settings import load

    os.chdir(folder)  # raw files are found from here
    settings = load(
        CHECKOUT / "conf" / "local.yaml", [f"storage.root={folder}/warehouse", f"storage.files={folder}/warehouse/_files", *sets]
    )
    jars = ",".join(str(CHECKOUT / jar) for jar in str(settings.spark["spark.jars"]).split(","))
    given = dict(word[2:].split("=", 1) for word in sys.argv if word.startswith("--spark."))
    return settings.model_copy(update={"spark": {**settings.spark, "spark.jars": jars, "spark.ui.enabled": "false", **given}})


def build(folder: Path, users: int = USERS) -> None:
    """Makes the warehouse: snapshots of the history, 8 days apart, a released model, and days of decisions."""
    from churnwatch.io.raw import simulate
    from churnwatch.io.session import session
    from churnwatch.runner import Order, Runner
    from churnwatch.simulate import World

    folder.mkdir(parents=True)
    settings, world = settings_of(folder, EASY), World(users=users, days=LAST)
    spark = session(settings, "bench day")
    simulate(spark, world, Path("raw"), Path("truth"))
    runner = Runner(settings, spark)
    runner.run(Order(("all",), world.day(1), world.day(LOADED), every=8))
    runner.run(Order(("train_model",), world.day(LOADED), world.day(LOADED)))
    runner.run(Order(("all",), world.day(LOADED + 1), world.day(DECIDED), decide=True))
    spark.stop()


def run(stored: Path, jobs: tuple[str, ...], spark_jobs: bool) -> dict[str, dict[str, Cost]]:
    """Copies the stored warehouse and runs ``jobs`` for two days; cost by day (cold, warm) and step."""
    with tempfile.TemporaryDirectory(prefix="day-", dir=stored.parent) as name:
        folder = Path(name)
        copy(stored, folder)
        return _measured(folder, jobs or ("all",), spark_jobs)


def copy(stored: Path, folder: Path) -> None:
    """A copy whose writes leave the stored one alone: raw and data files, which never change, are links."""
    os.symlink(stored / "raw", folder / "raw")
    shutil.copytree(stored / "warehouse", folder / "warehouse", copy_function=_copied)


def _copied(source: str, target: str) -> None:
    data = source.endswith(".parquet") and "_delta_log" not in source
    (os.link if data else shutil.copy2)(source, target)


def _measured(folder: Path, jobs: tuple[str, ...], spark_jobs: bool) -> dict[str, dict[str, Cost]]:
    started, used = time.monotonic(), cpu_seconds()
    from churnwatch import runner as module
    from churnwatch.io.session import session
    from churnwatch.simulate import World

    settings, world = settings_of(folder), World(users=USERS, days=LAST)
    spark = session(settings, "bench day")
    meter, describe = Meter(folder / "warehouse", spark), module.describe

    def noted(spark: Any, text: str) -> None:
        meter.mark(text.split(" ")[0].rstrip(":"))
        describe(spark, text)

    module.describe = noted
    runner = module.Runner(settings, spark)
    start = Cost(time.monotonic() - started, cpu_seconds() - used, 0, 0, 0)
    found = {}
    for which, number in zip(("cold", "warm"), DAYS, strict=True):
        meter.mark("start")
        runner.run(module.Order(jobs, world.day(number), world.day(number)))
        found[which] = meter.steps()
        if spark_jobs:
            _list_spark_jobs(spark, which)
    found["cold"] = {"start of Spark": start, **found["cold"]}
    spark.stop()
    return found


def _list_spark_jobs(spark: Any, which: str) -> None:
    store, seen = spark.sparkContext._jsc.sc().statusStore().jobsList(None), Counter()
    for i in range(store.size() - 1, -1, -1):
        job = store.apply(i)
        seen[f"{job.description().getOrElse(None)} | {job.name()}"] += 1
    for text, times in seen.items():
        print(f"{which} {times:4} {text}")


def table(found: dict[str, dict[str, Cost]]) -> str:
    """The steps of the days, and their sums, for people."""
    lines = []
    for which, steps in found.items():
        lines.append(f"{which:<30} {'wall s':>8} {'CPU s':>8} {'jobs':>6} {'commits':>8} {'calls':>8}")
        total = Cost(*(sum(values) for values in zip(*(asdict(c).values() for c in steps.values()), strict=True)))
        for name, cost in {**steps, "all": total}.items():
            lines.append(
                f"{name:<30} {cost.seconds:8.1f} {cost.cpu_seconds:8.1f} {cost.spark_jobs:6} {cost.commits:8} {cost.calls:8}"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Does what the command line says."""
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    what, folder, rest = words[0], Path(words[1]).resolve(), words[2:]
    if what == "build":
        build(folder, *map(int, rest))
        return
    found = run(folder, tuple(rest), "--spark-jobs" in sys.argv)
    if "--json" in sys.argv:
        print(json.dumps({which: {name: asdict(cost) for name, cost in steps.items()} for which, steps in found.items()}))
    else:
        print(table(found))


if __name__ == "__main__":
    main()
