"""What people do about warnings: acknowledged, acted, closed."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import DataQualityError
from churnwatch.core.job import Frames
from churnwatch.settings import Settings, Source

FIELDS = ("alert_id", "at", "who", "action", "note")
# word on the command line -> action in the table
ACTIONS = {"ack": "acknowledged", "act": "acted", "close": "closed"}
NAMED = 20  # faults that a message names


def event_line(alert_id: str, at: datetime, who: str, action: str, note: str = "") -> str:
    """One line of JSON, without its line break, for the inbox of the day (see ``inbox``).

    ``at`` is an instant with a zone; ``action`` is ack, act or close, or the table's own word. Raises ValueError.
    """
    action = ACTIONS.get(action, action)
    if action not in ACTIONS.values():
        raise ValueError(f"action {action!r} is none of {', '.join(ACTIONS)}")
    if at.tzinfo is None:
        raise ValueError("the instant of an action needs a time zone")
    if not (alert_id and who):
        raise ValueError("an action has a warning and a person")
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    return json.dumps(dict(zip(FIELDS, (alert_id, moment, who, action, note), strict=True)))


def inbox(settings: Settings) -> Source:
    """The inbox as a source: a folder of JSON lines a business day, to which every command adds a file."""
    return Source(
        name="alert_inbox",
        format="json",
        path=f"{settings.storage.files.rstrip('/')}/inbox/alert_events/{{day}}",
        file_days=[0],
        map={field: field for field in FIELDS},
    )


def recorded(inputs: Frames, days: Sequence[date], sources: Any, settings: Settings) -> Frames:
    """Actions of the day's inbox that are not yet stored: one row a warning, instant, person and action.

    Raises DataQualityError that names the lines that are no actions, or the warnings that do not exist.
    """
    (day,) = days
    rows = sources.rows(inbox(settings), [day])
    told = rows.select(*(_text(rows, field).alias(field) for field in FIELDS), _text(rows, "_raw").alias("raw")).withColumn(
        "at", F.expr("try_cast(at AS TIMESTAMP)")
    )
    fine = (
        F.col("action").isin(*ACTIONS.values()) & F.col("at").isNotNull() & (F.length("who") > 0) & F.col("alert_id").isNotNull()
    )
    _refuse(told.where(~F.coalesce(fine, F.lit(False))), "raw", "lines of the inbox that are no actions")
    known = inputs["alerts"].select("alert_id")  # one row a warning
    _refuse(told.join(known, "alert_id", "left_anti"), "alert_id", "warnings that do not exist")
    parts = F.concat_ws("\x1f", "alert_id", F.unix_micros("at").cast("string"), "who", "action")
    events = (
        told.withColumn("event_id", F.substring(F.sha2(parts, 256), 1, 32))
        .groupBy("event_id")  # a line that stands twice is one action
        .agg(*(F.min(field).alias(field) for field in FIELDS))
        .join(inputs["alert_events"].select("event_id"), "event_id", "left_anti")
    )
    return {"alert_events": events.select(F.lit(day).alias("day"), "event_id", *FIELDS)}


def _text(rows: DataFrame, field: str) -> Any:
    return (F.col(field) if field in rows.columns else F.lit(None)).cast("string")


def _refuse(rows: DataFrame, column: str, what: str) -> None:
    """Raises DataQualityError where there are rows, with the first of them by name."""
    # bounded by the limit
    found = [row[0] for row in rows.select(column).distinct().orderBy(column).limit(NAMED + 1).collect()]
    if found:
        more = ", and more" if len(found) > NAMED else ""
        raise DataQualityError(f"alert_events: {what}, nothing was written: {', '.join(map(str, found[:NAMED]))}{more}")


def with_state(alerts: DataFrame, alert_events: DataFrame) -> DataFrame:
    """Adds what was done last: state (open, acknowledged, acted, closed), state_at, state_by, state_note; same grain."""
    newest = alert_events.groupBy("alert_id").agg(
        F.max(F.struct("at", "event_id", "action", "who", "note")).alias("newest")  # the id decides between equal instants
    )
    return alerts.join(newest, "alert_id", "left").select(  # newest: one row a warning
        *alerts.columns,
        F.coalesce("newest.action", F.lit("open")).alias("state"),
        F.col("newest.at").alias("state_at"),
        F.col("newest.who").alias("state_by"),
        F.col("newest.note").alias("state_note"),
    )
