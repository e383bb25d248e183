"""What became of the users of a day: their label, and whether somebody stepped in."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.model.untreated import per_assigned_user
from churnwatch.settings import Settings


def per_labelled_user(
    labels: DataFrame, actions: DataFrame, alerts: DataFrame, alert_events: DataFrame, day: date, settings: Settings
) -> DataFrame:
    """One row per user with a label of the primary definition: ``user_id, churned, last_active_day, treated, weight``.

    ``alert_events`` and ``actions``: those of the days on which the label matured, and of the days before on which an act or
    an offer still worked; ``alerts``: these days' too, and so many before that every case which was open then is among them.

    ``treated``: an offer could reach the user, or somebody acted on a case of the user, in these days; what such a user would
    have done is not known. ``weight``: 1, and for users who were held out what training gives them too
    (``per_assigned_user``): they stand for those whom offers reached. Nobody is held out of acts: who was acted on is left out.
    """
    primary = labels.where(F.col("definition") == settings.churn.primary)
    known = primary.select("user_id", F.col("churned").cast("int").alias("churned"), "last_active_day")
    arms = per_assigned_user(actions, [day], settings).drop("day")  # of one day: one row a user
    # people act on a case by any of its warnings
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


def ratio(part: Column, whole: Column) -> Column:
    """``part / whole`` as a share, at most 1 (weights leave a residue of 1e-16); null where ``whole`` is 0."""
    # least() looks over nulls: without the condition nothing by nothing would be 1
    return F.when(whole > 0, F.least(F.lit(1.0), F.try_divide(part.cast("double"), whole.cast("double"))))
