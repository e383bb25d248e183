"""Held-out users to whom an offer was sent all the same."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.settings.terms import OFFER, SENT


def held_out_reached(assigned: DataFrame, notifications: DataFrame, deliveries: DataFrame) -> DataFrame:
    """Count the held-out users to whom an offer was sent on the day of their assignment or later: one row per campaign.

    ``assigned``: one row per user and campaign. An offer of any campaign counts. Columns: campaign, reached; campaigns without
    such a user are left out.
    """
    sent = deliveries.where(F.col("outcome") == SENT).select("message_id").distinct()
    offers = notifications.where(F.col("kind") == "offer").join(sent, "message_id", "left_semi")
    latest = offers.groupBy("user_id").agg(F.max("day").alias("sent_on"))
    return (
        assigned.where(F.col("arm") != OFFER)
        .join(latest, "user_id")  # one row per user
        .where(F.col("sent_on") >= F.col("day"))
        .groupBy("campaign")
        .agg(F.count("*").alias("reached"))
    )
