"""Benchmarks: ``make bench``. Writes out/bench.json and out/bench.md beside this file and prints the table.

Answers are compared with DuckDB's before any time is told. From the environment: BENCH_EVENTS, sizes of worlds in
millions of events (default 5); BENCH_FULL=1, all sizes, large writes and memory (hours); BENCH_ONLY, groups of rows;
BENCH_AGAINST, the folder of another checkout, whose whole day is measured beside this one's.
Rows that were not asked for stay in bench.json as an earlier run found them; each says of which run it is (instant, commit).
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import rows
import training_rows
from rows import Row
from worlds import Base, World

CHECKED = ("rollup", "windows", "one_day", "again")  # Spark's answers that DuckDB has a reference of
GROUPS = {**rows.GROUPS, **training_rows.GROUPS}
HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
ALL_SIZES = "5,10,20,40"


class Measurements:
    """Measures each thing once, in a process of its own; refuses answers that are not the reference's."""

    def __init__(self) -> None:
        self.found: dict[str, dict] = {}

    def __call__(self, engine: str, step: str, world: World | Base, cores: int = 2, runs: int = 3, **more: str) -> dict:
        """What child.py measured: of a step with one variant that variant's, else all by name."""
        key = f"{step} {engine} {cores} cores {world.name}"
        if key not in self.found:
            if isinstance(world, World) and not (OUT / "worlds" / world.name).exists():
                _child("spark", "world_made", world, cores=2, runs=0)
            found = _child(engine, step, world, cores=cores, runs=runs, **more)
            compared = _child("duckdb", step, world, cores=2, runs=0) if engine == "spark" and step in CHECKED else found
            if wrong := compared.pop("differences", []):
                raise SystemExit(f"{key}: not the reference's answer: {', '.join(wrong)}")
            self.found[key] = found
        found = self.found[key]
        variants = found["variants"]
        return {**found, **variants.get(step, variants)}

    def training(self, what: str, **order: object) -> dict:
        """What train.py measured; told in rows alone."""
        done = subprocess.run(
            [sys.executable, str(HERE / "train.py"), json.dumps({"what": what, **order})], stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise SystemExit(f"{what} of {order} failed")
        return json.loads(done.stdout.splitlines()[-1])

    def whole_day(self, checkout: Path) -> dict:
        """What whole_day.py measured of the code of ``checkout``: cold and warm, cost by step."""
        stored = OUT / "day_warehouse"
        command = [sys.executable, str(HERE / "whole_day.py")]
        if not stored.exists():
            subprocess.run([*command, "build", str(stored)], check=True, stdout=subprocess.DEVNULL)
        environment = os.environ | {"PYTHONPATH": str(checkout / "lib")}
        measure = [*command, "run", str(stored), "--json"]
        done = subprocess.run(measure, stdout=subprocess.PIPE, text=True, env=environment, check=True)
        return json.loads(done.stdout.splitlines()[-1])


def _child(engine: str, step: str, world: World | Base, **more: object) -> dict:
    order = json.dumps({"engine": engine, "step": step, "world": asdict(world), **more})
    done = subprocess.run([sys.executable, str(HERE / "child.py"), order], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{step} of {world.name} failed")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures, then writes and prints."""
    full = bool(os.environ.get("BENCH_FULL"))
    sizes = sorted(int(size) for size in os.environ.get("BENCH_EVENTS", ALL_SIZES if full else "5").split(","))
    wanted = os.environ.get("BENCH_ONLY", ",".join(GROUPS)).split(",")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    run = f"{datetime.now(UTC):%Y-%m-%d %H:%M} {commit}"
    measure = Measurements()
    for name in wanted:
        # what was measured is kept, should a later group fail
        _write(list(GROUPS[name](measure, sizes, full)), measure.found, run)
    print((OUT / "bench.md").read_text())


def _write(rows: list[Row], measurements: dict[str, dict], run: str) -> None:
    file = OUT / "bench.json"
    earlier = json.loads(file.read_text()) if file.exists() else {"rows": {}, "measurements": {}}
    told = {f"{row.step}, {row.world}": asdict(row) | {"met": row.met, "run": run} for row in rows}
    result = {
        "cores": os.cpu_count(),
        "rows": earlier["rows"] | told,
        "measurements": earlier["measurements"] | {key: {**found, "run": run} for key, found in measurements.items()},
    }
    file.write_text(json.dumps(result, indent=1) + "\n")
    text = "\n".join([*_table(result["rows"].values(), run), "", *_details(result["measurements"])]) + "\n"
    (OUT / "bench.md").write_text(text)


def _run_of(found: dict) -> str:
    return found.get("run") or found.get("commit", "unknown")  # files of before runs were told have a commit


def _table(rows, run: str) -> list[str]:
    others = [row for row in rows if _run_of(row) != run]
    head = f"Run of {run}, {len(rows) - len(others)} of {len(rows)} rows"
    lines = [f"{head}; the others are of earlier runs (*)." if others else f"{head}: all in one run.", ""]
    lines += ["| step | world | measured | bar | met | run |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        bar = f"at least {row['at_least']}" if row["at_least"] is not None else f"at most {row['at_most']}"
        met = {True: "yes", False: "**no**", None: "too small to judge"}[row["met"]]
        measured = f"{row['measured']:.{4 if row['unit'] == 'AUC' else 2}f} {row['unit']}"
        step = f"{row['step']} ({row['told']})" if row.get("told") else row["step"]
        of = _run_of(row) + (" (*)" if row in others else "")
        lines.append(f"| {step} | {row['world']} | {measured} | {bar} | {met} | {of} |")
    return lines


def _details(measurements: dict[str, dict]) -> list[str]:
    lines = [
        "Every measurement, cold and warm (median):",
        "",
        "| measured | cold s | cold CPU s | warm s | warm CPU s | shuffle MB | peak MB of a task | peak MB of the JVM | run |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for key, found in measurements.items():
        for name, one in found["variants"].items():
            cold, warm = one["cold"], one["warm"]
            times = [f"{run[part]:.2f}" for run in (cold, warm) for part in ("seconds", "cpu_seconds")]
            peaks = [
                f"{warm[n] / 1e6:.1f}" if n in warm else "" for n in ("shuffle_bytes", "peak_execution_bytes", "peak_jvm_bytes")
            ]
            lines.append(f"| {key}{'' if name in key else ', ' + name} | {' | '.join([*times, *peaks, _run_of(found)])} |")
    return lines


if __name__ == "__main__":
    main()
