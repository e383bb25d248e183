"""States of warnings and their cases: open, acknowledged, acted, closed."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.settings.terms import ACKNOWLEDGED, CLOSED, LEVELS, OPEN

STILL_OPEN = (OPEN, ACKNOWLEDGED)  # states in which somebody still has to act


def case_id() -> Column:
    """The case that a warning belongs to: its own, or the open one whose level it raises."""
    return F.coalesce("escalates", "alert_id")


def with_state(alerts: DataFrame, alert_events: DataFrame) -> DataFrame:
    """Adds what was done last about the warning's case; same grain. ``alerts`` hold all rows of their cases, but for the
    first.

    state (open, acknowledged, acted, closed), state_at, state_by, state_note, outcome; escalated_to: who answers for it
    since it is overdue, else null.
    """
    # a day is told again with instants of now: the business day leads; the id decides between equal instants
    done = F.struct("day", "at", "event_id", "action", "who", "note", "outcome")
    escalated = F.col("action") == "escalated"
    cases = alerts.withColumn("case", case_id())
    risen = cases.groupBy("case").agg(F.max("day").alias("risen_on"))
    # what was done before the level rose answers the lower level: the case is open again, and its new owner's
    counts = (F.col("action") == CLOSED) | F.coalesce(F.col("day") >= F.col("risen_on"), F.lit(True))
    newest = (
        alert_events.join(cases.select("alert_id", "case"), "alert_id", "left")  # cases: one row a warning
        .withColumn("case", F.coalesce("case", "alert_id"))  # a first warning that is too old to be read
        .join(risen, "case", "left")  # risen: one row a case
        .where(counts)
        .groupBy("case")
        .agg(
            F.max(F.when(~escalated, done)).alias("newest"),
            F.max_by("owner", F.when(escalated, F.col("at"))).alias("escalated_to"),
        )
    )
    return (
        alerts.withColumn("case", case_id())
        .join(newest, "case", "left")  # newest: one row a case
        .select(
            *alerts.columns,
            F.coalesce("newest.action", F.lit(OPEN)).alias("state"),
            F.col("newest.at").alias("state_at"),
            F.col("newest.who").alias("state_by"),
            F.col("newest.note").alias("state_note"),
            F.col("newest.outcome").alias("outcome"),
            "escalated_to",
        )
    )


def list_alerts(alerts: DataFrame, alert_events: DataFrame, only: Mapping[str, Any], late_on: date | None) -> DataFrame:
    """Warnings as people look at them, the most urgent first: with their state, and ``about``: whom they are about.

    ``owner`` is who answers now, also after an escalation. ``only``: column -> value (None: any); ``late_on``: those of
    which nobody had acted when that day, on which they were overdue, ended.
    """
    answers = F.coalesce("escalated_to", "owner")
    about = F.coalesce("user_id", F.concat("segment", F.lit("="), "value"))
    found = with_state(alerts, alert_events).withColumns({"owner": answers, "about": about})
    for name, value in only.items():
        if value is not None:
            found = found.where(F.col(name) == F.lit(value))
    if late_on is not None:
        found = found.where(F.col("state").isin(*STILL_OPEN) & (F.col("due_on") < F.lit(late_on)))
    rank = F.array_position(F.lit([*reversed(LEVELS)]), F.col("level"))
    return found.orderBy(F.desc("day"), rank, "due_on", "alert_id")
