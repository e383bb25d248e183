"""Ingest the configured sources: classify their rows, then build the tables of events, rejects and known state."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.core import days_predicate
from churnwatch.core.job import Frames
from churnwatch.events.changes import changed_rows
from churnwatch.events.currency import rates_by_day
from churnwatch.events.event_rows import EVENT_FIELDS, EVENT_SCHEMA, classify_events
from churnwatch.events.mapping import REJECTED, UNDATED, SourcePort, fingerprint
from churnwatch.events.source_days import count_source_days
from churnwatch.events.statements import KEYS, STATEMENT_SCHEMA, classify_statements
from churnwatch.settings import EventSource, Settings, Source


def classify_rows(inputs: Frames, days: Sequence[date], sources: SourcePort, settings: Settings) -> Frames:
    """Return ``events``, one row per row of the event sources, and ``statements``, one per row of users, consents and
    context; each with a verdict: accepted, duplicate, rejected or outside_days. One pass over the files of all ``days``.

    Raises ConfigError when a mapped column has a type that its field cannot have.
    """
    spark = inputs["users"].sparkSession
    statements = {
        kind: classify_statements(rows, source, kind, days, settings, sources)
        for kind, source in state_sources(settings).items()
        if (rows := sources.find_rows(source, days)) is not None
    }
    every = list(statements.values())
    events = [
        classify_events(rows, source, days, settings, _rates(source, statements, inputs, days, settings), sources)
        for source in settings.sources.events
        if (rows := sources.find_rows(source, days)) is not None
    ]
    return {
        "events": reduce(DataFrame.unionByName, events) if events else spark.createDataFrame([], EVENT_SCHEMA),
        "statements": reduce(DataFrame.unionByName, every) if every else spark.createDataFrame([], STATEMENT_SCHEMA),
    }


def _rates(source: EventSource, statements: Frames, inputs: Frames, days: Sequence[date], settings: Settings) -> DataFrame | None:
    """Return the rates of currencies by the context of this very ingest, which is not stored yet; None for a source without
    currencies."""
    if "currency" not in source.map:
        return None
    context = statements.get("context")
    accepted = None if context is None else context.where(F.col("verdict") == "accepted")
    daily = settings.sources.context is not None and settings.sources.context.daily
    return rates_by_day(accepted, inputs["context"], days, daily)


def build_tables(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """Build rejected_events, users, consents, context and events of ``days`` from the classified rows."""
    events, statements = inputs["events"], inputs["statements"]
    configured = state_sources(settings)
    frames = {"rejected_events": _rejects(events, statements), "source_days": count_source_days(events, statements, settings)}
    for kind in KEYS:
        if kind not in configured and all(day.day > 1 for day in days):
            frames[kind] = inputs[kind].drop("until").where(F.lit(False))  # no statement, and nothing to restate
            continue
        accepted = statements.where((F.col("kind") == kind) & (F.col("verdict") == "accepted"))
        daily = kind in configured and configured[kind].daily
        frames[kind] = changed_rows(accepted, inputs[kind], kind, days, daily)
    frames["events"] = events.where(F.col("verdict") == "accepted").select("day", *EVENT_FIELDS, "source")
    return frames


def replaced_rejects(days: Sequence[date], settings: Settings) -> Mapping[str, str]:
    """Return the predicate of the rejects that a run replaces: those of ``days`` and the configured sources, and the
    undated ones of sources whose files have no day."""
    every: list[Source] = all_sources(settings)
    if not every:
        return {}
    text = f"({days_predicate(days)}) AND source IN ({_quoted(every)})"
    if undated := [source for source in every if not source.daily]:
        text = f"({text}) OR (day = DATE'{UNDATED}' AND source IN ({_quoted(undated)}))"
    return {"rejected_events": text}


def state_sources(settings: Settings) -> dict[str, Source]:
    """Return the configured sources of users, consents and context, by kind."""
    found = {kind: getattr(settings.sources, kind) for kind in KEYS}
    return {kind: source for kind, source in found.items() if source is not None}


def all_sources(settings: Settings) -> list[Source]:
    """Return every configured source, event sources first."""
    return [*settings.sources.events, *state_sources(settings).values()]


def _quoted(sources: Sequence[Source]) -> str:
    return ", ".join(f"'{source.name}'" for source in sources)


def _rejects(events: DataFrame, statements: DataFrame) -> DataFrame:
    """Return the refused rows. ``reject_id``: hash of file and row, and an ordinal among identical rows."""
    columns = ["day", "source", "file", "reasons", "raw"]
    refused = events.where(F.col("verdict") == REJECTED).select(*columns)
    refused = refused.unionByName(statements.where(F.col("verdict") == REJECTED).select(*columns))
    hashed = refused.withColumn("_hash", fingerprint(F.col("file"), F.col("raw")))
    ordinal = F.row_number().over(Window.partitionBy("day", "source", "_hash").orderBy("reasons"))
    reject_id = F.concat_ws("-", "_hash", ordinal.cast("string"))
    return hashed.withColumn("reject_id", reject_id).select("day", "source", "reject_id", "file", "reasons", "raw")
