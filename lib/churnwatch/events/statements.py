"""Parse rows of users, consents and context as statements: the values of a key, and the day from which they are in force."""

from collections.abc import Sequence
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.core import contiguous
from churnwatch.events.amounts import number, number_faults
from churnwatch.events.ids import is_nobody
from churnwatch.events.instants import business_day, date_of, instant, text_of
from churnwatch.events.mapping import (
    OUTSIDE,
    REJECTED,
    UNDATED,
    Mapped,
    SourcePort,
    badly_encoded,
    is_one_of,
    only_nobody,
    raw_text,
    reasons_text,
    reject_day,
    with_control_character,
)
from churnwatch.settings import Settings, Source

STATEMENT_FIELDS = {
    "user_id": "string",
    "channel": "string",
    "purpose": "string",
    "scope": "string",
    "name": "string",
    "registered_on": "date",
    "changed_at": "timestamp",
    "attributes": "map<string,string>",
    "granted": "boolean",
    "value": "double",
}
KEYS = {"users": ("user_id",), "consents": ("user_id", "channel", "purpose"), "context": ("scope", "name")}
VALUES = {
    "users": ("registered_on", "changed_at", "attributes"),
    "consents": ("granted", "changed_at"),
    "context": ("value", "changed_at"),
}
NOT_ATTRIBUTES = ("user_id", "registered_on", "changed_at")
STATEMENT_SCHEMA = "kind STRING, source STRING, verdict STRING, day DATE, stated_on DATE, "
STATEMENT_SCHEMA += (
    ", ".join(f"{n} {k}" for n, k in STATEMENT_FIELDS.items()) + ", file STRING, reasons ARRAY<STRING>, raw STRING"
)
STATEMENT_SCHEMA += ", nobody BOOLEAN"


def classify_statements(
    rows: DataFrame, source: Source, kind: str, days: Sequence[date], settings: Settings, sources: SourcePort | None = None
) -> DataFrame:
    """Return one row per source row, with its ``verdict``, ``stated_on`` and ``day``.

    ``stated_on``: the day of ``changed_at`` (context: its own ``day``), else the file's, else ``registered_on``.
    ``day``: the first of ``days`` that reads the row's file and is not before ``stated_on``. An earlier statement is in
    force from the first of ``days`` on, so that it is not lost. A row that none of ``days`` reads is ``outside_days``.
    """
    mapped = Mapped(rows, source)
    zone, clock = source.time_zone, settings.clock.time_zone
    values: dict[str, Column] = {
        "user_id": mapped.user_id(),
        "changed_at": instant(mapped.value("changed_at"), mapped.kind("changed_at"), zone, mapped.label("changed_at")),
    }
    wrong = {"bad_changed_at": (mapped.value("changed_at"), "changed_at")}
    if kind == "users":
        values |= {"registered_on": _date(mapped, source, "registered_on", clock), "attributes": _attributes(mapped, source)}
        wrong["bad_registered_on"] = (mapped.value("registered_on"), "registered_on")
    else:
        values |= {field: mapped.text(field) for field in KEYS[kind] if field != "user_id"}
    if kind == "consents":
        values["granted"] = text_of(mapped.value("granted")).try_cast("boolean")
    if kind == "context":
        values |= {"_own_day": _date(mapped, source, "day", clock)}
        values["_number"] = number(mapped.value("value"), mapped.kind("value"), mapped.label("value"))
        values["value"] = F.lit(None).cast("double")
    own = [value.alias(name) for name, value in values.items()]
    own += [F.lit(None).cast(kind_).alias(name) for name, kind_ in STATEMENT_FIELDS.items() if name not in values]
    given = [text_of(value).isNotNull().alias(f"_given_{name}") for value, name in wrong.values()]
    parsed = mapped.frame.select(*own, *given, "_file", "_file_day", "_corrupt", "_raw", "_own")
    reasons = {why: F.col(f"_given_{name}") & F.col(name).isNull() for why, (_, name) in wrong.items()} | _reasons(kind)
    if kind == "context":
        parsed = parsed.withColumn("value", F.col("_number").try_cast("double"))
    checked = parsed.withColumns(
        {
            "_nobody": is_nobody(F.col("user_id"), settings.sources.nobody),
            "bad_encoding": badly_encoded(*KEYS[kind]),
            "control_character": with_control_character(*KEYS[kind]),
        }
    )
    if "user_id" in KEYS[kind] and sources:
        checked = sources.protect(checked)
    classified = checked.withColumn("_reasons", reasons_text(reasons)).withColumn("stated_on", _stated_on(kind, clock))
    return _with_verdict(classified, source, kind, days)


