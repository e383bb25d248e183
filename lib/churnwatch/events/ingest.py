"""Sources -> canonical events and what is known of users: judged, gated, published; see DESIGN sections 4 and 5."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.core import days_predicate
from churnwatch.core.job import Frames
from churnwatch.events.changes import changes
from churnwatch.events.judging import FIELDS, ROWS, judged
from churnwatch.events.mapping import REJECTED, UNDATED, SourcePort, fingerprint
from churnwatch.events.statements import KEYS, PEOPLE, statements
from churnwatch.settings import Settings, Source


def classified(inputs: Frames, days: Sequence[date], sources: SourcePort, settings: Settings) -> Frames:
    """``rows``: one row a row of the event sources; ``people``: one a row of users, consents and context; each with a
    verdict (accepted, duplicate, rejected, outside_days). One pass over the files of all ``days``.

    Raises ConfigError where a mapped column has a type that its field cannot have.
    """
    spark = inputs["users"].sparkSession
    rows = [judged(found, s, days, settings) for s in settings.sources.events if (found := sources.found(s, days)) is not None]
    people = [
        statements(found, s, kind, days, settings)
        for kind, s in people_sources(settings).items()
        if (found := sources.found(s, days)) is not None
    ]
    return {
        "rows": reduce(DataFrame.unionByName, rows) if rows else spark.createDataFrame([], ROWS),
        "people": reduce(DataFrame.unionByName, people) if people else spark.createDataFrame([], PEOPLE),
    }


def published(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """The frames of rejected_events, users, consents, context and events for ``days``, from the judged rows."""
    rows, people = inputs["rows"], inputs["people"]
    configured = people_sources(settings)
    frames = {"rejected_events": _rejects(rows, people)}
    for kind in KEYS:
        said = people.where((F.col("kind") == kind) & (F.col("verdict") == "accepted"))
        daily = kind in configured and configured[kind].daily
        frames[kind] = changes(said, inputs[kind], kind, days, daily)
    frames["events"] = rows.where(F.col("verdict") == "accepted").select("day", *FIELDS, "source")
    return frames


def replaced(days: Sequence[date], settings: Settings) -> Mapping[str, str]:
    """Rejects are replaced by day and source; those without a day, where files have none either, with every run."""
    every: list[Source] = all_sources(settings)
    if not every:
        return {}
    text = f"({days_predicate(days)}) AND source IN ({_quoted(every)})"
    if undated := [source for source in every if not source.daily]:
        text = f"({text}) OR (day = DATE'{UNDATED}' AND source IN ({_quoted(undated)}))"
    return {"rejected_events": text}


def people_sources(settings: Settings) -> dict[str, Source]:
    """The configured sources of users, consents and context, by kind."""
    found = {kind: getattr(settings.sources, kind) for kind in KEYS}
    return {kind: source for kind, source in found.items() if source is not None}


def all_sources(settings: Settings) -> list[Source]:
    """Every configured source, events first."""
    return [*settings.sources.events, *people_sources(settings).values()]


def _quoted(sources: Sequence[Source]) -> str:
    return ", ".join(f"'{source.name}'" for source in sources)


def _rejects(rows: DataFrame, people: DataFrame) -> DataFrame:
    """Refused rows with their identity: hash of file and row, and the ordinal among identical ones."""
    columns = ["day", "source", "file", "reasons", "raw"]
    refused = rows.where(F.col("verdict") == REJECTED).select(*columns)
    refused = refused.unionByName(people.where(F.col("verdict") == REJECTED).select(*columns))
    hashed = refused.withColumn("_hash", fingerprint(F.col("file"), F.col("raw")))
    ordinal = F.row_number().over(Window.partitionBy("day", "source", "_hash").orderBy("reasons"))
    reject_id = F.concat_ws("-", "_hash", ordinal.cast("string"))
    return hashed.withColumn("reject_id", reject_id).select("day", "source", "reject_id", "file", "reasons", "raw")
