"""Ingest the configured sources: classify their rows, then build the tables of events, rejects and known state."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.core import days_predicate
from churnwatch.core.job import Frames
from churnwatch.events.arrivals import EVENTS, Intake, changed_days, count_rows, only_days_of, taken_rows, with_taken
from churnwatch.events.changes import changed_rows
from churnwatch.events.counts import Counted
from churnwatch.events.currency import rates_by_day
from churnwatch.events.event_rows import EVENT_FIELDS, EVENT_SCHEMA, classify_events
from churnwatch.events.gates import late_faults
from churnwatch.events.mapping import REJECTED, UNDATED, SourcePort, fingerprint, is_one_of, map_text
from churnwatch.events.source_days import count_source_days
from churnwatch.events.sources import all_sources, state_sources
from churnwatch.events.statements import KEYS, STATEMENT_SCHEMA, VALUES, classify_statements
from churnwatch.settings import EventSource, Settings, Source
from churnwatch.tables import tables


def classify_rows(
    inputs: Frames, days: Sequence[date], sources: SourcePort, settings: Settings, scope: Intake | None = None
) -> Frames:
    """Return ``events``, one row per row of the event sources, and ``statements``, one per row of users, consents and
    context; each with a verdict: accepted, duplicate, rejected or outside_days. One pass over the files of all ``days``.
    ``scope``: other days of users, consents and context, and files that hold nothing for ``days``.

    Raises ConfigError when a mapped column has a type that its field cannot have.
    """
    spark = inputs["users"].sparkSession
    intake = scope or only_days_of(days, settings)
    statements = {
        kind: classify_statements(rows, source, kind, intake.state_days[kind], settings, sources)
        for kind, source in state_sources(settings).items()
        if (rows := sources.find_rows(source, intake.state_days[kind])) is not None
    }
    every = list(statements.values())
    events = [
        classify_events(rows, source, days, settings, _rates(source, statements, inputs, intake, settings), sources)
        for source in settings.sources.events
        if (rows := sources.find_rows(source, days, intake.unread.get(source.name, ()))) is not None
    ]
    return {
        "events": reduce(DataFrame.unionByName, events) if events else spark.createDataFrame([], EVENT_SCHEMA),
        "statements": reduce(DataFrame.unionByName, every) if every else spark.createDataFrame([], STATEMENT_SCHEMA),
    }


def _rates(source: EventSource, statements: Frames, inputs: Frames, intake: Intake, settings: Settings) -> DataFrame | None:
    """Return the rates of currencies by the context of this very ingest, which is not stored yet; None for a source without
    currencies."""
    if "currency" not in source.map:
        return None
    context = statements.get("context")
    accepted = None if context is None else context.where(F.col("verdict") == "accepted")
    daily = settings.sources.context is not None and settings.sources.context.daily
    return rates_by_day(accepted, inputs["context"], intake.days, daily, intake.state_days.get("context", intake.days))


def build_tables(inputs: Frames, days: Sequence[date], settings: Settings, scope: Intake | None = None) -> Frames:
    """Build rejected_events, users, consents, context, events and ingested_files of ``days`` from the classified rows."""
    events, statements = inputs["events"], inputs["statements"]
    intake = scope or only_days_of(days, settings)
    configured = state_sources(settings)
    events = events.where(is_one_of([*days, UNDATED], F.col("day")))
    written = _only_written(statements, intake)
    frames = {"rejected_events": _rejects(events, written), "source_days": count_source_days(events, written, settings)}
    for kind in KEYS:
        if kind not in configured and all(day.day > 1 for day in days):
            frames[kind] = inputs[kind].drop("until").where(F.lit(False))  # no statement, and nothing to restate
            continue
        rows = state_rows(inputs, intake, kind, settings)
        frames[kind] = rows.where(is_one_of(intake.written_days(kind), F.col("day"))) if kind in configured else rows
    frames["events"] = events.where(F.col("verdict") == "accepted").select("day", *EVENT_FIELDS, "source")
    contract = tables(settings).ingested_files
    frames[contract.name] = events.sparkSession.createDataFrame(taken_rows(intake), contract.schema)
    return frames


def _only_written(statements: DataFrame, intake: Intake) -> DataFrame:
    """Keep the statements of the days of state that are written, but of refused ones."""
    of_kind = [
        (F.col("kind") == kind) & is_one_of([*_noted_days(intake, kind), UNDATED], F.col("day")) for kind in intake.state_days
    ]
    return statements.where(reduce(lambda a, b: a | b, of_kind, F.lit(False)))


def _noted_days(intake: Intake, kind: str) -> list[date]:
    """Days of state that are written from the rows of this run: of refused ones, what is noted of their rows stays."""
    return [day for day in intake.written_days(kind) if day not in intake.refused.get(kind, ())]


def state_rows(inputs: Frames, intake: Intake, kind: str, settings: Settings) -> DataFrame:
    """Return the rows of the table ``kind`` for the days of state of ``intake``, written or not."""
    source = state_sources(settings).get(kind)
    accepted = inputs["statements"].where((F.col("kind") == kind) & (F.col("verdict") == "accepted"))
    if refused := intake.refused.get(kind):
        accepted = accepted.where(~is_one_of([*refused], F.col("day")))
    if source is None:
        return changed_rows(accepted, inputs[kind], kind, intake.days, daily=False)
    kept = intake.kept_days(kind, source)
    stored = stored_rows(inputs, kind) if kept else None
    return changed_rows(accepted, inputs[kind], kind, intake.state_days[kind], source.daily, stored, kept)


def stored_rows(inputs: Frames, kind: str) -> DataFrame:
    """Return the stored rows of ``kind`` up to the step's days, and of later days where the step was given them."""
    rows = inputs[kind].drop("until")
    later = inputs.get(f"{kind}_later")
    return rows if later is None else rows.unionByName(later)


