"""States of warnings and their cases: open, acknowledged, acted, closed."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.model.judged_cases import case_id
from churnwatch.settings.terms import ACKNOWLEDGED, CLOSED, ESCALATED, LEVELS, OPEN

STILL_OPEN = (OPEN, ACKNOWLEDGED)  # states in which somebody still has to act
EVENT = ("day", "at", "event_id", "action", "who", "note", "outcome", "owner")  # in this order the newest event is the largest


def with_state(alerts: DataFrame, alert_events: DataFrame) -> DataFrame:
    """Add the state of each warning's case; same grain.

    ``state``: open, acknowledged, acted or closed. ``state_at``, ``state_by``, ``state_note``, ``outcome``: from the newest
    event, null while the state is open. ``escalated_to``: who answers for an overdue case, null before an escalation.
    ``alerts`` may lack a case's first warning if it is too old to be read.
    """
    warnings = alerts.select(case_id().alias("case"), "day")
    per_case = (
        warnings.unionByName(events_by_case(alerts, alert_events), allowMissingColumns=True)
        .groupBy("case")
        .agg(F.max("day").alias("risen_on"), F.collect_list("event").alias("events"))
        .select("case", *state_columns())
    )
    names = ("state", "state_at", "state_by", "state_note", "outcome", "escalated_to")
    return (
        alerts.withColumn("case", case_id())
        .join(per_case, "case", "left")  # per_case: one row per case
        .select(*alerts.columns, *names)
    )


def events_by_case(alerts: DataFrame, alert_events: DataFrame) -> DataFrame:
    """Return one row per event: ``case``, and ``event``, a struct of EVENT."""
    cases = alerts.select("alert_id", case_id().alias("case"))  # unique by alert_id
    # without its warning, which is then too old to be read, an event belongs to a case that this warning began
    return alert_events.join(cases, "alert_id", "left").select(
        F.coalesce("case", "alert_id").alias("case"), F.struct(*EVENT).alias("event")
    )


def state_columns() -> list[Column]:
    """Return the columns that ``with_state`` adds, from a case's ``events`` and ``risen_on``, the day of its newest warning.

    An action from before that day answered the lower level, so it no longer counts; closing a case always counts.
    """
    counting = F.filter("events", lambda e: (e["action"] == CLOSED) | F.coalesce(e["day"] >= F.col("risen_on"), F.lit(True)))
    # rerunning a day writes its events with a later instant, so the business day comes first; event_id breaks ties
    newest = F.array_max(F.filter(counting, lambda e: e["action"] != ESCALATED))
    escalations = F.transform(
        F.filter(counting, lambda e: e["action"] == ESCALATED), lambda e: F.struct(e["at"].alias("at"), e["owner"].alias("owner"))
    )
    return [
        F.coalesce(newest["action"], F.lit(OPEN)).alias("state"),
        newest["at"].alias("state_at"),
        newest["who"].alias("state_by"),
        newest["note"].alias("state_note"),
        newest["outcome"].alias("outcome"),
        F.array_max(escalations)["owner"].alias("escalated_to"),
    ]


def list_alerts(alerts: DataFrame, alert_events: DataFrame, only: Mapping[str, Any], late_on: date | None) -> DataFrame:
    """Return warnings with their state, the most urgent first; ``about`` is the user, or segment=value.

    ``owner`` is who answers now, also after an escalation. ``only``: column -> value (None: any value). ``late_on``: keep
    only warnings that were overdue on that day while nobody had acted.
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
