"""Write the messages of a day: tasks, urgent messages, digests and escalations to owners, and offers to users."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import reduce
from pathlib import PurePath
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from churnwatch.core.small_frames import collect_together
from churnwatch.settings import Settings
from churnwatch.settings.terms import CONTACT, OFFER, UNKNOWN
from churnwatch.tables.messages import NOTIFICATIONS

Keyed = Callable[[DataFrame, str], DataFrame]
Row = Mapping[str, Any]

TOP = 20  # warnings that a message to an owner lists
SHOWN_DIGITS = 16  # of a user's keyed hash
OWNER_CHANNEL = "owner"
MESSAGE = ("owner", "kind", "topic")  # what a message to an owner is about; topic: the warning of a task, else ""
SHOWN = ("user_id", "segment", "value", "rule_id", "level", "evidence", "due_on")  # what a message says of a warning
RANKED_BY = ("alert_id", "value_at_risk_cents", "day")
COLUMNS = NOTIFICATIONS.schema.names
ID_DIGITS = 32  # of a message's id
SEPARATOR = "\x1f"  # between the parts that a message's id is made of
ADJECTIVES = {"urgent": "urgent ", "escalation": "overdue "}
HEADINGS = {"task": "Warnings of a group", "urgent": "Urgent warnings", "escalation": "Overdue warnings"}


def owner_messages(
    alerts: DataFrame,
    overdue: DataFrame | None,
    day: date,
    hash_user: Callable[[str], str],
    settings: Settings,
    untold: DataFrame | None = None,
) -> DataFrame:
    """Return the messages about the day's warnings, one row per message; each warning is in exactly one message.

    One task per warning of a group or the base; per owner one urgent message for warnings of ``sending.urgent_levels`` and
    one digest for the others; per superior one escalation for the cases of ``overdue``. ``untold``: warnings of earlier days
    whose message was not sent; they enter the digest. Each message counts warnings by level and cause, and lists the TOP most
    urgent. A user appears as a hash (``hash_user``), and as "a user" in chats unless ``user_ids`` is true for the destination.
    The alert_id of a user's warning is left out, because it is a hash without a key. Collects the counts and the listed
    warnings: bounded by owners, levels and causes.
    """
    cause = F.coalesce("cause", F.lit(UNKNOWN)).alias("cause")
    kind, topic = message_kind(settings).alias("kind"), message_topic().alias("topic")
    warnings = alerts.select("owner", kind, topic, cause, *SHOWN, *RANKED_BY)
    for frame, owner, name in ((overdue, "superior", "escalation"), (untold, "owner", "digest")):
        if frame is not None:
            key = (F.col(owner).alias("owner"), F.lit(name).alias("kind"), F.lit("").alias("topic"))
            warnings = warnings.unionByName(frame.select(*key, cause, *SHOWN, *RANKED_BY))
    order = [_rank(settings).desc(), F.desc_nulls_last("value_at_risk_cents"), F.col("due_on"), F.col("alert_id")]
    place = F.row_number().over(Window.partitionBy(*MESSAGE).orderBy(*order))
    earlier = F.count_if((F.col("kind") == "digest") & (F.col("day") < F.lit(day)))
    found = collect_together(
        {
            "counts": warnings.groupBy(*MESSAGE, "level", "cause").agg(F.count("*").alias("n"), earlier.alias("earlier")),
            "top": warnings.withColumn("place", place).where(F.col("place") <= TOP).drop(*RANKED_BY),
        }
    )
    counts, top = (_per_message(found[name].to_pylist()) for name in ("counts", "top"))
    messages = [_owner_message(key, counts[key], top[key], day, hash_user, settings) for key in sorted(counts)]
    columns = pa.Table.from_pylist(messages, to_arrow_schema(NOTIFICATIONS.schema, timezone="UTC"))
    return alerts.sparkSession.createDataFrame(columns, NOTIFICATIONS.schema)


def message_kind(settings: Settings) -> Column:
    """Return the kind of the message about a new warning: task, urgent or digest."""
    urgent = F.col("level").isin(*settings.sending.urgent_levels)
    return F.when(F.col("scope") != "user", "task").when(urgent, "urgent").otherwise("digest")


def message_topic() -> Column:
    """Return the topic of the message about a new warning: the alert_id of a task, else an empty text."""
    return F.when(F.col("scope") == "user", "").otherwise(F.col("alert_id"))


def destination_of(owner: str, settings: Settings) -> str:
    """Return the destination of messages to ``owner``: the owner's own name where none is configured."""
    return settings.owners.destinations.get(owner, owner)


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
    earlier = sum(c["earlier"] for c in counts)
    destination = destination_of(owner, settings)
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
        *([f"{earlier} of them are of earlier days and still open; no message about them was sent"] if earlier else []),
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
    about = (domain_name(settings), str(day), kind, owner, topic)
    return {
        "day": day,
        "message_id": hashlib.sha256(SEPARATOR.join(about).encode()).hexdigest()[:ID_DIGITS],
        "kind": kind,
        "destination": destination,
        "channel": OWNER_CHANNEL,
        "subject": subject,
        "body": "\n".join(lines),
        "owner": owner,
        "topic": topic or None,
    }


