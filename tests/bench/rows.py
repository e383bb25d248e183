"""The rows of the table: which measurements make which ratio, and the bar that it should reach."""

import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from operator import ge, le
from pathlib import Path
from typing import Any

from worlds import Base, World

SMALL_DAYS, LONG_DAYS = 91, 364
USUAL, BUSY = 7, 10  # events a user-day
LARGE = 20  # millions of events: 1 GB and more as Parquet, and from where doubling is judged
GB = 1_000_000_000

Measure = Any  # run.Measurements


@dataclass(frozen=True)
class Row:
    """What was measured of a step, in ``unit``, and its bar; ``judged`` False: told, but the world is too small to judge;
    ``told``: what else was found, which may be another the next time."""

    step: str
    world: str
    measured: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    judged: bool = True
    told: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None where it is not judged."""
        if not self.judged:
            return None
        return all(compare(self.measured, bar) for compare, bar in ((ge, self.at_least), (le, self.at_most)) if bar is not None)


def rollup(measure: Measure, sizes: list[int], full: bool) -> Iterator[Row]:
    """Speed against DuckDB, events a second and core, bytes of shuffle an event."""
    for world in (World(size, USUAL, SMALL_DAYS) for size in sizes):
        spark, duck = measure("spark", "rollup", world), measure("duckdb", "rollup", world)
        seconds, events = spark["warm"]["seconds"], duck["events"]
        yield Row("rollup against DuckDB, speed", world.name, duck["warm"]["seconds"] / seconds, "x", at_least=0.3)
        yield Row("rollup, events a second and core", world.name, events / seconds / 2 / 1e6, "M", at_least=0.8)
        yield Row("rollup, shuffle", world.name, spark["warm"]["shuffle_bytes"] / events, "bytes/event", at_most=8)


def scaling(measure: Measure, sizes: list[int], full: bool) -> Iterator[Row]:
    """One core against two, and twice the events."""
    largest = World(sizes[-1], USUAL, SMALL_DAYS)
    one, two = (measure("spark", "rollup", largest, cores=cores)["warm"]["seconds"] for cores in (1, 2))
    yield Row("rollup, 1 core to 2 cores", largest.name, one / two, "x", at_least=1.7)
    for size in sizes:
        if 2 * size in sizes:
            half, whole = World(size, USUAL, SMALL_DAYS), World(2 * size, USUAL, SMALL_DAYS)
            ratio = measure("spark", "rollup", whole)["warm"]["seconds"] / measure("spark", "rollup", half)["warm"]["seconds"]
            yield Row("rollup, time(2n)/time(n)", f"{half.name} twice", ratio, "x", at_most=2.1, judged=size >= LARGE)


def day(measure: Measure, sizes: list[int], full: bool) -> Iterator[Row]:
    """Features of a day from stored days, against all of its raw events once more."""
    world = World(sizes[-1], BUSY, SMALL_DAYS)
    measure("spark", "rollup", world, runs=1)  # the stored days
    stored, again = measure("spark", "one_day", world), measure("spark", "again", world)
    ratio = again["warm"]["seconds"] / stored["warm"]["seconds"]
    yield Row("features of a day, against 90 days of raw events again", world.name, ratio, "x", at_least=2.2)


def windows(measure: Measure, sizes: list[int], full: bool) -> Iterator[Row]:
    """CPU of windows from stored days, against DuckDB's."""
    world = World(sizes[-1], USUAL, SMALL_DAYS)
    measure("spark", "rollup", world)  # the stored days
    # short runs: the JVM still compiles during the first ones
    spark, duck = (measure(engine, "windows", world, runs=9) for engine in ("spark", "duckdb"))
    ratio = spark["warm"]["cpu_seconds"] / duck["warm"]["cpu_seconds"]
    yield Row("windows against DuckDB, CPU", world.name, ratio, "x", at_most=1.2)


def history(measure: Measure, sizes: list[int], full: bool) -> Iterator[Row]:
    """A day's jobs with a year of stored days, and with a quarter."""
    world = World(sizes[0], USUAL, LONG_DAYS)
    measure("spark", "rollup", world, runs=1)
    found = measure("spark", "history", world, runs=7)
    ratio = found["long"]["warm"]["cpu_seconds"] / found["short"]["warm"]["cpu_seconds"]
    yield Row(f"a day with {LONG_DAYS} days of history against {SMALL_DAYS}, CPU", world.name, ratio, "x", at_most=1.05)


