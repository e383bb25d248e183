"""One measurement in a process of its own: ``child.py '<order as JSON>'`` prints what it measured as the last line.

The first run is cold (a fresh process, its session started), the others are warm.
"""

import json
import shutil
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path

import eventlog
from churnwatch.settings import Settings, load
from processes import cpu_seconds
from worlds import Base, World

HERE = Path(__file__).resolve().parent
ROOT, OUT = HERE.parents[1], HERE / "out"


def measured(engine: str, step: str, world: dict, cores: int = 2, runs: int = 3, memory: str = "4g") -> dict:
    """Runs a step once cold and ``runs`` times warm: per variant seconds, CPU seconds and, of Spark, bytes."""
    settings = _settings(cores, memory)
    of = _with_spark if engine == "spark" else _with_duckdb
    return of(settings, step, (Base if "users" in world else World)(**world), cores, runs)


def _settings(cores: int, memory: str) -> Settings:
    sets = [f"domain={HERE}/domain", f"storage.root={OUT}/tables", f"storage.files={OUT}/files"]
    settings = load(ROOT / "conf" / "local.yaml", sets)
    jars = ",".join(str(ROOT / jar) for jar in str(settings.spark["spark.jars"]).split(","))
    changed = {"spark.master": f"local[{cores}]", "spark.driver.memory": memory, "spark.ui.enabled": "false", "spark.jars": jars}
    return settings.model_copy(update={"spark": {**settings.spark, **changed, **eventlog.settings(OUT / "log")}})


def _with_spark(settings: Settings, step: str, world: World | Base, cores: int, runs: int) -> dict:
    from churnwatch.io.session import session
    from scoring import ScoringBench
    from steps import Bench

    for folder in ("tables", "log"):
        shutil.rmtree(OUT / folder, ignore_errors=True)
    (OUT / "log").mkdir(parents=True)
    spark = session(settings, f"bench {step}")
    bench = (ScoringBench if isinstance(world, Base) else Bench)(spark, settings, world, OUT)
    todo = getattr(bench, step)()
    spans = [_timed(name, run) for _ in range(1 + runs) for name, run in todo.runs.items()]
    for name, frame in todo.answers.items():
        frame.write.mode("overwrite").partitionBy("day").parquet(str(bench.answers / name))
    spark.stop()
    (log,) = (OUT / "log").iterdir()
    for span in spans:
        span |= asdict(eventlog.tasks(log, span["start"], span["end"]))
    variants = {name: _summary([s for s in spans if s["name"] == name]) for name in todo.runs}
    return {"variants": variants, "bytes": sum(file.stat().st_size for file in bench.source.rglob("*.parquet"))}


def _with_duckdb(settings: Settings, step: str, world: World, cores: int, runs: int) -> dict:
    from duck import Duck

    duck = Duck(settings, world, OUT, cores)
    spans = [_timed(step, lambda: duck.run(step)) for _ in range(1 + runs)]
    return {"variants": {step: _summary(spans)}, "differences": duck.differences(step), "events": duck.events()}


def _timed(name: str, run) -> dict:
    start, cpu, clock = time.time(), cpu_seconds(), time.monotonic()
    run()
    seconds, used = time.monotonic() - clock, cpu_seconds() - cpu
    return {"name": name, "seconds": seconds, "cpu_seconds": used, "start": start, "end": time.time()}


def _summary(spans: list[dict]) -> dict:
    """The cold run, and the median of the warm ones, measure by measure; none where there was no warm run."""
    cold, *warm = ({key: span[key] for key in span if key not in ("name", "start", "end")} for span in spans)
    middle = {name: statistics.median(span[name] for span in warm) for name in cold if warm}
    return {"cold": cold, "warm": middle, "warm_runs": len(warm)}


if __name__ == "__main__":
    print(json.dumps(measured(**json.loads(sys.argv[1]))))
