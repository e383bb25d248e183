"""Tables of messages: what was written to owners and users, and every attempt to send it."""

from churnwatch.core import column
from churnwatch.settings.terms import DELIVERY_OUTCOMES
from churnwatch.tables.columns import day, one_of, table

NOTIFICATIONS = table(
    "notifications",
    "messages to owners and users",
    [
        day("day of the message"),
        column("message_id", "string", "hash of day, destination and content", nullable=False),
        column(
            "kind",
            "string",
            "to an owner: task (a group's warning), urgent, digest, escalation (overdue); to a user: offer",
            nullable=False,
        ),
        column(
            "destination",
            "string",
            "name of a destination in conf, or the user's keyed hash",
            nullable=False,
        ),
        column("channel", "string", "channel", nullable=False),
        column("subject", "string", "subject", nullable=False),
        column("body", "string", "text of the message", nullable=False),
        column(
            "earliest_send_at",
            "timestamp",
            "instant before which a gateway does not hand it to the user",
        ),
        column("expires_at", "timestamp", "instant after which it is not sent"),
    ],
    ("day", "message_id"),
    partitions=("day",),
)


DELIVERIES = table(
    "deliveries",
    "attempts to send messages",
    [
        day("day of the message"),
        column("message_id", "string", "message", nullable=False),
        column("attempt", "integer", "number of the attempt, from 1", nullable=False),
        column("at", "timestamp", "instant of the attempt", nullable=False),
        column("outcome", "string", "sent, failed or expired", nullable=False),
        column("detail", "string", "answer of the server, or the error"),
    ],
    ("message_id", "attempt"),
    kind="log",
    rules={"outcome_known": one_of("outcome", DELIVERY_OUTCOMES)},
)
