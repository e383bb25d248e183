"""Benchmarks: ``make bench``. Each step of the chain on a simulated world, median of several runs; never a test by time.

Writes out/bench.json and out/bench.md beside this file and prints the table. USERS, DAYS and RUNS come from the environment.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
USERS, DAYS, RUNS = (int(os.environ.get(name, default)) for name, default in (("USERS", 2000), ("DAYS", 120), ("RUNS", 3)))
STEPS = ("ingest_events", "build_activity", "build_first_seen", "build_features", "measure_activity", "measure_cohorts")


def main():
    """Loads one world RUNS times over itself (a re-run replaces what the first wrote) and tells the median of each step."""
    from churnwatch.io.raw import simulate
    from churnwatch.io.session import session
    from churnwatch.runner import Order, Runner
    from churnwatch.settings import load
    from churnwatch.simulate import World

    folder = Path(tempfile.mkdtemp(prefix="bench"))
    world = World(users=USERS, days=DAYS)
    os.chdir(ROOT)
    settings = load("conf/local.yaml", [f"storage.root={folder}/tables", f"storage.files={folder}/files"])
    (source,) = settings.sources.events
    moved = source.model_copy(update={"path": f"{folder}/raw/events/day={{day}}"})
    people = {
        kind: getattr(settings.sources, kind).model_copy(update={"path": f"{folder}/raw/{kind}"})
        for kind in ("users", "consents", "context")
    }
    settings = settings.model_copy(update={"sources": settings.sources.model_copy(update={"events": [moved], **people})})
    spark = session(settings, "churnwatch bench")
    started = time.monotonic()
    made = simulate(spark, world, folder / "raw", folder / "truth")
    seconds = {"simulate": [time.monotonic() - started]}
    runner = Runner(settings, spark)
    for _ in range(RUNS):
        for step in STEPS:
            (outcome,) = runner.run(Order((step,), world.day(1), world.day(DAYS), 7))
            seconds.setdefault(step, []).append(outcome.seconds)
    _write(seconds, made["rows"])
    shutil.rmtree(folder)


def _write(seconds, events):
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    rows = [
        {"step": step, "median_seconds": round(statistics.median(s), 2), "first_seconds": round(s[0], 2), "runs": len(s)}
        for step, s in seconds.items()
    ]
    for row in rows:
        row["events_per_second"] = round(events / row["median_seconds"])
    result = {"users": USERS, "days": DAYS, "events": events, "cores": os.cpu_count(), "steps": rows}
    (out / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    lines = [f"{events:,} events, {USERS:,} users, {DAYS} days, {os.cpu_count()} cores; medians", ""]
    lines += ["| step | median s | first (cold) s | events/s |", "| --- | --- | --- | --- |"]
    lines += [f"| {r['step']} | {r['median_seconds']} | {r['first_seconds']} | {r['events_per_second']:,} |" for r in rows]
    (out / "bench.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
