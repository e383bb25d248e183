"""What the system does about warnings: it closes those whose outcome is known, and hands overdue ones to a superior."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.alerts.owners import superior_of
from churnwatch.alerts.states import STILL_OPEN, case_id, with_state
from churnwatch.settings import Settings
from churnwatch.settings.terms import CHURNED, CLOSED, ESCALATED, EXPIRED, RETAINED, SYSTEM

LATE_DAYS = 28  # how long after its time a warning is still closed: runs may have been missed
NEWEST = (
    *("alert_id", "day", "scope", "user_id", "segment", "value", "rule_id", "level", "cause", "evidence", "owner", "due_on"),
    "value_at_risk_cents",
)


def case_days(settings: Settings) -> int:
    """Days after the newest warning of a case by which its outcome is known, or it is over."""
    return max(settings.tiers.open_days, settings.label_lag_days(settings.churn.primary))


def tracked_days(settings: Settings) -> int:
    """How far back a warning lies at the most that the system still closes, or hands up."""
    return case_days(settings) + LATE_DAYS


def select_due_cases(alerts: DataFrame, alert_events: DataFrame, labels: DataFrame, day: date, settings: Settings) -> DataFrame:
    """Cases of which the system tells something on ``day``: one row a case, as its newest warning has it.

    ``outcome``: churned as soon as a warning's label says so, retained when that of the newest does, expired where there is
    none after ``case_days``: groups and the base have no labels, nor has every user; else ``superior``: to whom an overdue
    case goes, once. What the system itself told on ``day`` is not looked at, so that a second run of the day tells the same.
    """
    earlier = alert_events.where(~((F.col("who") == SYSTEM) & (F.col("day") == F.lit(day))))
    known = labels.where(F.col("definition") == settings.churn.primary).select("day", "user_id", "churned")
    going_on = (
        with_state(alerts, earlier)
        .where(F.col("state") != CLOSED)
        .join(known, ["day", "user_id"], "left")  # known: one row a day and user
        .groupBy(case_id().alias("case"))
        .agg(
            F.bool_or("churned").alias("lost"),
            F.max_by(F.struct(*NEWEST, "churned", "state", "escalated_to"), F.struct("day", "alert_id")).alias("newest"),
        )
        .select("case", "lost", "newest.*")
    )
    unattended = F.col("state").isin(*STILL_OPEN)
    outcome = (
        F.when(F.col("lost"), CHURNED)
        .when(~F.col("churned"), RETAINED)
        .when(F.datediff(F.lit(day), "day") > case_days(settings), EXPIRED)
    )
    late = unattended & (F.col("due_on") < F.lit(day)) & F.col("escalated_to").isNull()
    superior = superior_of(F.col("owner"), settings)
    judged = going_on.withColumn("outcome", outcome).withColumn("superior", F.when(late & F.col("outcome").isNull(), superior))
    return judged.where(F.col("outcome").isNotNull() | F.col("superior").isNotNull())


def make_case_events(cases: DataFrame, day: date, at: Column) -> DataFrame:
    """Rows of alert_events for the cases of ``select_due_cases``, at the instant ``at``."""
    action = F.when(F.col("outcome").isNotNull(), CLOSED).otherwise(ESCALATED)
    note = (
        F.when((F.col("outcome") == EXPIRED) & F.col("state").isin(*STILL_OPEN), "nobody acted in time")
        .when(F.col("outcome") == EXPIRED, "acted on; no label tells what became of it")
        .when(F.col("outcome").isNotNull(), "the label is known")
        .otherwise(F.concat(F.lit("due on "), F.col("due_on").cast("string")))
    )
    # no instant in the id: a day tells a thing once
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
