"""Parse rows of event sources and give each a verdict: accepted, duplicate, rejected or outside_days."""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.events.amounts import number, number_faults, scaled_integer
from churnwatch.events.currency import converted
from churnwatch.events.ids import is_nobody
from churnwatch.events.instants import business_day, instant
from churnwatch.events.mapping import (
    OUTSIDE,
    REJECTED,
    UNDATED,
    Mapped,
    SourcePort,
    badly_encoded,
    fingerprint,
    is_one_of,
    is_unreadable,
    map_text,
    only_nobody,
    raw_text,
    reasons_text,
    reject_day,
    with_control_character,
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
EVENT_SCHEMA += ", file STRING, reasons ARRAY<STRING>, raw STRING, nobody BOOLEAN, also_in STRING, conflict BOOLEAN"
EVENT_SCHEMA += ", event_day DATE, file_day DATE, content BIGINT"
NOTED_DAYS = 28  # days before an ingest's own: their rows are counted by day, though they are not taken in


def classify_events(
    rows: DataFrame,
    source: EventSource,
    days: Sequence[date],
    settings: Settings,
    rates: DataFrame | None = None,
    sources: SourcePort | None = None,
) -> DataFrame:
    """Return one row per source row, with its ``verdict``. Rows outside ``days`` keep ``source`` and the verdict alone, and
    ``event_day`` and ``file_day`` on the days just before them. ``content``: hash of the row, whatever other rows there are.

    An event belongs to the business day of its time. Its file must be one that is read for that day (``file_days``);
    otherwise no run would find it, so it is refused as ``time_far_from_file``. ``rates``: those of ``rates_by_day``; a source
    that maps a currency needs them. An event of a source without ``{day}`` that lies more than ``clock.future_minutes`` after
    the clock of the read is refused; of a file with a day, events after the days that read it are. ``sources`` None: rows of
    erased users and events ahead of the clock are kept.
    """
    mapped = Mapped(rows, source)
    parsed = mapped.frame.select(
        mapped.text("event_id").alias("event_id"),
        mapped.user_id().alias("user_id"),
        mapped.value("event_time").cast("string").alias("_given_time"),
        instant(mapped.value("event_time"), mapped.kind("event_time"), source.time_zone, mapped.label("event_time")).alias(
            "event_time"
        ),
        mapped.text("event_type").alias("event_type"),
        number(mapped.value("amount"), mapped.kind("amount"), mapped.label("amount")).alias("_amount"),
        number(mapped.value("duration_s"), mapped.kind("duration_s"), mapped.label("duration_s")).alias("_duration"),
        F.upper(mapped.text("currency")).alias("_currency"),
        *(mapped.text(field).alias(field) for field in ("item_id", "session_id", "channel")),
        mapped.texts("properties").alias("properties"),
        mapped.json_text("properties").alias("_json"),
        *("_file", "_file_day", "_corrupt", "_raw", "_own"),
    )
    # before ids are hashed, because hashes say nothing about what they were made of
    checked = parsed.withColumns(
        {
            "_nobody": is_nobody(F.col("user_id"), settings.sources.nobody),
            "bad_encoding": badly_encoded("user_id", "event_id", "event_type", "item_id", "session_id", "channel"),
            "control_character": with_control_character("user_id", "event_id", "item_id", "session_id"),
        }
    )
    dated = (
        (sources.protect(checked) if sources else checked)
        .withColumns(
            {
                "_day": business_day(F.col("event_time"), settings.clock.time_zone),
                "_possible": F.year("event_time").between(FIRST_YEAR, LAST_YEAR),
                "_bad_properties": is_unreadable(F.col("_json"), F.col("properties")),  # here, so that the text is parsed once
            }
        )
        .withColumns({"_near": _read_for_its_day(source), "_future": _in_future(source, sources, settings)})
    )
    priced = _in_own_currency(dated, rates, settings) if rates is not None else dated.withColumn("_no_rate", F.lit(False))
    digits = settings.money.minor_digits
    judged = _with_verdict(priced.withColumn("_reasons", reasons_text(_reasons(source, digits))), source, days, digits)
    return _with_ids(judged, source.repeats == "drop")


def _read_for_its_day(source: EventSource) -> Column:
    if not source.daily:
        return F.lit(True)
    return F.date_diff(F.col("_file_day"), F.col("_day")).isin(source.file_days)


def _in_future(source: EventSource, sources: SourcePort | None, settings: Settings) -> Column:
    """Test whether an event lies after all days that read its file, or after the clock of the read."""
    if source.daily:
        return F.date_diff(F.col("_day"), F.col("_file_day")) > -min(source.file_days)
    if sources is None:
        return F.lit(False)
    return F.col("event_time") > F.lit(sources.read_at() + timedelta(minutes=settings.clock.future_minutes))


def _in_own_currency(frame: DataFrame, rates: DataFrame, settings: Settings) -> DataFrame:
    """Convert ``_amount`` to the domain's currency, and add ``_no_rate``: the amount is in another one and has no rate."""
    is_own = F.coalesce(F.col("_currency") == F.lit(settings.money.currency), F.lit(True))
    # rates are unique by day and code: the join keeps the grain
    priced = frame.join(
        F.broadcast(rates), (F.col("_day") == F.col("_rate_day")) & (F.col("_currency") == F.col("_code")), "left"
    )
    no_rate = F.col("_amount").isNotNull() & F.col("_day").isNotNull() & ~is_own & F.col("_rate").isNull()
    return priced.withColumns({"_no_rate": no_rate, "_amount": converted(F.col("_amount"), is_own, F.col("_rate"))})


def _reasons(source: EventSource, digits: int) -> dict[str, Column]:
    time, possible = F.col("event_time"), F.col("_possible")
    given = F.length(F.btrim("_given_time")) > 0
    conditions = {
        "no_user": F.col("user_id").isNull() | F.col("_nobody"),
        "no_time": ~F.coalesce(given, F.lit(False)),
        "bad_time": given & time.isNull(),
        "impossible_time": ~possible,
        "future_event": possible & F.col("_future"),
        "time_far_from_file": possible & ~F.col("_near") & ~F.col("_future"),
        "bad_encoding": F.col("bad_encoding"),
        "control_character": F.col("control_character"),
        "no_type": F.col("event_type").isNull(),
        "other_currency": F.col("_no_rate"),
        "bad_properties": F.col("_bad_properties"),
        "unknown_type": ~F.col("event_type").isin(source.event_types) if source.event_types is not None else F.lit(False),
    }
    amount, duration = F.col("_amount"), F.col("_duration")
    return conditions | number_faults(amount, "amount", digits=digits) | number_faults(duration, "duration", negative=False)


def _with_verdict(frame: DataFrame, source: EventSource, days: Sequence[date], digits: int) -> DataFrame:
    rejected = F.col("_reasons") != ""
    timed = F.col("_corrupt").isNull() & F.col("_possible") & F.col("_near") & ~F.col("_future")
    placed = frame.withColumn("day", F.when(rejected, reject_day(source, F.when(timed, F.col("_day")))).otherwise(F.col("_day")))
    in_days = is_one_of(days, F.col("day")) | (F.lit(not source.daily) & rejected & (F.col("day") == F.lit(UNDATED)))
    decided = placed.withColumn("verdict", F.when(~in_days, OUTSIDE).when(rejected, REJECTED))
    event, reject = F.col("verdict").isNull(), F.col("verdict") == REJECTED
    noted = F.col("day").between(F.lit(min(days) - timedelta(days=NOTED_DAYS)), F.lit(max(days)))
    fields = {name: F.col(name) for name in EVENT_FIELDS}
    fields["amount_cents"] = scaled_integer(F.col("_amount"), digits)
    fields["duration_ms"] = scaled_integer(F.col("_duration"), 3)
    return decided.select(
        F.lit(source.name).alias("source"),
        "verdict",
        F.when(F.coalesce(F.col("verdict") != OUTSIDE, F.lit(True)), F.col("day")).alias("day"),
        *(F.when(event, value).alias(name) for name, value in fields.items()),
        F.when(reject, F.col("_file")).alias("file"),
        F.when(reject, F.split("_reasons", ",")).alias("reasons"),
        F.when(reject, raw_text()).alias("raw"),
        (reject & only_nobody()).alias("nobody"),
        F.when(noted, F.col("day")).alias("event_day"),
        F.when(noted, F.col("_file_day")).alias("file_day"),
        # only rows without an id need it: a path a row makes the shuffle dearer
        F.when(event & F.col("event_id").isNull(), F.col("_file")).alias("_file"),
        # refused rows have no key: a number of their own spreads them over the tasks of the shuffle by key
        F.monotonically_increasing_id().alias("_spread"),
    )


def _with_ids(frame: DataFrame, drop_repeats: bool) -> DataFrame:
    """Mark duplicates, and add an ``event_id`` where the source has none.

    Of several rows with the same id and the same content on one day one is accepted. Where the contents differ, one of each
    is: in the order of (time, hash) the first keeps the id, the n-th gets ``id#n`` and is a ``conflict``. A row without an id
    gets its hash and its ordinal among identical rows of the day, so that repeated events are kept.

    ``also_in``: another file that holds the row, for rows that would not be there if each row without an id counted as often
    as in the file with most of it. Such rows are duplicates where ``drop_repeats``.
    """
    content = [F.col(name) for name in EVENT_FIELDS if name not in ("event_id", "event_time", "properties")]
    content += [F.unix_micros("event_time"), map_text(F.col("properties"))]
    event = F.col("verdict").isNull()
    hashed = frame.withColumn("_hash", F.when(event, fingerprint(*content))).withColumn(
        "_key", F.coalesce("event_id", "_hash", F.col("_spread").cast("string"))
    )
    own_id = F.col("event_id").isNotNull()
    # own_id separates ids of the source from hashes; the key comes first, because it decides most comparisons of the sort
    key = ("_key", "day", own_id)
    # both windows need one exchange and one sort
    window = Window.partitionBy(*key).orderBy("_file", "event_time", "_hash")
    in_file = Window.partitionBy(*key, "_file").orderBy("event_time", "_hash")
    before = window.rowsBetween(Window.unboundedPreceding, -1)
    numbered = hashed.withColumns(
        {
            "_n": F.row_number().over(window),
            "_in_file": F.row_number().over(in_file),
            # rows with an id have no _file: those with the same content are neighbours
            "_content": F.dense_rank().over(window),
            "_before": F.lag("_hash").over(window),
        }
    )
    # the n-th of its file, and an earlier file has n of them too
    again = event & ~own_id & (F.col("_in_file") <= F.max("_in_file").over(before))
    marked = numbered.withColumn("also_in", F.when(again, F.first("_file").over(before)))
    repeated, ordinal = own_id & (F.col("_hash") == F.col("_before")), F.col("_n")
    conflict = event & own_id & ~F.coalesce(repeated, F.lit(False)) & (F.col("_content") > 1)
    if drop_repeats:
        repeated, ordinal = repeated | F.col("also_in").isNotNull(), F.col("_in_file")
    verdict = F.coalesce(F.col("verdict"), F.when(repeated, "duplicate").otherwise("accepted"))
    own = F.when(conflict, F.concat_ws("#", "event_id", F.col("_content").cast("string"))).otherwise(F.col("event_id"))
    ids = F.when(event, F.coalesce(own, F.concat_ws("-", "_hash", ordinal.cast("string"))))
    fields = [F.col(name) for name in EVENT_FIELDS if name != "event_id"]
    kept_file = F.coalesce("file", F.when(F.col("also_in").isNotNull(), F.col("_file")))
    return marked.select(
        "source",
        verdict.alias("verdict"),
        "day",
        ids.alias("event_id"),
        *fields,
        kept_file.alias("file"),
        "reasons",
        "raw",
        "nobody",
        "also_in",
        F.coalesce(conflict, F.lit(False)).alias("conflict"),
        "event_day",
        "file_day",
        F.when(event, F.xxhash64("_hash", "event_id")).when(F.col("raw").isNotNull(), F.xxhash64("raw")).alias("content"),
    )
