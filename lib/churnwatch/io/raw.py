"""Writes a simulated world as raw files, and its truth into a folder of its own."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from churnwatch import simulate as sim
from churnwatch.core import ConfigError
from churnwatch.simulate import Run, World

Format = Literal["parquet", "json", "csv"]
PLAN = "world.json"
EVENTS_A_FILE = 2_000_000
EVENTS_A_USER_DAY = 1.5
CUT = 3  # characters that a broken JSON line lacks
# quotes inside a text are doubled, as the standard has it
CSV = {"header": "true", "escape": '"', "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"}
# a dictionary of values that hardly repeat is built and thrown away: a fifth of the writing time
PARQUET = {f"parquet.enable.dictionary#{name}": "false" for name in ("event_id", "event_time")}


def simulate(
    spark: SparkSession,
    world: World,
    out: str | Path,
    truth: str | Path | None = None,
    format: Format = "parquet",
    actions: DataFrame | None = None,
    continue_: bool = False,
) -> dict[str, Any]:
    """Writes the raw files of ``world`` under ``out`` and its truth under ``truth`` (a folder that the driver sees).

    With ``continue_`` the knobs of the first run are read back (of ``world`` only ``days`` counts: the last day number
    to reach) and the days after the last written one are added. ``actions``: all rows of retention_actions so far; users
    with arm 'offer' behave as treated from the day after the offer, never on days that are already written.
    Returns a summary: days, users, rows written and of them duplicates and broken; with actions the treated users and
    ``planted_effect`` (of those whose ``retained_days`` are over: share retained with minus without the offer).
    Raises ConfigError when there is nothing to continue or nothing left to write.
    """
    started = time.monotonic()
    truth = Path(truth) if truth else Path(out).parent / "truth"
    plan, runs = _state(truth / PLAN, world, continue_)
    first = runs[-1].last + 1 if runs else 1
    if first > plan.days:
        raise ConfigError(f"{out} holds the days up to {first - 1} already: continue to a later one than {plan.days}")
    runs = (*runs, Run(first, plan.days, _last_action(actions, plan)))
    treated = None if actions is None else sim.treated_users(actions, plan, runs).localCheckpoint()
    # every frame starts from the users: kept, they are made once, and the events' code stays small enough to compile
    who = sim.people(spark, plan, treated).persist()
    rows = write_world(sim.world(spark, plan, first, who), out, format, _files_a_day(plan))
    effect = _write_truth(sim.truth(who, plan, treated), truth)
    who.unpersist()
    _keep_state(truth / PLAN, plan, runs)
    days = {"first_day": plan.day(first), "last_day": plan.day(plan.days), "days": plan.days - first + 1}
    seconds = round(time.monotonic() - started, 1)
    return {"out": str(out), "truth": str(truth), **days, "users": plan.users, **rows, **effect, "seconds": seconds}


def write_world(frames: Mapping[str, DataFrame], out: str | Path, format: Format, files_a_day: int = 1) -> dict[str, int]:
    """Writes ``events`` under ``out``/events/day=YYYY-MM-DD (days that are there are replaced whole) and every other frame
    under ``out``/<name>, replaced whole. Spark commits a write by renames: a broken run leaves the old files.

    Returns rows of the event files: all, and of them duplicates and broken.
    """
    seen = _write_events(frames["events"], f"{out}/events", format, files_a_day)
    for name, frame in frames.items():
        if name != "events":
            frame.coalesce(1).write.mode("overwrite").options(**_options(format)).format(format).save(f"{out}/{name}")
    return seen


def _write_events(events: DataFrame, folder: str, format: Format, files_a_day: int) -> dict[str, int]:
    spread = events.withColumn("_file", F.pmod(F.xxhash64("user_id", "event_id"), F.lit(files_a_day)))
    spread = spread.repartition("day", "_file").drop("_file").sortWithinPartitions("day")
    counts = Observation("raw rows")
    watched = spread.observe(
        counts,
        F.count(F.lit(1)).alias("rows"),
        F.count_if(F.col("kind") == "duplicate").alias("duplicates"),
        F.count_if(F.col("kind").isin(*sim.BROKEN)).alias("broken"),
    )
    writer = _rows(watched, format).write.mode("overwrite").partitionBy("day")
    # of plain files, not of a Delta table: only the days that are written are replaced
    writer = writer.option("partitionOverwriteMode", "dynamic").options(**_options(format))
    writer.format("text" if format == "json" else format).save(folder)
    return {name: int(value) for name, value in counts.get.items()}


def _rows(events: DataFrame, format: Format) -> DataFrame:
    """The rows as the format holds them: JSON as text, so that a cut row is a broken line; a map in CSV as JSON."""
    columns = list(sim.EVENT_COLUMNS)
    if format == "csv":
        return events.withColumn("properties", F.to_json("properties")).select(*columns, "day")
    if format == "json":
        line = F.to_json(F.struct(*columns))
        cut = F.substring(line, F.lit(1), F.length(line) - CUT)
        return events.select(F.when(F.col("kind") == "cut_row", cut).otherwise(line).alias("value"), "day")
    return events.select(*columns, "day")


def _options(format: Format) -> dict[str, str]:
    return {"csv": CSV, "parquet": PARQUET}.get(format, {})


def _files_a_day(world: World) -> int:
    return max(1, round(world.users * EVENTS_A_USER_DAY / EVENTS_A_FILE))


def _write_truth(frames: Mapping[str, DataFrame], folder: Path) -> dict[str, Any]:
    """Writes the frames; gives the treated users and the planted effect on those whose days are over."""
    for name, frame in frames.items():
        frame.coalesce(1).write.mode("overwrite").parquet(str(folder / name))
    if "treatments" not in frames:
        return {}
    spark = frames["treatments"].sparkSession
    found = (
        spark.read.parquet(str(folder / "treatments"))
        .agg(
            F.count(F.lit(1)).alias("treated"),
            F.count("retained_with").alias("measured"),
            F.count_if("spared").alias("spared"),
            F.avg(F.col("retained_without").cast("double")).alias("retained_without"),
            F.avg(F.col("retained_with").cast("double")).alias("retained_with"),
        )
        .collect()[0]  # an aggregate without groups has one row
    )
    summary = found.asDict()
    both = summary["retained_with"] is not None
    return summary | {"planted_effect": summary["retained_with"] - summary["retained_without"] if both else None}


def _state(file: Path, world: World, continue_: bool) -> tuple[World, tuple[Run, ...]]:
    """The knobs and the runs so far: those of the first run where one is continued."""
    if not continue_:
        return world, ()
    if not file.is_file():
        raise ConfigError(f"{file} is not there: nothing to continue; simulate without --continue first")
    try:
        stored, runs = World.from_json(file.read_text(encoding="utf-8"))
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{file} is not the plan of a world: {error}") from error
    return stored.until(world.days), runs


def _keep_state(file: Path, world: World, runs: tuple[Run, ...]) -> None:
    """Writes the plan last and by a rename, so that a broken run is simply run again."""
    draft = file.with_suffix(".draft")
    draft.write_text(world.to_json(runs), encoding="utf-8")
    draft.replace(file)


def _last_action(actions: DataFrame | None, world: World) -> int | None:
    """Number of the last day with an action; None without actions."""
    if actions is None:
        return None
    row = actions.agg(F.max("day")).first()
    return None if row is None or row[0] is None else world.number(row[0])
