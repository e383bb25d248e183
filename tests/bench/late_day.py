"""The cost of a day on which rows came late: ``python tests/bench/late_day.py [EVENTS_A_DAY]`` (300,000 by default).

Each case has its own warehouse of JSON files. ``alone`` ingests a day of which no earlier day is stored, as the base; ``none
late`` has two stored days before it, whose rows have all come; ``1 % late`` gets rows of the day before in the files of the day.
Shown are wall seconds of reading and judging (the stage of ingest), of the whole ingest, and of it with the rollup: medians of
three runs in one session, after one that is not counted.
"""

import shutil
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from pyspark.sql import functions as F  # noqa: E402

import smallworld  # noqa: E402
from churnwatch.io.session import session  # noqa: E402
from churnwatch.io.store import Store  # noqa: E402
from churnwatch.runner import Order, Runner  # noqa: E402
from churnwatch.settings import load  # noqa: E402

D = date(2025, 3, 12)
RUNS = 3
FIELDS = ("event_id", "user_id", "event_time", "event_type", "amount", "item_id")


def write(spark, folder, day, events, late):
    """A day's file; ``late``: every n-th row is of the day before, 0: none."""
    n = F.col("id")
    late_row = (n % late == 0) if late else F.lit(False)
    start = F.when(late_row, F.lit(str(day - timedelta(days=1)))).otherwise(F.lit(str(day)))
    seconds = F.lpad((n % 24).cast("string"), 2, "0")
    rows = spark.range(events).select(
        F.concat(F.lit(f"{day}-"), n).alias("event_id"),
        F.concat(F.lit("u"), n % (events // 10)).alias("user_id"),
        F.concat(start, F.lit("T"), seconds, F.lit(":30:00Z")).alias("event_time"),
        F.lit("view").alias("event_type"),
        (n % 1000 / 10).alias("amount"),
        F.concat(F.lit("item"), n % 977).alias("item_id"),
    )
    rows.repartition(4).write.json(f"{folder}/raw/day={day}")


def measured(spark, folder, stored, late, events):
    """Seconds of the stage, of ingest and of ingest with the rollup of D."""
    for n in range(3):
        write(spark, folder, D - timedelta(days=n), events, late if n == 0 else 0)
    source = {"name": "log", "format": "json", "path": f"{folder}/raw/day={{day}}", "map": {name: name for name in FIELDS}}
    conf = smallworld.settings(
        storage={"root": f"{folder}/tables", "files": f"{folder}/files"}, sources={"events": [source], "users": None}
    )
    of = Runner(conf, spark)
    if stored:
        today = Path(folder, "raw", f"day={D}")
        today.rename(Path(folder, "tomorrow"))
        of.run(Order(("ingest_events", "build_activity"), D - timedelta(days=2), D - timedelta(days=1)))
        Path(folder, "tomorrow").rename(today)
    staged, stage = [], Store.stage

    def timed(store, *given):
        began = time.monotonic()
        frame = stage(store, *given)
        staged.append(time.monotonic() - began)
        return frame

    Store.stage = timed
    try:
        began = time.monotonic()
        of.run(Order(("ingest_events",), D, D))
        ingested = time.monotonic()
        of.run(Order(("build_activity",), D, D))
        return sum(staged), ingested - began, time.monotonic() - began
    finally:
        Store.stage = stage


def main(events):
    """Print a row per case: medians of RUNS runs, and their ratios to those of the base."""
    spark = session(load("conf/local.yaml", ["storage.root=unused", "storage.files=unused"]))
    cases = {"alone": (False, 0), "none late": (True, 0), "1 % late": (True, 100)}
    found = {name: [] for name in cases}
    for run in range(RUNS + 1):
        # case after case in each run, so that a machine that slows down slows all of them
        for name, case in cases.items():
            folder = tempfile.mkdtemp()
            seconds = measured(spark, folder, *case, events)
            shutil.rmtree(folder)
            found[name] += [seconds] if run else []  # the first run compiles
            print(f"  run {run} {name:<12}" + "".join(f"{s:8.1f}" for s in seconds), flush=True)
    medians = {name: [median(times) for times in zip(*runs, strict=True)] for name, runs in found.items()}
    print(f"{events:,} events a day; seconds (times the base)\n{'case':<12}{'reading':>16}{'ingest':>16}{'with rollup':>16}")
    for name, seconds in medians.items():
        print(f"{name:<12}" + "".join(f"{s:8.1f} ({s / b:.2f})" for s, b in zip(seconds, medians["alone"], strict=True)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000)