def writing(measure: Measure, sizes: list[int], full: bool) -> Iterator[Row]:
    """A day replaced in Delta: a small one, and from 1 GB against an append."""
    world = World(sizes[0], USUAL, SMALL_DAYS)
    measure("spark", "rollup", world)
    small = measure("spark", "write_day", world, runs=7)["warm"]["cpu_seconds"]
    yield Row("Delta day replaced, small", world.name, small, "core-seconds", at_most=4)
    large = World(max(LARGE, sizes[-1]) if full else sizes[-1], USUAL, SMALL_DAYS)
    found = measure("spark", "write_large", large)
    ratio = found["replace"]["warm"]["seconds"] / found["append"]["warm"]["seconds"]
    size = f"{large.name}, {found['bytes'] / GB:.1f} GB"
    yield Row("Delta days replaced, against an append", size, ratio, "x", at_most=1.2, judged=found["bytes"] >= GB)


def warnings(measure: Measure, sizes: list[int], full: bool) -> Iterator[Row]:
    """Warnings of a million users by 60 rules and the model, against reading and writing their features."""
    found = measure("spark", "warned", World(1, USUAL, 2), runs=5)
    ratio = found["warn"]["warm"]["seconds"] / found["copy"]["warm"]["seconds"]
    yield Row("60 rules, against a copy of user_features", "1 M users", ratio, "x", at_most=2)


def memory(measure: Measure, sizes: list[int], full: bool) -> Iterator[Row]:
    """One small JVM, executors included, makes the rollup and the windows of a million users: the driver needs less."""
    if full:
        world = World(7, USUAL, 2)  # a million users
        steps = [measure("spark", step, world, runs=1, memory="1700m") for step in ("rollup", "windows")]
        peak = max(run["peak_jvm_bytes"] for step in steps for run in (step["cold"], step["warm"]))
        yield Row("driver memory, 1 M users", world.name, peak / GB, "GB", at_most=2)


def scoring(measure: Measure, sizes: list[int], full: bool) -> Iterator[Row]:
    """Scores with reasons against Spark's own model without, equal within 1e-12 (else the measurement refuses)."""
    base = Base(200_000)
    measure("spark", "features_made", base, runs=0)
    found = measure("spark", "scoring", base)
    ours, plain = found["score"]["warm"]["seconds"], found["transform"]["warm"]["seconds"]
    what = "50 trees, 85 features"
    yield Row(f"scoring with reasons against PipelineModel.transform, {what}", base.name, plain / ours, "x", at_least=1.8)
    yield Row(f"scoring with reasons, users a second and core, {what}", base.name, base.users / ours / 2 / 1e6, "M", at_least=0.1)
    if full:
        million = Base(1_000_000)
        measure("spark", "features_made", million, runs=0)
        run = measure("spark", "score_alone", million, runs=1, memory="1700m")
        peak = max(run[part]["peak_jvm_bytes"] for part in ("cold", "warm"))
        yield Row("driver memory, 1 M users scored", million.name, peak / GB, "GB", at_most=2)


def day_fixed(measure: Measure, sizes: list[int], full: bool) -> Iterator[Row]:
    """What a day of a few thousand users costs: Spark jobs, and CPU against another checkout (BENCH_AGAINST), median of 3."""
    ours, against = Path(__file__).resolve().parents[2], os.environ.get("BENCH_AGAINST")
    runs = [(measure.whole_day(ours), against and measure.whole_day(Path(against))) for _ in range(3 if against else 1)]
    for which in ("cold", "warm"):
        jobs = max(sum(step["spark_jobs"] for step in mine[which].values()) for mine, _ in runs)
        yield Row(f"a whole day, {which}, Spark jobs", "3,000 users", jobs, "jobs", at_most=180)
        cpu = [[sum(step["cpu_seconds"] for step in one[which].values()) for one in pair if one] for pair in runs]
        if against:
            ratio = statistics.median(mine / other for mine, other in cpu)
            yield Row(f"a whole day, {which}, CPU against {Path(against).name}", "3,000 users", ratio, "x", at_most=0.4)


GROUPS = {
    group.__name__: group for group in (rollup, scaling, day, day_fixed, windows, history, writing, warnings, memory, scoring)
}
