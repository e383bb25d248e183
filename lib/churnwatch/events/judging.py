"""Rows of event sources, each with its verdict: accepted, duplicate, rejected or outside_days."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.events.amounts import faults, number, whole
from churnwatch.events.instants import business_day, instant
from churnwatch.events.mapping import (
    OUTSIDE,
    REJECTED,
    UNDATED,
    Mapped,
    faults_text,
    fingerprint,
    map_text,
    raw_text,
    reject_day,
    within,
)
from churnwatch.settings import EventSource, Settings

# no clock is asked: an event before the web or in the next century is a device's wrong date
FIRST_YEAR, LAST_YEAR = 1990, 2099
FIELDS = {
    "event_id": "string",
    "user_id": "string",
    "event_time": "timestamp",
    "event_type": "string",
    "amount_cents": "long",
    "duration_ms": "long",
    "item_id": "string",
    "session_id": "string",
    "channel": "string",
    "properties": "map<string,string>",
}
ROWS = "source STRING, verdict STRING, day DATE, " + ", ".join(f"{n} {k}" for n, k in FIELDS.items())
ROWS += ", file STRING, reasons ARRAY<STRING>, raw STRING"


def judged(rows: DataFrame, source: EventSource, days: Sequence[date], settings: Settings) -> DataFrame:
    """One row a source row, with ``verdict``; what lies outside ``days`` keeps its source alone.

    An event belongs to the business day of its time, if its file is one that is read for this day (``file_days``);
    otherwise it would never be seen for its day, so it is refused as ``time_far_from_file``.
    """
    mapped = Mapped(rows, source)
    parsed = mapped.frame.select(
        mapped.text("event_id").alias("event_id"),
        mapped.text("user_id").alias("user_id"),
        mapped.value("event_time").cast("string").alias("_given_time"),
        instant(mapped.value("event_time"), mapped.kind("event_time"), source.time_zone, _named(source, "event_time")).alias(
            "event_time"
        ),
        mapped.text("event_type").alias("event_type"),
        number(mapped.value("amount"), mapped.kind("amount"), _named(source, "amount")).alias("_amount"),
        number(mapped.value("duration_s"), mapped.kind("duration_s"), _named(source, "duration_s")).alias("_duration"),
        *(mapped.text(field).alias(field) for field in ("item_id", "session_id", "channel")),
        mapped.texts("properties").alias("properties"),
        *("_file", "_file_day", "_corrupt", "_raw", "_own"),
    )
    dated = parsed.withColumns(
        {
            "_day": business_day(F.col("event_time"), settings.clock.time_zone),
            "_possible": F.year("event_time").between(FIRST_YEAR, LAST_YEAR),
        }
    ).withColumn("_near", _read_for_its_day(source))
    judged_rows = dated.withColumn("_why", faults_text(_reasons(source)))
    return _with_ids(_with_verdict(judged_rows, source, days))


def _named(source: EventSource, field: str) -> str:
    return f"source {source.name}: map.{field} {source.map.get(field)!r}"


def _read_for_its_day(source: EventSource) -> Column:
    if not source.daily:
        return F.lit(True)
    return F.date_diff(F.col("_file_day"), F.col("_day")).isin(source.file_days)


def _reasons(source: EventSource) -> dict[str, Column]:
    time, possible = F.col("event_time"), F.col("_possible")
    given = F.length(F.btrim("_given_time")) > 0
    wrong = {
        "no_user": F.col("user_id").isNull(),
        "no_time": ~F.coalesce(given, F.lit(False)),
        "bad_time": given & time.isNull(),
        "impossible_time": ~possible,
        "time_far_from_file": possible & ~F.col("_near"),
        "no_type": F.col("event_type").isNull(),
        "unknown_type": ~F.col("event_type").isin(source.event_types) if source.event_types is not None else F.lit(False),
    }
    return wrong | faults(F.col("_amount"), "amount") | faults(F.col("_duration"), "duration", negative=False)


def _with_verdict(frame: DataFrame, source: EventSource, days: Sequence[date]) -> DataFrame:
    rejected = F.col("_why") != ""
    timed = F.col("_corrupt").isNull() & F.col("_possible") & F.col("_near")
    placed = frame.withColumn("day", F.when(rejected, reject_day(source, F.when(timed, F.col("_day")))).otherwise(F.col("_day")))
    here = within(days, F.col("day")) | (F.lit(not source.daily) & rejected & (F.col("day") == F.lit(UNDATED)))
    decided = placed.withColumn("verdict", F.when(~here, OUTSIDE).when(rejected, REJECTED))
    event, reject = F.col("verdict").isNull(), F.col("verdict") == REJECTED
    fields = {name: F.col(name) for name in FIELDS}
    fields["amount_cents"] = whole(F.col("_amount"), 2)
    fields["duration_ms"] = whole(F.col("_duration"), 3)
    return decided.select(
        F.lit(source.name).alias("source"),
        "verdict",
        F.when(F.coalesce(F.col("verdict") != OUTSIDE, F.lit(True)), F.col("day")).alias("day"),
        *(F.when(event, value).alias(name) for name, value in fields.items()),
        F.when(reject, F.col("_file")).alias("file"),
        F.when(reject, F.split("_why", ",")).alias("reasons"),
        F.when(reject, raw_text()).alias("raw"),
        # rows that are no events have no identity: they are spread, so that they form no group
        F.monotonically_increasing_id().alias("_spread"),
    )


def _with_ids(frame: DataFrame) -> DataFrame:
    """Adds ids where the source has none, and finds duplicates: of one id on one day the smallest (time, hash) stays.

    The id of a row without one is its hash and its ordinal among identical rows of the day, so true repeats stay.
    """
    content = [F.col(name) for name in FIELDS if name not in ("event_id", "event_time", "properties")]
    content += [F.unix_micros("event_time"), map_text(F.col("properties"))]
    event = F.col("verdict").isNull()
    hashed = frame.withColumn("_hash", F.when(event, fingerprint(*content))).withColumn(
        "_key", F.coalesce("event_id", "_hash", F.col("_spread").cast("string"))
    )
    own_id = F.col("event_id").isNotNull()
    # an id of the source and a hash never meet in one group; the key stands first, for a sort tells rows apart by it
    window = Window.partitionBy("_key", "day", own_id).orderBy("event_time", "_hash")
    numbered = hashed.withColumn("_n", F.row_number().over(window))
    verdict = F.coalesce(F.col("verdict"), F.when(own_id & (F.col("_n") > 1), "duplicate").otherwise("accepted"))
    ids = F.when(event, F.coalesce(F.col("event_id"), F.concat_ws("-", "_hash", F.col("_n").cast("string"))))
    fields = [F.col(name) for name in FIELDS if name != "event_id"]
    return numbered.select("source", verdict.alias("verdict"), "day", ids.alias("event_id"), *fields, "file", "reasons", "raw")
