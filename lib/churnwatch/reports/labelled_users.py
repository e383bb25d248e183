"""Labelled users of a day: who churned, who was treated while the label matured, and with which weight a user counts."""

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.model.untreated import per_assigned_user
from churnwatch.settings import Settings


def per_labelled_user(
    labels: DataFrame, actions: DataFrame, alerts: DataFrame, alert_events: DataFrame, day: date, settings: Settings
) -> DataFrame:
    """One row per user with a label of the primary definition: ``user_id, churned, last_active_day, treated, weight``.

    ``actions`` and ``alert_events``: rows of the days in which the label matured, and of the days before in which an offer or
    an act could still have an effect. ``alerts``: rows of the same days and of as many days before as a case stays open.

    ``treated``: in these days an offer could reach the user, or somebody acted on a case of the user; what such a user would
    have done otherwise is not known. ``weight``: 1, and for held-out users the weight that training gives them
    (``per_assigned_user``), because they stand for the users whom offers reached. Nobody is held out of acts, so that users
    who were acted on have no one to stand for them.
    """
    primary = labels.where(F.col("definition") == settings.churn.primary)
    known = primary.select("user_id", F.col("churned").cast("int").alias("churned"), "last_active_day")
    arms = per_assigned_user(actions, [day], settings).drop("day")  # a single day, so one row per user
    # an act may name any warning of a case
    of_user = alerts.where("scope = 'user'").select("alert_id", "user_id")  # one row a warning
    acted = alert_events.where("action = 'acted'").join(of_user, "alert_id").groupBy("user_id").agg(F.lit(True).alias("acted"))
    treated = F.coalesce("offered", F.lit(False)) | F.coalesce("acted", F.lit(False))
    return (
        known.join(arms, "user_id", "left")
        .join(acted, "user_id", "left")
        .select(
            "user_id",
            "churned",
            "last_active_day",
            treated.alias("treated"),
            F.coalesce("weight", F.lit(1.0)).alias("weight"),
        )
    )
