"""Record what people did about warnings: acknowledged, acted, closed with an outcome."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.core import DataQualityError
from churnwatch.core.job import Frames
from churnwatch.model.judged_cases import case_id
from churnwatch.settings import Settings, Source
from churnwatch.settings.terms import ACKNOWLEDGED, ACTED, CASE_OUTCOMES, CLOSED, SYSTEM

FIELDS = ("alert_id", "at", "who", "action", "note", "outcome", "lesson")
PLACE = "place"  # file and line of the CSV file that the action came from
# word on the command line -> action in the table
ACTIONS = {"ack": ACKNOWLEDGED, "act": ACTED, "close": CLOSED}
NAMED = 20  # faults that an error lists


def event_line(
    alert_id: str,
    at: datetime,
    who: str,
    action: str,
    note: str = "",
    outcome: str | None = None,
    lesson: str | None = None,
    place: str | None = None,
) -> str:
    """Return an action as one line of JSON, without a line break, for the day's inbox (see ``inbox``).

    ``at`` is an instant with a zone. ``action`` is ack, act or close, or the table's word for it. Only close takes ``outcome``
    and ``lesson``. Raises ValueError.
    """
    action = ACTIONS.get(action, action)
    if action not in ACTIONS.values():
        raise ValueError(f"action {action!r} is not one of {', '.join(ACTIONS)}")
    if at.tzinfo is None:
        raise ValueError(f"the instant {at} of an action has no time zone")
    if not (alert_id and who):
        raise ValueError("an action needs a warning (alert_id) and a person (who)")
    if who == SYSTEM:
        raise ValueError(f"who {SYSTEM!r} is reserved for churnwatch itself")
    if action != "closed" and (outcome or lesson):
        raise ValueError(f"only close takes outcome and lesson, not {action}")
    if outcome and outcome not in CASE_OUTCOMES:
        raise ValueError(f"outcome {outcome!r} is not one of {', '.join(CASE_OUTCOMES)}")
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    line = dict(zip(FIELDS, (alert_id, moment, who, action, note, outcome, lesson), strict=True)) | {PLACE: place}
    return json.dumps({name: value for name, value in line.items() if value is not None})


def inbox(settings: Settings) -> Source:
    """Return the inbox as a source: per business day a folder of JSON lines, to which every command adds a file."""
    return Source(
        name="alert_inbox",
        format="json",
        path=f"{settings.storage.files.rstrip('/')}/inbox/alert_events/{{day}}",
        file_days=[0],
        map={field: field for field in (*FIELDS, PLACE)},
    )


def record_alert_events(inputs: Frames, days: Sequence[date], sources: Any, settings: Settings) -> Frames:
    """Return the actions of the day's inbox that are not stored yet: one row per warning, instant, person and action.

    Raises DataQualityError with the invalid lines, the warnings that do not exist, or those whose case was closed before the
    action. Closing a closed case is allowed: it corrects the outcome.
    """
    (day,) = days
    rows = sources.rows(inbox(settings), [day])
    actions = rows.select(
        *(_text(rows, field).alias(field) for field in FIELDS),
        _text(rows, PLACE).alias(PLACE),
        _text(rows, "_raw").alias("raw"),
    ).withColumn("at", F.expr("try_cast(at AS TIMESTAMP)"))
    fine = (
        F.col("action").isin(*ACTIONS.values())
        & F.col("at").isNotNull()
        & (F.length("who") > 0)
        & F.col("alert_id").isNotNull()
        & (F.col("outcome").isNull() | (F.col("outcome").isin(*CASE_OUTCOMES) & (F.col("action") == CLOSED)))
    )
    where = F.concat(F.col(PLACE), F.lit(": "))
    _refuse(actions.where(~F.coalesce(fine, F.lit(False))), _placed(where, "raw"), "lines of the inbox that are not actions")
    known = inputs["alerts"].select("alert_id", "rule_id", case_id().alias("case"))  # one row per warning
    _refuse(actions.join(known, "alert_id", "left_anti"), _placed(where, "alert_id"), "warnings that do not exist")
    parts = F.concat_ws("\x1f", "alert_id", F.unix_micros("at").cast("string"), "who", "action")
    stored = inputs["alert_events"]
    fresh = actions.withColumn("event_id", F.substring(F.sha2(parts, 256), 1, 32)).join(
        stored.select("event_id"), "event_id", "left_anti"
    )
    _refuse(_after_the_end(fresh, stored, known), _placed(where, "alert_id"), "warnings that are closed")
    events = (
        fresh.groupBy("event_id")  # a repeated line is one action
        .agg(*(F.min(field).alias(field) for field in FIELDS))
        .join(known.drop("case"), "alert_id")
    )
    none = F.lit(None).cast("string")
    return {"alert_events": events.select(F.lit(day).alias("day"), "event_id", *FIELDS, "rule_id", none.alias("owner"))}


def _after_the_end(fresh: DataFrame, stored: DataFrame, known: DataFrame) -> DataFrame:
    """Keep actions after the end of their case, through any of its warnings; same grain."""
    cases = known.select("alert_id", "case")
    ended = (
        stored.where("action = 'closed'")
        .join(cases, "alert_id", "left")  # cases: one row per warning
        .groupBy(F.coalesce("case", "alert_id").alias("case"))  # the first warning may be too old to be read
        .agg(F.min("at").alias("ended_at"))
    )
    late = (F.col("action") != "closed") & (F.col("at") > F.col("ended_at"))
    return fresh.join(cases, "alert_id").join(ended, "case").where(late)  # cases: one row per warning, ended: one per case


def _text(rows: DataFrame, field: str) -> Column:
    return (F.col(field) if field in rows.columns else F.lit(None)).cast("string")


def _placed(where: Column, name: str) -> Column:
    return F.concat(F.coalesce(where, F.lit("")), F.col(name))


def _refuse(rows: DataFrame, shown: Column, what: str) -> None:
    """Raise DataQualityError if there are rows; the error lists the first NAMED."""
    # bounded by NAMED
    found = [row[0] for row in rows.select(shown.alias("shown")).distinct().orderBy("shown").limit(NAMED + 1).collect()]
    if found:
        more = ", and more" if len(found) > NAMED else ""
        raise DataQualityError(f"alert_events: {what}, nothing was written: {', '.join(map(str, found[:NAMED]))}{more}")
