"""Write a simulated world as raw files, and its truth into a separate folder."""

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
CUT = 3  # characters removed from a broken JSON line
# quotes inside a text are doubled, as RFC 4180 says
CSV = {"header": "true", "escape": '"', "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"}
# values hardly repeat, so Parquet would build a dictionary and drop it: a fifth of the writing time
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
    """Write the raw files of ``world`` under ``out`` and its truth under ``truth``, a folder on the driver.

    With ``continue_`` the parameters of the first run are read back (only ``days`` of ``world`` is used: the last day
    number to write) and the days after the last written one are added. ``actions``: all rows of retention_actions so far;
    users with arm 'offer' behave as treated from the day after the offer, on days that are not written yet.

    Returns a summary: days, users, and the numbers of rows, duplicates and broken rows; with actions also the treated users
    and ``planted_effect`` (share retained with the offer minus share retained without, of users whose ``retained_days``
    have passed). Raises ConfigError when there is nothing to continue or no day left to write.
    """
    started = time.monotonic()
    truth = Path(truth) if truth else Path(out).parent / "truth"
    plan, runs = _state(truth / PLAN, world, continue_)
    first = runs[-1].last + 1 if runs else 1
    if first > plan.days:
        raise ConfigError(f"{out} holds the days up to {first - 1} already: continue to a later one than {plan.days}")
    runs = (*runs, Run(first, plan.days, _last_action(actions, plan)))
    treated = None if actions is None else sim.treated_users(actions, plan, runs).localCheckpoint()
    # cached, because every frame starts from the users, and because the code of events then stays small enough to compile
    who = sim.people(spark, plan, treated).persist()
    rows = write_world(sim.world(spark, plan, first, who), out, format, _files_a_day(plan))
    effect = _write_truth(sim.truth(who, plan, treated), truth)
    who.unpersist()
    _keep_state(truth / PLAN, plan, runs)
    days = {"first_day": plan.day(first), "last_day": plan.day(plan.days), "days": plan.days - first + 1}
    seconds = round(time.monotonic() - started, 1)
    return {"out": str(out), "truth": str(truth), **days, "users": plan.users, **rows, **effect, "seconds": seconds}


def write_world(frames: Mapping[str, DataFrame], out: str | Path, format: Format, files_a_day: int = 1) -> dict[str, int]:
    """Write ``events`` under ``out``/events/day=YYYY-MM-DD, replacing days that exist, and every other frame under
    ``out``/<name>, replacing it. Spark commits by renames, so a failed run leaves the old files.

    Returns the numbers of event rows, duplicates and broken rows.
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
    """Convert rows to the format: JSON as text, so that a row can be cut; maps in CSV as JSON."""
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
    """Write the frames; return the number of treated users and the planted effect."""
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
    """Return the parameters and the runs so far; when a world is continued, those of its first run."""
    if not continue_:
        return world, ()
    if not file.is_file():
        raise ConfigError(f"{file} does not exist, so there is no world to continue. Hint: simulate without --continue first")
    try:
        stored, runs = World.from_json(file.read_text(encoding="utf-8"))
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{file} is not the plan of a simulated world: {error}") from error
    return stored.until(world.days), runs


def _keep_state(file: Path, world: World, runs: tuple[Run, ...]) -> None:
    """Write the plan last and by a rename, so that a failed run can be repeated."""
    draft = file.with_suffix(".draft")
    draft.write_text(world.to_json(runs), encoding="utf-8")
    draft.replace(file)


def _last_action(actions: DataFrame | None, world: World) -> int | None:
    """Return the number of the last day with an action; None without actions."""
    if actions is None:
        return None
    row = actions.agg(F.max("day")).first()
    return None if row is None or row[0] is None else world.number(row[0])
