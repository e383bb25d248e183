"""End a day: close and escalate cases, and write the day's messages. Nothing is sent here."""

from collections.abc import Sequence
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.alerts.closing import make_case_events, select_due_cases
from churnwatch.alerts.messages import (
    COLUMNS,
    day_end,
    message_kind,
    message_topic,
    offer_messages,
    owner_messages,
)
from churnwatch.alerts.states import STILL_OPEN, with_state
from churnwatch.core.job import Frames
from churnwatch.model.judged_cases import case_id
from churnwatch.settings import Settings
from churnwatch.settings.terms import ESCALATED, HISTORY, SENT


def write_messages(inputs: Frames, days: Sequence[date], senders: Any, settings: Settings) -> Frames:
    """Return the day's messages, and the events of cases that are closed or escalated.

    ``notifications``: one row per message of the day; ``alert_events``: one row per case. A message that is stored already is
    a fact: no second row has its id, and nobody gets a second offer of a campaign and day. The digests hold open cases of
    earlier days too, whose messages are missing or were not sent because they were history.
    """
    (day,) = days
    alerts, alert_events, stored = inputs["alerts"], inputs["alert_events"], inputs["notifications"]
    cases = senders.stage("cases", select_due_cases(alerts, alert_events, inputs["labels"], day, settings))
    escalates = settings.owners.superiors or settings.owners.superior_of_others
    written = owner_messages(
        alerts.where(F.col("day") == F.lit(day)),
        cases.where(F.col("superior").isNotNull()) if escalates else None,
        day,
        senders.keyed_id,
        settings,
        untold_warnings(alerts, alert_events, cases, stored, inputs["deliveries"], day, settings),
    ).unionByName(
        offer_messages(inputs["actions"], inputs["consents"], inputs.get("users"), day, senders.keyed, settings, senders.fixed)
    )
    of_day = stored.where(F.col("day") == F.lit(day))
    # a key of ids that was changed since gives the same offer another id
    offered = of_day.where(F.col("kind") == "offer").select("user_id", "campaign")
    # messages of an older version have ids made in another way
    older = of_day.where(F.coalesce("owner", "user_id").isNull()).select("kind", "destination").distinct()
    return {
        "notifications": written.join(offered, ["user_id", "campaign"], "left_anti")
        .join(older, ["kind", "destination"], "left_anti")
        .select(*COLUMNS),
        "alert_events": make_case_events(cases, day, day_end(day, settings)),
    }


def untold_warnings(
    alerts: DataFrame,
    alert_events: DataFrame,
    due: DataFrame,
    notifications: DataFrame,
    deliveries: DataFrame,
    day: date,
    settings: Settings,
) -> DataFrame:
    """Return open cases of earlier days about which somebody got no message: one row per case and receiver.

    The row is the case's newest warning, with the receiver as ``owner``: its owner, and the superior after an escalation. A
    receiver got a message unless the one about the warning or the escalation, and every later digest, ended as history. Cases
    that are closed on ``day`` (``due`` with an outcome) are left out.
    """
    open_now = with_state(alerts, alert_events).where(F.col("state").isin(*STILL_OPEN)).withColumn("case", case_id())
    closed = due.where(F.col("outcome").isNotNull()).select("case")
    newest = F.max_by(F.struct(*alerts.columns), F.struct("day", "alert_id")).alias("newest")
    cases = open_now.join(closed, "case", "left_anti").groupBy("case").agg(newest).where(F.col("newest.day") < F.lit(day))
    own = cases.select("case", "newest.*").select(
        "case", "owner", message_kind(settings).alias("kind"), message_topic().alias("topic"), "day"
    )
    escalations = alert_events.where((F.col("action") == ESCALATED) & (F.col("day") < F.lit(day))).select(
        F.col("alert_id").alias("case"), "owner", F.lit("escalation").alias("kind"), F.lit("").alias("topic"), "day"
    )
    owed = own.unionByName(escalations.join(cases.select("case", "newest"), "case", "left_semi")).withColumn(
        "destination", _destination(settings)
    )
    told = _sent_or_waiting(notifications.where(F.col("day") < F.lit(day)), deliveries)
    same = ["destination", "kind", "day"]
    about = told.select(*same, F.col("topic").alias("told_topic"))
    # messages of an older version have no topic
    by_itself = [owed[n] == about[n] for n in same] + [F.coalesce(about["told_topic"], owed["topic"]) == owed["topic"]]
    digests = told.where(F.col("kind") == "digest").groupBy("destination").agg(F.max("day").alias("digest_day"))
    receivers = (
        owed.join(about, by_itself, "left_anti")
        .join(digests, "destination", "left")  # one row per destination
        .where(F.col("digest_day").isNull() | (F.col("digest_day") <= F.col("day")))
        .select("case", F.col("owner").alias("receiver"))
        .distinct()
    )
    return receivers.join(cases, "case").select("newest.*", "receiver").drop("owner").withColumnRenamed("receiver", "owner")


def _sent_or_waiting(notifications: DataFrame, deliveries: DataFrame) -> DataFrame:
    """Keep messages to owners but those that are history and were never sent; same grain."""
    is_history = F.bool_or(F.col("outcome") == HISTORY) & ~F.bool_or(F.col("outcome") == SENT)
    history = deliveries.groupBy("message_id").agg(is_history.alias("history")).where("history")
    return notifications.where(F.col("kind") != "offer").join(history, "message_id", "left_anti")


def _destination(settings: Settings) -> Column:
    """Destination of the column ``owner``."""
    known = settings.owners.destinations.items()
    return reduce(lambda rest, one: F.when(F.col("owner") == one[0], one[1]).otherwise(rest), known, F.col("owner"))
