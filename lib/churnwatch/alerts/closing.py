"""Close cases whose outcome is known or whose time is over, and escalate overdue ones to a superior."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.alerts.owners import superior_of
from churnwatch.alerts.states import STILL_OPEN, events_by_case, state_columns
from churnwatch.model.judged_cases import case_id
from churnwatch.settings import Settings
from churnwatch.settings.terms import CHURNED, CLOSED, ESCALATED, EXPIRED, RETAINED, SYSTEM

LATE_DAYS = 28  # a case is still closed up to 28 days after its time, because runs may have been missed
NEWEST = (
    *("alert_id", "day", "scope", "user_id", "segment", "value", "rule_id", "level", "cause", "evidence", "owner", "due_on"),
    "value_at_risk_cents",
)


def tracked_days(settings: Settings) -> int:
    """Return the age in days of the oldest warning that the system may still close or escalate."""
    return settings.case_days + LATE_DAYS


def select_due_cases(alerts: DataFrame, alert_events: DataFrame, labels: DataFrame, day: date, settings: Settings) -> DataFrame:
    """Return the cases that are closed or escalated on ``day``: one row per case, with the columns of its newest warning.

    ``outcome``: churned as soon as the label of any of its warnings is churned, retained when the label of the newest is not,
    expired when no label came within ``case_days`` (groups, the base and ineligible users have none); else null.
    ``superior``: who gets an overdue case without an outcome; a case is escalated once. Null for cases that are closed.
    Events of the system on ``day`` are left out, so that a second run of the day finds the same cases.
    """
    earlier = alert_events.where(~((F.col("who") == SYSTEM) & (F.col("day") == F.lit(day))))
    known = labels.where(F.col("definition") == settings.churn.primary).select("day", "user_id", "churned")
    warnings = alerts.join(known, ["day", "user_id"], "left").select(  # known: one row per day and user
        case_id().alias("case"),
        "churned",
        F.struct("day", "alert_id").alias("order"),
        F.struct(*NEWEST, "churned").alias("warning"),
    )
    going_on = (
        warnings.unionByName(events_by_case(alerts, earlier), allowMissingColumns=True)
        .groupBy("case")
        .agg(
            F.bool_or("churned").alias("lost"),
            F.max_by("warning", "order").alias("newest"),
            F.max("order.day").alias("risen_on"),
            F.collect_list("event").alias("events"),
        )
        .where(F.col("newest").isNotNull())  # events alone: the warning is too old to be read
        .withColumn("now", F.struct(*state_columns()))
        .where(F.col("now.state") != CLOSED)
        .select("case", "lost", "newest.*", "now.state", "now.escalated_to")
    )
    outcome = (
        F.when(F.col("lost"), CHURNED)
        .when(~F.col("churned"), RETAINED)
        .when(F.datediff(F.lit(day), "day") > settings.case_days, EXPIRED)
    )
    unattended = F.col("state").isin(*STILL_OPEN)
    overdue = unattended & (F.col("due_on") < F.lit(day)) & F.col("escalated_to").isNull()
    superior = F.when(overdue & F.col("outcome").isNull(), superior_of(F.col("owner"), settings))
    cases = going_on.withColumn("outcome", outcome).withColumn("superior", superior)
    return cases.where(F.col("outcome").isNotNull() | F.col("superior").isNotNull())


def make_case_events(cases: DataFrame, day: date, at: Column) -> DataFrame:
    """Return rows of alert_events for the cases of ``select_due_cases``, at the instant ``at``."""
    action = F.when(F.col("outcome").isNotNull(), CLOSED).otherwise(ESCALATED)
    note = (
        F.when((F.col("outcome") == EXPIRED) & F.col("state").isin(*STILL_OPEN), "nobody acted in time")
        .when(F.col("outcome") == EXPIRED, "acted on; no label tells what became of it")
        .when(F.col("outcome").isNotNull(), "the label is known")
        .otherwise(F.concat(F.lit("due on "), F.col("due_on").cast("string")))
    )
    # the id leaves the instant out, so that a second run of the day writes no second event
    parts = F.concat_ws("\x1f", "case", F.lit(str(day)), F.lit(SYSTEM), action)
    return cases.select(
        F.lit(day).alias("day"),
        F.substring(F.sha2(parts, 256), 1, 32).alias("event_id"),
        F.col("case").alias("alert_id"),
        at.alias("at"),
        F.lit(SYSTEM).alias("who"),
        action.alias("action"),
        note.alias("note"),
        "outcome",
        F.lit(None).cast("string").alias("lesson"),
        "rule_id",
        F.col("superior").alias("owner"),
    )
