"""Labelled users of a day: who churned, who was treated, and with which weight a user counts."""

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.model.untreated import with_treatment
from churnwatch.settings import Settings

DAYS = ("last_active_day", "churned_on")


def per_labelled_user(labels: DataFrame, actions: DataFrame, cases: DataFrame, day: date, settings: Settings) -> DataFrame:
    """One row per user with a label of the primary definition: ``user_id, churned`` (1 or 0), ``last_active_day, churned_on,
    treated, weight, lacking``.

    ``actions``: rows of retention_actions of the days in which the label matured, and of the days before in which an offer
    could still have an effect. ``cases``: ``judged_cases`` of ``day``. Who is treated, and the weights of the others, are those
    of training (``with_treatment``).
    """
    primary = labels.where((F.col("definition") == settings.churn.primary) & (F.col("day") == F.lit(day)))
    known = primary.select("day", "user_id", F.col("churned").cast("int").alias("churned"), *DAYS)
    return with_treatment(known, actions, cases, [day], settings).drop("day")
