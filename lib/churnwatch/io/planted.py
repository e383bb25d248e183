"""Write a world with users for whom warning rules hold, as the raw files that the domain's sources.yaml reads."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from churnwatch.core import ConfigError
from churnwatch.io.sources import DAY, named_columns
from churnwatch.settings import Settings, Source
from churnwatch.settings.rule_columns import rules_on
from churnwatch.simulate import PlantedWorld, planted_world

MAPS = {"properties"}
OF_DAY = "_of_day"
CSV = {"escape": '"', "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"}  # quotes inside a text are doubled, as RFC 4180 says


def plant(
    spark: SparkSession, world: PlantedWorld, settings: Settings, out: str | Path, truth: str | Path | None = None
) -> dict[str, Any]:
    """Write the files of ``world`` where sources.yaml looks for them, and the planted users (rule, user_id) under ``truth``.

    ``out`` is the folder of raw files; relative paths of sources.yaml begin with it. Rules that are off are left out.
    Returns a summary: days, users, and planted users by rule. Raises ConfigError when a source is not a folder of files
    below ``out``, when its files exist (nothing is overwritten), or when a planted event type is in no source.
    """
    world = _only_rules_on(world, settings)
    out = Path(out).absolute()  # absolute, because Spark may have another working folder
    truth = Path(truth).absolute() if truth else out.parent / "truth"
    sources = settings.sources
    state = {name: source for name in ("users", "consents", "context") if (source := getattr(sources, name))}
    places = {source.name: _place(source, out) for source in (*sources.events, *state.values())}
    frames = planted_world(spark, world)
    for source in sources.events:
        rows = (
            frames["events"]
            if source.event_types is None
            else frames["events"].where(F.col("event_type").isin(source.event_types))
        )
        _write(rows, source, places[source.name])
    for name, source in state.items():
        _write(frames[name], source, places[source.name])
    frames["truth"].coalesce(1).write.mode("overwrite").parquet(f"{truth}/rules")
    planted = {rule: world.users(rule) for rule in world.planted.rules}
    days = {"first_day": world.first_day, "last_day": world.last_day, "days": world.days}
    return {"out": str(out), "truth": str(truth), **days, "usual_users": world.usual_users, "planted": planted}


def _only_rules_on(world: PlantedWorld, settings: Settings) -> PlantedWorld:
    """Drop the patterns of rules that are off or not in rules.yaml."""
    on = {rule.id for rule in rules_on(world.last_day, settings)}
    rules = {name: pattern for name, pattern in world.planted.rules.items() if name in on}
    kinds = [source.event_types for source in settings.sources.events]
    known = {name for some in kinds for name in some or ()}
    patterns = {"usual": world.planted.usual, **rules}
    unknown = [f"{name}: {e.type}" for name, one in patterns.items() for e in one.events if e.type not in known]
    if unknown and None not in kinds:
        raise ConfigError(
            f"planted.yaml has event types that no source has (rule: type): {', '.join(unknown)}. "
            "Hint: add them to event_types of a source"
        )
    return replace(world, planted=world.planted.model_copy(update={"rules": rules}))


def _place(source: Source, out: Path) -> Path:
    """Return the path of the source's files. The part up to ``{day}`` must not exist yet."""
    path = Path(source.path or "")
    fault = "is a table, or its path is not a relative path of CSV, JSON or Parquet files"
    if source.path and source.format in ("csv", "json", "parquet") and not path.is_absolute() and ":" not in source.path:
        place = out.parent / path
        above = _above(place) if source.daily else place
        if place.is_relative_to(out) and not above.exists():
            return place
        fault = f"exists already and is not overwritten: {above}" if above.exists() else f"is not below {out}"
    raise ConfigError(f"source {source.name} ({source.table or source.path}) {fault}; nothing was planted")


def _write(rows: DataFrame, source: Source, place: Path) -> None:
    """Write rows in the source's own columns: one folder per day when the path has ``{day}``, else one folder."""
    columns = raw_columns(source, rows)
    of_day = [F.col("day").alias(OF_DAY)] if source.daily else []
    raw = rows.select(*columns, *of_day)
    if source.format == "json":
        raw = rows.select(F.to_json(F.struct(*columns)).alias("value"), *of_day)
    header = {"header": source.options.get("header", "false"), **CSV} if source.format == "csv" else {}
    writer = raw.repartition(1).write.options(**header).format("text" if source.format == "json" else source.format)
    if not source.daily:
        writer.save(str(place))
        return
    draft = _above(place) / "_draft"
    writer.partitionBy(OF_DAY).save(str(draft))
    for folder in sorted(draft.glob(f"{OF_DAY}=*")):
        target = Path(str(place).replace(DAY, folder.name.removeprefix(f"{OF_DAY}=")))
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
    shutil.rmtree(draft)


def _above(place: Path) -> Path:
    """Return the folder above the first name with ``{day}``."""
    return Path(str(place).partition(DAY)[0] + "x").parent


def raw_columns(source: Source, rows: DataFrame) -> list[Column]:
    """Invert ``source.map``: build the raw columns from the canonical columns of ``rows``. When an expression uses several
    raw columns, only the first gets the value and the rest are null; of ``properties`` each gets the entry of its name."""
    made: dict[str, Column] = {}
    for field, text in source.map.items():
        for place, name in enumerate(named_columns([text])):
            if field not in rows.columns or (place > 0 and field not in MAPS):
                value = F.lit(None).cast("string")
            else:
                value = F.col(field)[name] if field in MAPS and text != name else F.col(field)
                value = F.to_json(value) if field in MAPS and text == name and source.format == "csv" else value
            made.setdefault(name, value)
    return [value.alias(name) for name, value in made.items()]
