"""Write the messages of a day: tasks, urgent messages, digests and escalations to owners, and offers to users."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import reduce
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.core.small_frames import collect_together
from churnwatch.settings import Settings
from churnwatch.settings.terms import CONTACT, OFFER, UNKNOWN

Keyed = Callable[[DataFrame, str], DataFrame]
Row = Mapping[str, Any]

TOP = 20  # warnings that a message to an owner lists
SHOWN_DIGITS = 16  # of a user's keyed hash
OWNER_CHANNEL = "owner"
MESSAGE = ("owner", "kind", "topic")  # key of a message to an owner; topic: the warning of a task, else ""
SHOWN = ("user_id", "segment", "value", "rule_id", "level", "evidence", "due_on")  # what a message says of a warning
RANKED_BY = ("alert_id", "value_at_risk_cents")
COLUMNS = ("day", "message_id", "kind", "destination", "channel", "subject", "body", "earliest_send_at", "expires_at")
COLUMNS_ARROW = pa.schema(
    [
        ("day", pa.date32()),
        *((name, pa.string()) for name in COLUMNS[1:7]),
        *((name, pa.timestamp("us", tz="UTC")) for name in COLUMNS[7:]),
    ]
)
SEPARATOR = "\x1f"  # between the parts that a message's id is made of
ADJECTIVES = {"urgent": "urgent ", "escalation": "overdue "}
HEADINGS = {"task": "Warnings of a group", "urgent": "Urgent warnings", "escalation": "Overdue warnings"}


def owner_messages(
    alerts: DataFrame, overdue: DataFrame | None, day: date, hash_user: Callable[[str], str], settings: Settings
) -> DataFrame:
    """Return the messages about the day's warnings, one row per message; each warning is in exactly one message.

    One task per warning of a group or the base; per owner one urgent message for warnings of ``sending.urgent_levels`` and
    one digest for the others; per superior one escalation for the cases of ``overdue``. Each message counts warnings by level
    and cause, and lists the TOP most urgent. A user appears as a hash (``hash_user``), and as "a user" in chats unless
    ``user_ids`` is true for the destination. The alert_id of a user's warning is left out, because it is a hash without a key.
    Collects the counts and the listed warnings: bounded by owners, levels and causes.
    """
    is_user = F.col("scope") == "user"
    kind = F.when(~is_user, "task").when(F.col("level").isin(*settings.sending.urgent_levels), "urgent").otherwise("digest")
    topic = F.when(is_user, "").otherwise(F.col("alert_id"))
    cause = F.coalesce("cause", F.lit(UNKNOWN)).alias("cause")
    warnings = alerts.select("owner", kind.alias("kind"), topic.alias("topic"), cause, *SHOWN, *RANKED_BY)
    if overdue is not None:
        escalated = (F.col("superior").alias("owner"), F.lit("escalation").alias("kind"), F.lit("").alias("topic"))
        warnings = warnings.unionByName(overdue.select(*escalated, cause, *SHOWN, *RANKED_BY))
    order = [_rank(settings).desc(), F.desc_nulls_last("value_at_risk_cents"), F.col("due_on"), F.col("alert_id")]
    place = F.row_number().over(Window.partitionBy(*MESSAGE).orderBy(*order))
    found = collect_together(
        {
            "counts": warnings.groupBy(*MESSAGE, "level", "cause").agg(F.count("*").alias("n")),
            "top": warnings.withColumn("place", place).where(F.col("place") <= TOP).drop(*RANKED_BY),
        }
    )
    counts, top = (_per_message(found[name].to_pylist()) for name in ("counts", "top"))
    messages = [_owner_message(key, counts[key], top[key], day, hash_user, settings) for key in sorted(counts)]
    return alerts.sparkSession.createDataFrame(pa.Table.from_pylist(messages, COLUMNS_ARROW))


def _per_message(rows: Iterable[Row]) -> dict[tuple[str, ...], list[Row]]:
    grouped: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        grouped.setdefault(tuple(row[name] for name in MESSAGE), []).append(row)
    return grouped


def _owner_message(
    key: tuple[str, ...],
    counts: Sequence[Row],
    top: Sequence[Row],
    day: date,
    hash_user: Callable[[str], str],
    settings: Settings,
) -> Row:
    owner, kind, topic = key
    levels = [level.name for level in settings.tiers.levels]
    ranks = {name: place for place, name in enumerate(levels)}
    ordered = sorted(counts, key=lambda c: (-ranks.get(c["level"], -1), -c["n"], c["cause"], c["level"]))
    total = sum(c["n"] for c in counts)
    destination = settings.owners.destinations.get(owner, owner)
    place = settings.sending.destinations.get(destination)
    hide_users = place is not None and place.is_chat and not place.user_ids
    if kind == "task":
        subject = f"churnwatch {day}: task for {owner}, {ordered[0]['level']}, {ordered[0]['cause']}"
        command = f"say what was done: churnwatch alerts act {topic} --who ..."
    else:
        subject = f"churnwatch {day}: {total} {ADJECTIVES.get(kind, '')}warnings for {owner}"
        command = f"all of them: churnwatch alerts list --owner {owner}"
    lines = [
        f"{HEADINGS.get(kind, 'Warnings')} of {day} for {owner}: {total}",
        "",
        "By level and cause",
        *(f"  {c['level']:<7} {c['cause']:<16} {c['n']}" for c in ordered),
        "",
        f"First to look at ({len(top)} of {total})",
        *(_warning_line(row, hash_user, hide_users) for row in sorted(top, key=lambda row: row["place"])),
        "",
        command,
        "",
    ]
    message = {"day": day, "kind": kind, "destination": destination, "channel": OWNER_CHANNEL, "subject": subject}
    message["body"] = "\n".join(lines)
    content = SEPARATOR.join(str(message[name]) for name in ("day", "destination", "channel", "subject", "body"))
    return message | {"message_id": hashlib.sha256(content.encode()).hexdigest()[:32]}


def _warning_line(row: Row, hash_user: Callable[[str], str], hide_users: bool) -> str:
    if row["user_id"] is None:
        about = f"{row['segment']}={row['value']}"
    else:
        about = "a user" if hide_users else f"user {hash_user(row['user_id'])[:SHOWN_DIGITS]}"
    return f"  {row['level']:<7} {about}, {row['cause']}, by {row['due_on']}, {row['rule_id']}: {row['evidence']}"


def offer_messages(actions: DataFrame, consents: DataFrame, day: date, keyed: Keyed) -> DataFrame:
    """Return one message per treated user and campaign, if the user has opted in to contact on the offer's channel.

    The body is an instruction to the channel's gateway, which holds the texts. It never says why a user gets the offer.
    """
    allowed = actions.where((F.col("arm") == OFFER) & F.col("offer").isNotNull()).join(
        _opted_in(consents, day), ["user_id", "channel"], "left_semi"
    )
    named = keyed(allowed.select("user_id", "campaign", "offer", "channel", "earliest_send_at", "expires_at"), "user_id")
    body = F.format_string(
        "offer: %s\ncampaign: %s\nnot before: %s\nexpires: %s\n",
        *("offer", "campaign", _instant("earliest_send_at"), _instant("expires_at")),
    )
    messages = named.select(
        F.lit(day).alias("day"),
        F.lit("offer").alias("kind"),
        F.col("user_id").alias("destination"),
        "channel",
        F.col("offer").alias("subject"),
        body.alias("body"),
        "earliest_send_at",
        "expires_at",
    )
    # the id is made as that of a message to an owner
    content = F.concat_ws(SEPARATOR, F.col("day").cast("string"), "destination", "channel", "subject", "body")
    return messages.withColumn("message_id", F.substring(F.sha2(content, 256), 1, 32)).select(*COLUMNS)


def only_still_consented(unsent: DataFrame, consents: DataFrame, day: date, keyed: Keyed) -> DataFrame:
    """Drop offers to users who have withdrawn their consent since; same grain."""
    opted_in = keyed(_opted_in(consents, day), "user_id").withColumnRenamed("user_id", "destination")
    is_offer = F.col("kind") == "offer"
    return unsent.where(~is_offer).unionByName(unsent.where(is_offer).join(opted_in, ["destination", "channel"], "left_semi"))


def _opted_in(consents: DataFrame, day: date) -> DataFrame:
    """Return users and channels with an opt-in to contact in force on ``day``: one row each."""
    in_force = (F.col("day") <= F.lit(day)) & (F.col("until") >= F.lit(day))
    return consents.where(in_force & (F.col("purpose") == CONTACT) & F.col("granted")).select("user_id", "channel")


def day_end(day: date, settings: Settings) -> Column:
    """Return the instant at which ``day`` ends in ``clock.time_zone``."""
    midnight = F.lit(str(day + timedelta(days=1))).cast("timestamp")
    return F.to_utc_timestamp(midnight, settings.clock.time_zone)


def _rank(settings: Settings) -> Column:
    names = [level.name for level in settings.tiers.levels]
    return reduce(lambda rest, n: F.when(F.col("level") == names[n], n + 1).otherwise(rest), range(len(names)), F.lit(0))


def _instant(name: str) -> Column:
    return F.coalesce(F.date_format(name, "yyyy-MM-dd'T'HH:mm:ss'Z'"), F.lit("-"))
