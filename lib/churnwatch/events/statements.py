"""Rows of users, consents and context as statements: what was said of a key, and on which day it comes into force."""

from collections.abc import Sequence
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.core import contiguous
from churnwatch.events.amounts import faults, number
from churnwatch.events.instants import business_day, date_of, instant, text_of
from churnwatch.events.mapping import OUTSIDE, REJECTED, UNDATED, Mapped, faults_text, raw_text, reject_day, within
from churnwatch.settings import Settings, Source

FIELDS = {
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
PEOPLE = "kind STRING, source STRING, verdict STRING, day DATE, said_on DATE, "
PEOPLE += ", ".join(f"{n} {k}" for n, k in FIELDS.items()) + ", file STRING, reasons ARRAY<STRING>, raw STRING"


def statements(rows: DataFrame, source: Source, kind: str, days: Sequence[date], settings: Settings) -> DataFrame:
    """One row a source row. ``said_on``: day of changed_at (context: its own day), else the file's, else registered_on.

    ``day``: the first of ``days`` that sees the row and is not before ``said_on``; what was said before the first day
    comes into force on it, so that nothing known earlier is lost. What no day sees is ``outside_days``.
    """
    mapped = Mapped(rows, source)
    zone, clock = source.time_zone, settings.clock.time_zone
    values: dict[str, Column] = {
        "user_id": mapped.text("user_id"),
        "changed_at": instant(mapped.value("changed_at"), mapped.kind("changed_at"), zone, _named(source, "changed_at")),
    }
    wrong = {"bad_changed_at": (mapped.value("changed_at"), "changed_at")}
    if kind == "users":
        values |= {"registered_on": _date(mapped, source, "registered_on", clock), "attributes": _attributes(mapped, source)}
        wrong["bad_registered_on"] = (mapped.value("registered_on"), "registered_on")
    else:
        values |= {field: mapped.text(field) for field in KEYS[kind]}
    if kind == "consents":
        values["granted"] = text_of(mapped.value("granted")).try_cast("boolean")
    if kind == "context":
        values |= {"_own_day": _date(mapped, source, "day", clock)}
        values["_number"] = number(mapped.value("value"), mapped.kind("value"), _named(source, "value"))
        values["value"] = F.lit(None).cast("double")
    own = [value.alias(name) for name, value in values.items()]
    own += [F.lit(None).cast(kind_).alias(name) for name, kind_ in FIELDS.items() if name not in values]
    given = [text_of(value).isNotNull().alias(f"_given_{name}") for value, name in wrong.values()]
    parsed = mapped.frame.select(*own, *given, "_file", "_file_day", "_corrupt", "_raw", "_own")
    reasons = {why: F.col(f"_given_{name}") & F.col(name).isNull() for why, (_, name) in wrong.items()} | _reasons(kind)
    if kind == "context":
        parsed = parsed.withColumn("value", F.col("_number").try_cast("double"))
    judged = parsed.withColumn("_why", faults_text(reasons)).withColumn("said_on", _said_on(kind, clock))
    return _with_verdict(judged, source, kind, days)


def _named(source: Source, field: str) -> str:
    return f"source {source.name}: map.{field} {source.map.get(field)!r}"


def _date(mapped: Mapped, source: Source, field: str, clock_zone: str) -> Column:
    return date_of(mapped.value(field), mapped.kind(field), source.time_zone, clock_zone, _named(source, field))


def _attributes(mapped: Mapped, source: Source) -> Column:
    names = [name for name in source.map if name not in NOT_ATTRIBUTES]
    if not names:
        return F.lit(None).cast("map<string,string>")
    pairs = [part for name in names for part in (F.lit(name), mapped.text(name))]
    return F.map_filter(F.create_map(*pairs), lambda name, value: value.isNotNull())


def _reasons(kind: str) -> dict[str, Column]:
    wrong = {f"no_{'user' if key == 'user_id' else key}": F.col(key).isNull() for key in KEYS[kind]}
    if kind == "consents":
        wrong["bad_granted"] = F.col("granted").isNull()
    if kind == "context":
        wrong["bad_day"] = F.col("_own_day").isNull()
    return wrong | (faults(F.col("_number"), "value") if kind == "context" else {})


def _said_on(kind: str, clock_zone: str) -> Column:
    if kind == "context":
        return F.col("_own_day")
    known = [business_day(F.col("changed_at"), clock_zone), F.col("_file_day")]
    return F.coalesce(*known, *([F.col("registered_on")] if kind == "users" else []))


def _with_verdict(frame: DataFrame, source: Source, kind: str, days: Sequence[date]) -> DataFrame:
    rejected = F.col("_why") != ""
    # a refused row of a file lies under the file's day: its own may be long ago, and then nobody would see it
    own_day = F.lit(None).cast("date") if source.daily else F.col("said_on")
    day = F.when(rejected, reject_day(source, own_day)).otherwise(_in_force_on(source, days))
    placed = frame.withColumn("day", day)
    here = within(days, F.col("day")) | (F.lit(not source.daily) & rejected & (F.col("day") == F.lit(UNDATED)))
    decided = placed.withColumn("verdict", F.when(~here, OUTSIDE).when(rejected, REJECTED).otherwise("accepted"))
    accepted, reject = F.col("verdict") == "accepted", F.col("verdict") == REJECTED
    return decided.select(
        F.lit(kind).alias("kind"),
        F.lit(source.name).alias("source"),
        "verdict",
        F.when(accepted | reject, F.col("day")).alias("day"),
        F.when(accepted, F.col("said_on")).alias("said_on"),
        *(F.when(accepted, F.col(name)).alias(name) for name in FIELDS),
        F.when(reject, F.col("_file")).alias("file"),
        F.when(reject, F.split("_why", ",")).alias("reasons"),
        F.when(reject, raw_text()).alias("raw"),
    )


def _in_force_on(source: Source, days: Sequence[date]) -> Column:
    """The first of ``days`` that is not before ``said_on`` and, where files belong to days, that reads the file."""
    said = F.coalesce("said_on", F.lit(UNDATED))
    if source.daily:
        seen = [F.date_sub(F.col("_file_day"), offset) for offset in source.file_days]
        fitting = [F.when(within(days, day) & (day >= said), day) for day in seen]
        return reduce(lambda a, b: F.least(a, b), fitting)
    if contiguous(days):
        landed = F.greatest(said, F.lit(min(days)))
        return F.when(landed <= F.lit(max(days)), landed)
    every = F.array(*(F.lit(day) for day in sorted(days)))
    return F.array_min(F.filter(every, lambda day: day >= said))
