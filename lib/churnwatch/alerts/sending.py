"""The end of a day: cases that are over are closed, overdue ones handed up, and messages sent, at least once."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.alerts.closing import make_case_events, select_due_cases
from churnwatch.alerts.messages import day_end, offer_messages, only_still_consented, owner_messages
from churnwatch.core.job import Frames
from churnwatch.settings import Settings
from churnwatch.settings.sending import Sending
from churnwatch.settings.terms import EXPIRED, SENT

ATTEMPT = ("day", "message_id", "attempt", "at", "outcome", "detail")
ENDED = (SENT, EXPIRED)
DELIVERY_DAYS = 7  # how long an unsent message is tried


def send_notifications(inputs: Frames, days: Sequence[date], senders: Any, settings: Settings) -> Frames:
    """Messages of the day (one row each), attempts of this run to send them and unsent ones of the week before (one row
    each), and what the system did about warnings (one row each).

    A message that was sent or has expired is left alone, and so is one that had ``sending.max_attempts`` attempts.
    """
    (day,) = days
    today = inputs["alerts"].where(F.col("day") == F.lit(day))
    cases = select_due_cases(inputs["alerts"], inputs["alert_events"], inputs["labels"], day, settings)
    # who has no superior in conf pays for no escalation
    hands_up = settings.owners.superiors or settings.owners.superior_of_others
    overdue = cases.where(F.col("superior").isNotNull()) if hands_up else None
    messages = owner_messages(today, overdue, day, senders.keyed, settings).unionByName(
        offer_messages(inputs["actions"], inputs["consents"], day, senders.keyed)
    )
    left = only_still_consented(inputs["notifications"].where(F.col("day") < F.lit(day)), inputs["consents"], day, senders.keyed)
    waiting = only_unsent(messages.unionByName(left), inputs["deliveries"], settings.sending.max_attempts)
    late = F.coalesce(F.col("expires_at") <= day_end(day, settings), F.lit(False))
    attempts = senders.send(waiting.where(~late)).select(*ATTEMPT)
    expired = waiting.where(late).select(
        "day",
        "message_id",
        (F.col("attempts") + 1).alias("attempt"),
        F.col("expires_at").alias("at"),
        F.lit(EXPIRED).alias("outcome"),
        F.lit("expired before it was sent").alias("detail"),
    )
    return {
        "notifications": messages,
        "deliveries": attempts.unionByName(expired),
        "alert_events": make_case_events(cases, day, day_end(day, settings)),
    }


def only_unsent(messages: DataFrame, deliveries: DataFrame, max_attempts: int) -> DataFrame:
    """Keeps the messages still to be sent and adds ``attempts``: how many were made before; one row a message."""
    return (
        messages.join(_so_far(deliveries), "message_id", "left")  # one row a message
        .withColumn("attempts", F.coalesce("made", F.lit(0)))
        .where(~F.coalesce("ended", F.lit(False)) & (F.col("attempts") < max_attempts))
        .drop("made", "ended", "detail")
    )


def dead_letters(notifications: DataFrame, deliveries: DataFrame, sending: Sending, tried_since: date) -> DataFrame:
    """Messages that were not sent and are not tried any more, after all their attempts or because their day lies before
    ``tried_since``, and those to a name that is no destination: one row a day, destination and kind, with the newest answer.

    More ``sending.max_attempts``, or the destination, bring those of the last week back to life. Of offers, the channel
    stands for the users.
    """
    unsent = _so_far(deliveries).where(~F.col("ended"))
    given_up = (F.col("made") >= sending.max_attempts) | (F.col("day") < F.lit(tried_since))
    if sending.kind == "network":
        given_up |= (F.col("kind") != "offer") & ~F.col("destination").isin(list(sending.destinations))
    receiver = F.when(F.col("kind") == "offer", F.concat(F.lit("channel "), F.col("channel"))).otherwise(F.col("destination"))
    return (
        notifications.join(unsent, "message_id")  # one row a message
        .where(given_up)
        .groupBy("day", receiver.alias("destination"), "kind")
        .agg(F.count("*").alias("messages"), F.max("detail").alias("detail"))
    )


def _so_far(deliveries: DataFrame) -> DataFrame:
    return deliveries.groupBy("message_id").agg(
        F.max("attempt").alias("made"),
        F.max(F.col("outcome").isin(*ENDED)).alias("ended"),
        F.max_by("detail", "attempt").alias("detail"),
    )
