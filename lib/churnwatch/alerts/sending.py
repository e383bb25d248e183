"""Sending a day's messages: at least once, and never again what was sent."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.alerts.messages import day_end, digests, offers
from churnwatch.core.job import Frames
from churnwatch.settings import Settings

ATTEMPT = ("day", "message_id", "attempt", "at", "outcome", "detail")
ENDED = ("sent", "expired")


def sent(inputs: Frames, days: Sequence[date], senders: Any, settings: Settings) -> Frames:
    """Messages of the day (one row each) and the attempts of this run to send them (one row each).

    A message that was sent or has expired is left alone, and so is one that had ``sending.max_attempts`` attempts.
    """
    (day,) = days
    messages = digests(inputs["alerts"], day, senders.keyed, settings).unionByName(
        offers(inputs["actions"], inputs["consents"], day, senders.keyed)
    )
    waiting = only_waiting(messages, inputs["deliveries"], settings.sending.max_attempts)
    late = F.coalesce(F.col("expires_at") <= day_end(day, settings), F.lit(False))
    attempts = senders.send(waiting.where(~late)).select(F.lit(day).alias("day"), *ATTEMPT[1:])
    expired = waiting.where(late).select(
        "day",
        "message_id",
        (F.col("attempts") + 1).alias("attempt"),
        F.col("expires_at").alias("at"),
        F.lit("expired").alias("outcome"),
        F.lit("expired before it was sent").alias("detail"),
    )
    return {"notifications": messages, "deliveries": attempts.unionByName(expired)}


def only_waiting(messages: DataFrame, deliveries: DataFrame, max_attempts: int) -> DataFrame:
    """Keeps the messages still to be sent and adds ``attempts``: how many were made before; one row a message."""
    before = deliveries.groupBy("message_id").agg(
        F.max("attempt").alias("made"), F.max(F.col("outcome").isin(*ENDED)).alias("ended")
    )
    return (
        messages.join(before, "message_id", "left")  # before: one row a message
        .withColumn("attempts", F.coalesce("made", F.lit(0)))
        .where(~F.coalesce("ended", F.lit(False)) & (F.col("attempts") < max_attempts))
        .drop("made", "ended")
    )