def domain_name(settings: Settings) -> str:
    """Return the name of the domain, so that messages of two domains about the same owner and day have two ids."""
    return PurePath(settings.domain).name


def _warning_line(row: Row, hash_user: Callable[[str], str], hide_users: bool) -> str:
    if row["user_id"] is None:
        about = f"{row['segment']}={row['value']}"
    else:
        about = "a user" if hide_users else f"user {hash_user(row['user_id'])[:SHOWN_DIGITS]}"
    return f"  {row['level']:<7} {about}, {row['cause']}, by {row['due_on']}, {row['rule_id']}: {row['evidence']}"


def offer_messages(
    actions: DataFrame,
    consents: DataFrame,
    users: DataFrame | None,
    day: date,
    keyed: Keyed,
    settings: Settings,
    fixed: Keyed | None = None,
) -> DataFrame:
    """Return one message per treated user and campaign, if the user has opted in to contact on the offer's channel.

    The body is an instruction to the channel's gateway, which holds the texts. It never says why a user gets the offer. The id
    is a hash of the domain, day, campaign and the user's hash by ``fixed`` (None: ``keyed``), whatever the message says: a user
    gets one offer of a campaign and day, also when the key of ``keyed`` has changed. ``users``: rows in force on ``day``, with
    the time zones; None: no zone is known.
    """
    allowed = actions.where((F.col("arm") == OFFER) & F.col("offer").isNotNull()).join(
        opted_in(consents.where((F.col("day") <= F.lit(day)) & (F.col("until") >= F.lit(day)))),
        ["user_id", "channel"],
        "left_semi",
    )
    zone: Column = F.lit(None).cast("string")
    if users is not None and (attribute := settings.offers.time_zone_attribute):
        zones = users.select("user_id", F.col("attributes")[attribute].alias("time_zone"))  # one row per user
        allowed, zone = allowed.join(zones, "user_id", "left"), F.col("time_zone")
    named = keyed(
        allowed.select(
            "user_id",
            F.col("user_id").alias("destination"),
            zone.alias("time_zone"),
            *("campaign", "offer", "channel", "earliest_send_at", "expires_at"),
        ),
        "destination",
    )
    body = F.format_string(
        "offer: %s\ncampaign: %s\nnot before: %s\nexpires: %s\n",
        *("offer", "campaign", _instant("earliest_send_at"), _instant("expires_at")),
    )
    named = (fixed or keyed)(named.withColumn("_user", F.col("user_id")), "_user")
    about = F.concat_ws(SEPARATOR, F.lit(domain_name(settings)), F.lit(str(day)), F.lit("offer"), "campaign", "_user")
    made = {
        "day": F.lit(day),
        "message_id": F.substring(F.sha2(about, 256), 1, ID_DIGITS),
        "kind": F.lit("offer"),
        "subject": F.col("offer"),
        "body": body,
        "owner": F.lit(None).cast("string"),
        "topic": F.lit(None).cast("string"),
    }
    return named.withColumns(made).select(*COLUMNS)


def opted_in(consents: DataFrame) -> DataFrame:
    """Return users and channels with an opt-in to contact: one row each. ``consents``: the rows in force on a day."""
    return consents.where((F.col("purpose") == CONTACT) & F.col("granted")).select("user_id", "channel")


def day_end(day: date, settings: Settings) -> Column:
    """Return the instant at which ``day`` ends in ``clock.time_zone``."""
    midnight = F.lit(str(day + timedelta(days=1))).cast("timestamp")
    return F.to_utc_timestamp(midnight, settings.clock.time_zone)


def _rank(settings: Settings) -> Column:
    names = [level.name for level in settings.tiers.levels]
    return reduce(lambda rest, n: F.when(F.col("level") == names[n], n + 1).otherwise(rest), range(len(names)), F.lit(0))


def _instant(name: str) -> Column:
    return F.coalesce(F.date_format(name, "yyyy-MM-dd'T'HH:mm:ss'Z'"), F.lit("-"))
