"""Parse rows of event sources and give each a verdict: accepted, duplicate, rejected or outside_days."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.events.amounts import number, number_faults, scaled_integer
from churnwatch.events.instants import business_day, instant
from churnwatch.events.mapping import (
    OUTSIDE,
    REJECTED,
    UNDATED,
    Mapped,
    fingerprint,
    is_one_of,
    map_text,
    raw_text,
    reasons_text,
    reject_day,
)
from churnwatch.settings import EventSource, Settings

# events outside these years come from a device with a wrong date; fixed years, because the clock is never read
FIRST_YEAR, LAST_YEAR = 1990, 2099
EVENT_FIELDS = {
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
EVENT_SCHEMA = "source STRING, verdict STRING, day DATE, " + ", ".join(f"{n} {k}" for n, k in EVENT_FIELDS.items())
EVENT_SCHEMA += ", file STRING, reasons ARRAY<STRING>, raw STRING"


def classify_events(rows: DataFrame, source: EventSource, days: Sequence[date], settings: Settings) -> DataFrame:
    """Return one row per source row, with its ``verdict``. Rows outside ``days`` keep ``source`` and the verdict alone.

    An event belongs to the business day of its time. Its file must be one that is read for that day (``file_days``);
    otherwise no run would find it, so it is refused as ``time_far_from_file``.
    """
    mapped = Mapped(rows, source)
    parsed = mapped.frame.select(
        mapped.text("event_id").alias("event_id"),
        mapped.text("user_id").alias("user_id"),
        mapped.value("event_time").cast("string").alias("_given_time"),
        instant(mapped.value("event_time"), mapped.kind("event_time"), source.time_zone, mapped.label("event_time")).alias(
            "event_time"
        ),
        mapped.text("event_type").alias("event_type"),
        number(mapped.value("amount"), mapped.kind("amount"), mapped.label("amount")).alias("_amount"),
        number(mapped.value("duration_s"), mapped.kind("duration_s"), mapped.label("duration_s")).alias("_duration"),
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
    return _with_ids(_with_verdict(dated.withColumn("_reasons", reasons_text(_reasons(source))), source, days))


def _read_for_its_day(source: EventSource) -> Column:
    if not source.daily:
        return F.lit(True)
    return F.date_diff(F.col("_file_day"), F.col("_day")).isin(source.file_days)


def _reasons(source: EventSource) -> dict[str, Column]:
    time, possible = F.col("event_time"), F.col("_possible")
    given = F.length(F.btrim("_given_time")) > 0
    conditions = {
        "no_user": F.col("user_id").isNull(),
        "no_time": ~F.coalesce(given, F.lit(False)),
        "bad_time": given & time.isNull(),
        "impossible_time": ~possible,
        "time_far_from_file": possible & ~F.col("_near"),
        "no_type": F.col("event_type").isNull(),
        "unknown_type": ~F.col("event_type").isin(source.event_types) if source.event_types is not None else F.lit(False),
    }
    return conditions | number_faults(F.col("_amount"), "amount") | number_faults(F.col("_duration"), "duration", negative=False)


def _with_verdict(frame: DataFrame, source: EventSource, days: Sequence[date]) -> DataFrame:
    rejected = F.col("_reasons") != ""
    timed = F.col("_corrupt").isNull() & F.col("_possible") & F.col("_near")
    placed = frame.withColumn("day", F.when(rejected, reject_day(source, F.when(timed, F.col("_day")))).otherwise(F.col("_day")))
    in_days = is_one_of(days, F.col("day")) | (F.lit(not source.daily) & rejected & (F.col("day") == F.lit(UNDATED)))
    decided = placed.withColumn("verdict", F.when(~in_days, OUTSIDE).when(rejected, REJECTED))
    event, reject = F.col("verdict").isNull(), F.col("verdict") == REJECTED
    fields = {name: F.col(name) for name in EVENT_FIELDS}
    fields["amount_cents"] = scaled_integer(F.col("_amount"), 2)
    fields["duration_ms"] = scaled_integer(F.col("_duration"), 3)
    return decided.select(
        F.lit(source.name).alias("source"),
        "verdict",
        F.when(F.coalesce(F.col("verdict") != OUTSIDE, F.lit(True)), F.col("day")).alias("day"),
        *(F.when(event, value).alias(name) for name, value in fields.items()),
        F.when(reject, F.col("_file")).alias("file"),
        F.when(reject, F.split("_reasons", ",")).alias("reasons"),
        F.when(reject, raw_text()).alias("raw"),
        # refused rows have no key: a number of their own spreads them over the tasks of the shuffle by key
        F.monotonically_increasing_id().alias("_spread"),
    )


def _with_ids(frame: DataFrame) -> DataFrame:
    """Mark duplicates, and add an ``event_id`` where the source has none.

    Of several rows with the same id on one day the one with the smallest (time, hash) is accepted. A row without an id
    gets its hash and its ordinal among identical rows of the day, so that repeated events are kept.
    """
    content = [F.col(name) for name in EVENT_FIELDS if name not in ("event_id", "event_time", "properties")]
    content += [F.unix_micros("event_time"), map_text(F.col("properties"))]
    event = F.col("verdict").isNull()
    hashed = frame.withColumn("_hash", F.when(event, fingerprint(*content))).withColumn(
        "_key", F.coalesce("event_id", "_hash", F.col("_spread").cast("string"))
    )
    own_id = F.col("event_id").isNotNull()
    # own_id separates ids of the source from hashes; the key comes first, because it decides most comparisons of the sort
    window = Window.partitionBy("_key", "day", own_id).orderBy("event_time", "_hash")
    numbered = hashed.withColumn("_n", F.row_number().over(window))
    verdict = F.coalesce(F.col("verdict"), F.when(own_id & (F.col("_n") > 1), "duplicate").otherwise("accepted"))
    ids = F.when(event, F.coalesce(F.col("event_id"), F.concat_ws("-", "_hash", F.col("_n").cast("string"))))
    fields = [F.col(name) for name in EVENT_FIELDS if name != "event_id"]
    return numbered.select("source", verdict.alias("verdict"), "day", ids.alias("event_id"), *fields, "file", "reasons", "raw")
