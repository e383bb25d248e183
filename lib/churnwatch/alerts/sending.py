"""Send the messages that are written and not sent yet, at least once, under the same ids."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.alerts.messages import opted_in
from churnwatch.core.job import Frames
from churnwatch.settings import Settings
from churnwatch.settings.sending import Sending
from churnwatch.settings.terms import CONTACT, EXPIRED, HISTORY, OFFER, SENT, SUPPRESSED

ENDED = (SENT, EXPIRED, HISTORY, SUPPRESSED)  # outcomes after which a message is not tried any more
DELIVERY_DAYS = 7  # a message is tried on its day and on the 7 days after it


def send_messages(inputs: Frames, days: Sequence[date], senders: Any, settings: Settings) -> Mapping[str, Iterator[DataFrame]]:
    """Send what is written and not sent yet, and return this run's attempts, slice by slice.

    ``deliveries``: one row per attempt to send a message of the day or of the DELIVERY_DAYS before, or per reason why it is
    not sent. A message is tried until it is sent, has expired, or had ``sending.max_attempts`` attempts. A slice is sent when
    its frame is taken from the iterator.
    """
    (day,) = days
    ended = ENDED if settings.sending.history_after_days is not None else tuple(o for o in ENDED if o != HISTORY)
    known = with_attempts(inputs["notifications"], inputs["deliveries"], settings.sending.max_attempts, ended)
    waiting = with_withheld(known.where("waiting").drop("waiting"), inputs["actions"], inputs["consents"])
    return {"deliveries": senders.send(waiting, day)}


def with_attempts(messages: DataFrame, deliveries: DataFrame, max_attempts: int, ended: Sequence[str] = ENDED) -> DataFrame:
    """Add ``attempts``, the number of earlier attempts, and ``waiting``: no outcome of ``ended``, attempts left; same grain."""
    return (
        messages.join(_per_message(deliveries, ended), "message_id", "left")  # one row per message
        .withColumn("attempts", F.coalesce("made", F.lit(0)))
        .withColumn("waiting", ~F.coalesce("ended", F.lit(False)) & (F.col("attempts") < max_attempts))
        .drop("made", "ended", "detail")
    )


def with_withheld(messages: DataFrame, actions: DataFrame, consents: DataFrame) -> DataFrame:
    """Add ``withheld``: why an offer may not be sent now; null: it may, or the message is for an owner. Same grain.

    The user must still be treated by the campaign in the day's ``actions``, and opted in by the newest ``consents``. Both may
    have changed since the message was written.
    """
    arms = actions.select("day", "user_id", "campaign", "arm", F.lit(True).alias("assigned"))  # one row per key
    consented = opted_in(consents).withColumn("consented", F.lit(True))  # one row per user and channel
    reason = (
        F.when(F.col("user_id").isNull(), "an older version wrote it, and it names no user")
        .when(F.col("assigned").isNull(), "the user is no longer assigned to the campaign")
        .when(F.coalesce("arm", F.lit("")) != OFFER, "the user is held out")
        .when(F.col("consented").isNull(), f"no consent to {CONTACT}")
    )
    return (
        messages.join(arms, ["day", "user_id", "campaign"], "left")
        .join(consented, ["user_id", "channel"], "left")
        .withColumn("withheld", F.when(F.col("kind") == "offer", reason))
        .drop("arm", "assigned", "consented")
    )


def dead_letters(notifications: DataFrame, deliveries: DataFrame, sending: Sending, tried_since: date) -> DataFrame:
    """Return messages that were not sent and are not tried any more: one row per day, destination and kind.

    They had all their attempts, or their day lies before ``tried_since``, or their destination is not configured. ``detail``
    is the answer to the newest attempt. Of offers, ``destination`` is the channel. A message of the last DELIVERY_DAYS is
    tried again once ``sending.max_attempts`` is raised or its destination is configured.
    """
    unsent = _per_message(deliveries, ENDED).where(~F.col("ended"))
    given_up = (F.col("made") >= sending.max_attempts) | (F.col("day") < F.lit(tried_since))
    if sending.kind == "network":
        is_offer = F.col("kind") == "offer"
        given_up |= F.when(is_offer, ~F.col("channel").isin(list(sending.gateways))).otherwise(
            ~F.col("destination").isin(list(sending.destinations))
        )
    receiver = F.when(F.col("kind") == "offer", F.concat(F.lit("channel "), F.col("channel"))).otherwise(F.col("destination"))
    return (
        notifications.join(unsent, "message_id")  # one row per message
        .where(given_up)
        .groupBy("day", receiver.alias("destination"), "kind")
        .agg(F.count("*").alias("messages"), F.max("detail").alias("detail"))
    )


def _per_message(deliveries: DataFrame, ended: Sequence[str]) -> DataFrame:
    return deliveries.groupBy("message_id").agg(
        F.max("attempt").alias("made"),
        F.max(F.col("outcome").isin(*ended)).alias("ended"),
        F.max_by("detail", "attempt").alias("detail"),
    )
