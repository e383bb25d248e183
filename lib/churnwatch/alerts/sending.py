"""End a day: close and escalate cases, write the day's messages, and send what is due, at least once."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.alerts.closing import make_case_events, select_due_cases
from churnwatch.alerts.messages import COLUMNS, day_end, offer_messages, only_still_consented, owner_messages
from churnwatch.core.job import Frames
from churnwatch.settings import Settings
from churnwatch.settings.sending import Sending
from churnwatch.settings.terms import EXPIRED, SENT

ENDED = (SENT, EXPIRED)
DELIVERY_DAYS = 7  # a message is tried on its day and on the 7 days after it


def send_notifications(inputs: Frames, days: Sequence[date], senders: Any, settings: Settings) -> Frames:
    """Return the day's messages, this run's attempts to send, and the events of cases that are closed or escalated.

    ``notifications``: one row per message of the day. ``deliveries``: one row per attempt to send a message of the day or of
    the DELIVERY_DAYS before. ``alert_events``: one row per case. A message is tried until it is sent, has expired by the end
    of the day, or had ``sending.max_attempts`` attempts. Sends now: evaluating the frames again sends nothing.
    """
    (day,) = days
    end = day_end(day, settings)
    cases = senders.stage("cases", select_due_cases(inputs["alerts"], inputs["alert_events"], inputs["labels"], day, settings))
    escalates = settings.owners.superiors or settings.owners.superior_of_others
    messages = owner_messages(
        inputs["alerts"].where(F.col("day") == F.lit(day)),
        cases.where(F.col("superior").isNotNull()) if escalates else None,
        day,
        senders.keyed_id,
        settings,
    ).unionByName(offer_messages(inputs["actions"], inputs["consents"], day, senders.keyed))
    earlier = inputs["notifications"].where(F.col("day") < F.lit(day))
    unsent = only_still_consented(earlier, inputs["consents"], day, senders.keyed)
    known = with_attempts(messages.unionByName(unsent), inputs["deliveries"], settings.sending.max_attempts)
    late = F.col("waiting") & F.coalesce(F.col("expires_at") <= end, F.lit(False))
    outbox = senders.send(
        known.where((F.col("day") == F.lit(day)) | F.col("waiting"))
        .withColumns({"expired": late, "due": F.col("waiting") & ~late})
        .drop("waiting")
    )
    expiry = F.struct(
        (F.col("attempts") + 1).alias("attempt"),
        F.col("expires_at").alias("at"),
        F.lit(EXPIRED).alias("outcome"),
        F.lit("expired before it was sent").alias("detail"),
    )
    tries = F.when(F.col("expired"), F.array(expiry)).otherwise(F.col("tries"))
    return {
        "notifications": outbox.where(F.col("day") == F.lit(day)).select(*COLUMNS),
        "deliveries": outbox.select("day", "message_id", F.explode(tries).alias("try")).select("day", "message_id", "try.*"),
        "alert_events": make_case_events(cases, day, end),
    }


def with_attempts(messages: DataFrame, deliveries: DataFrame, max_attempts: int) -> DataFrame:
    """Add ``attempts``, the number of earlier attempts, and ``waiting``: not sent, not expired, attempts left; same grain."""
    return (
        messages.join(_per_message(deliveries), "message_id", "left")  # one row per message
        .withColumn("attempts", F.coalesce("made", F.lit(0)))
        .withColumn("waiting", ~F.coalesce("ended", F.lit(False)) & (F.col("attempts") < max_attempts))
        .drop("made", "ended", "detail")
    )


def dead_letters(notifications: DataFrame, deliveries: DataFrame, sending: Sending, tried_since: date) -> DataFrame:
    """Return messages that were not sent and are not tried any more: one row per day, destination and kind.

    They had all their attempts, or their day lies before ``tried_since``, or their destination is not configured. ``detail``
    is the answer to the newest attempt. Of offers, ``destination`` is the channel. A message of the last DELIVERY_DAYS is
    tried again once ``sending.max_attempts`` is raised or its destination is configured.
    """
    unsent = _per_message(deliveries).where(~F.col("ended"))
    given_up = (F.col("made") >= sending.max_attempts) | (F.col("day") < F.lit(tried_since))
    if sending.kind == "network":
        given_up |= (F.col("kind") != "offer") & ~F.col("destination").isin(list(sending.destinations))
    receiver = F.when(F.col("kind") == "offer", F.concat(F.lit("channel "), F.col("channel"))).otherwise(F.col("destination"))
    return (
        notifications.join(unsent, "message_id")  # one row per message
        .where(given_up)
        .groupBy("day", receiver.alias("destination"), "kind")
        .agg(F.count("*").alias("messages"), F.max("detail").alias("detail"))
    )


def _per_message(deliveries: DataFrame) -> DataFrame:
    return deliveries.groupBy("message_id").agg(
        F.max("attempt").alias("made"),
        F.max(F.col("outcome").isin(*ENDED)).alias("ended"),
        F.max_by("detail", "attempt").alias("detail"),
    )