def _date(mapped: Mapped, source: Source, field: str, clock_zone: str) -> Column:
    return date_of(mapped.value(field), mapped.kind(field), source.time_zone, clock_zone, mapped.label(field))


def _attributes(mapped: Mapped, source: Source) -> Column:
    names = [name for name in source.map if name not in NOT_ATTRIBUTES]
    if not names:
        return F.lit(None).cast("map<string,string>")
    pairs = [part for name in names for part in (F.lit(name), mapped.text(name))]
    return F.map_filter(F.create_map(*pairs), lambda name, value: value.isNotNull())


def _reasons(kind: str) -> dict[str, Column]:
    wrong = {f"no_{key}": F.col(key).isNull() for key in KEYS[kind] if key != "user_id"}
    wrong |= {name: F.col(name) for name in ("bad_encoding", "control_character")}
    if "user_id" in KEYS[kind]:
        wrong["no_user"] = F.col("user_id").isNull() | F.col("_nobody")
    if kind == "consents":
        wrong["bad_granted"] = F.col("granted").isNull()
    if kind == "context":
        wrong["bad_day"] = F.col("_own_day").isNull()
    return wrong | (number_faults(F.col("_number"), "value") if kind == "context" else {})


def _stated_on(kind: str, clock_zone: str) -> Column:
    if kind == "context":
        return F.col("_own_day")
    known = [business_day(F.col("changed_at"), clock_zone), F.col("_file_day")]
    return F.coalesce(*known, *([F.col("registered_on")] if kind == "users" else []))


def _with_verdict(frame: DataFrame, source: Source, kind: str, days: Sequence[date]) -> DataFrame:
    rejected = F.col("_reasons") != ""
    # a refused row is stored under its file's day, because its own may be so long ago that nobody looks there
    own_day = F.lit(None).cast("date") if source.daily else F.col("stated_on")
    day = F.when(rejected, reject_day(source, own_day)).otherwise(_in_force_on(source, days))
    placed = frame.withColumn("day", day)
    in_days = is_one_of(days, F.col("day")) | (F.lit(not source.daily) & rejected & (F.col("day") == F.lit(UNDATED)))
    decided = placed.withColumn("verdict", F.when(~in_days, OUTSIDE).when(rejected, REJECTED).otherwise("accepted"))
    accepted, reject = F.col("verdict") == "accepted", F.col("verdict") == REJECTED
    return decided.select(
        F.lit(kind).alias("kind"),
        F.lit(source.name).alias("source"),
        "verdict",
        F.when(accepted | reject, F.col("day")).alias("day"),
        F.when(accepted, F.col("stated_on")).alias("stated_on"),
        *(F.when(accepted, F.col(name)).alias(name) for name in STATEMENT_FIELDS),
        F.when(reject, F.col("_file")).alias("file"),
        F.when(reject, F.split("_reasons", ",")).alias("reasons"),
        F.when(reject, raw_text()).alias("raw"),
        (reject & only_nobody()).alias("nobody"),
    )


def _in_force_on(source: Source, days: Sequence[date]) -> Column:
    """Return the first of ``days`` that is not before ``stated_on`` and, when files belong to days, that reads the file."""
    stated = F.coalesce("stated_on", F.lit(UNDATED))
    if source.daily:
        read_on = [F.date_sub(F.col("_file_day"), offset) for offset in source.file_days]
        fitting = [F.when(is_one_of(days, day) & (day >= stated), day) for day in read_on]
        return reduce(lambda a, b: F.least(a, b), fitting)
    if contiguous(days):
        landed = F.greatest(stated, F.lit(min(days)))
        return F.when(landed <= F.lit(max(days)), landed)
    every = F.array(*(F.lit(day) for day in sorted(days)))
    return F.array_min(F.filter(every, lambda day: day >= stated))