def narrow_intake(inputs: Frames, scope: Intake, earlier: Sequence[date], settings: Settings) -> Intake:
    """Drop days of ``scope`` for which nothing has changed: by the counts of events, and by the rows of state as stored.

    A late day whose rows fail the quality checks is dropped too. The days that were asked for are judged by ``gate``.
    """
    inside, outside = count_rows(inputs["events"])
    late, counted = changed_days(scope, inside, settings), Counted.collect(inputs, settings)
    scope = replace(scope, counted=counted, refused=late_faults(inputs, counted, scope, late, settings))
    taken_in = {*scope.own, *late} - set(scope.refused.get(EVENTS, ()))
    intake = with_taken(scope, sorted(taken_in), inside, outside, earlier, settings)
    restated, written = {}, {}
    for kind, days in scope.state_days.items():
        others = [day for day in days if day not in scope.own]
        changed = _first_change(inputs, scope, kind, others, settings) if others else None
        written[kind] = tuple(d for d in days if d in scope.own or (changed is not None and d >= changed))
        if again := tuple(day for day in written[kind] if day not in scope.own):
            restated[kind] = again
    return replace(intake, written=written, restated=restated)


def _first_change(inputs: Frames, intake: Intake, kind: str, days: Sequence[date], settings: Settings) -> date | None:
    """Return the first of ``days`` on which the stored rows of ``kind`` are to be other ones."""
    values = [F.col(name) if name != "attributes" else map_text(F.col(name)) for name in (*KEYS[kind], *VALUES[kind])]
    low = F.xxhash64(*values).cast("decimal(20,0)")

    def counted(frame: DataFrame) -> dict[date, tuple[int, Any]]:
        by_day = frame.where(is_one_of(days, F.col("day"))).groupBy("day").agg(F.count("*").alias("n"), F.sum(low).alias("sum"))
        return {row["day"]: (row["n"], row["sum"]) for row in by_day.collect()}

    new, stored = counted(state_rows(inputs, intake, kind, settings)), counted(stored_rows(inputs, kind))
    return min((day for day in days if new.get(day) != stored.get(day)), default=None)


def replaced_rows(days: Sequence[date], settings: Settings, scope: Intake | None = None) -> Mapping[str, str]:
    """Return the predicates of the rows that a run replaces, by table: rejects of its days and the configured sources, and
    undated ones of sources whose files have no day; changes of the days of state; and what was noted about files."""
    every: list[Source] = all_sources(settings)
    intake = scope or only_days_of(days, settings)
    state = state_sources(settings)
    found = {kind: days_predicate(intake.written_days(kind)) for kind in state}
    if not every:
        return found
    of_days = (
        [f"(({days_predicate(days)}) AND source IN ({_quoted(settings.sources.events)}))"] if settings.sources.events else []
    )
    of_days += [
        f"(({days_predicate(_noted_days(intake, kind))}) AND source IN ({_quoted([one])}))" for kind, one in state.items()
    ]
    undated = [source for source in every if not source.daily]
    of_undated = [f"(day = DATE'{UNDATED}' AND source IN ({_quoted(undated)}))"] if undated else []
    written = dict.fromkeys((one.name for one in settings.sources.events), set(days))
    written |= {one.name: set(_noted_days(intake, kind)) for kind, one in state.items()}
    # days that turned out unchanged, and earlier ones for which rows wait
    of_files = [
        f"(day = DATE'{day}' AND source = '{source}' AND file_day = DATE'{file_day}')"
        for day, source, file_day in intake.taken
        if day not in written[source]
    ]
    return found | {
        "rejected_events": " OR ".join([*of_days, *of_undated]),
        "source_days": " OR ".join(of_days),
        "ingested_files": " OR ".join([*of_days, *of_files]),
    }


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
