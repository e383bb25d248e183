"""What became of the users of a day: their label, and whether somebody stepped in."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import Settings

HELD_OUT = ("control", "global_control")


def per_labelled_user(
    labels: DataFrame, actions: DataFrame, alerts: DataFrame, alert_events: DataFrame, day: date, settings: Settings
) -> DataFrame:
    """One row per user with a label of the primary definition: ``user_id, churned, last_active_day, treated, weight``.

    ``alerts``, ``alert_events`` and ``actions``: those of the day and of the days on which its label matured.

    ``treated``: an offer was assigned, or somebody acted on a warning of the day, while the label matured; what such a user
    would have done is not known. ``weight``: 1, and for users held out on the day (assigned / held out) of their campaign on
    that day: they stand for the treated, since
    arms are assigned by chance after eligibility and offer were decided (inverse probability weights: Horvitz and
    Thompson, A generalization of sampling without replacement from a finite universe, JASA 47 (1952)).
    """
    primary = labels.where(F.col("definition") == settings.churn.primary)
    known = primary.select("user_id", F.col("churned").cast("int").alias("churned"), "last_active_day")
    arms = _per_assigned_user(actions, day)
    # people act on a case: on the warning of the day, on the one whose level it raised, or on one that raised it later
    case = F.coalesce("escalates", "alert_id")
    cases = alerts.where("scope = 'user'").select("day", "user_id", "alert_id", case.alias("case"))
    acted = (
        alert_events.where("action = 'acted'")
        .join(cases.select("alert_id", "case"), "alert_id", "left")  # cases: one row a warning
        .select(F.coalesce("case", "alert_id").alias("case"))
        .join(cases.where(F.col("day") == F.lit(day)).select("user_id", "case"), "case")
        .groupBy("user_id")
        .agg(F.lit(True).alias("acted"))
    )
    treated = F.coalesce("offered", F.lit(False)) | F.coalesce("acted", F.lit(False))
    return (
        known.join(arms, "user_id", "left")
        .join(acted, "user_id", "left")
        .select(
            "user_id",
            "churned",
            "last_active_day",
            treated.alias("treated"),
            F.coalesce("stands_for", F.lit(1.0)).alias("weight"),
        )
    )


def _per_assigned_user(actions: DataFrame, day: date) -> DataFrame:
    """One row per user in an arm on ``day`` or later: ``offered``, ``stands_for`` (null for who was not held out on it)."""
    assigned = actions.where("arm IS NOT NULL").select("day", "user_id", "campaign", "arm")
    held_out = F.col("arm").isin(*HELD_OUT) & (F.col("day") == F.lit(day))
    of_day = assigned.where(F.col("day") == F.lit(day))
    shares = of_day.groupBy("campaign").agg(
        F.try_divide(F.count("*").cast("double"), F.count_if(held_out)).alias("assigned_per_held_out")
    )
    return (
        assigned.join(F.broadcast(shares), "campaign", "left")  # one row a campaign
        .groupBy("user_id")
        .agg(
            F.bool_or(F.col("arm") == "offer").alias("offered"),
            F.max(F.when(held_out, F.col("assigned_per_held_out"))).alias("stands_for"),
        )
    )


def ratio(part: Column, whole: Column) -> Column:
    """``part / whole`` as a share, at most 1 (weights leave a residue of 1e-16); null where ``whole`` is 0."""
    # least() looks over nulls: without the condition nothing by nothing would be 1
    return F.when(whole > 0, F.least(F.lit(1.0), F.try_divide(part.cast("double"), whole.cast("double"))))
