"""Tables of messages: messages to owners and users, and every attempt to send them."""

from churnwatch.core import column
from churnwatch.settings.terms import DELIVERY_OUTCOMES
from churnwatch.tables.columns import day, one_of, table

NOTIFICATIONS = table(
    "notifications",
    "a message to an owner or a user",
    [
        day("day of the message"),
        column("message_id", "string", "hash of day, destination and content", nullable=False),
        column(
            "kind",
            "string",
            "to an owner: task (warning of a group), urgent, digest or escalation (overdue); to a user: offer",
            nullable=False,
        ),
        column(
            "destination",
            "string",
            "name of a destination of sending, or the keyed hash of the user",
            nullable=False,
        ),
        column("channel", "string", "channel of the message", nullable=False),
        column("subject", "string", "subject line", nullable=False),
        column("body", "string", "text of the message", nullable=False),
        column(
            "earliest_send_at",
            "timestamp",
            "instant before which a gateway does not deliver it; null: at once",
        ),
        column("expires_at", "timestamp", "instant after which it is not sent; null: none"),
    ],
    ("day", "message_id"),
    partitions=("day",),
)


DELIVERIES = table(
    "deliveries",
    "an attempt to send a message",
    [
        day("day of the message"),
        column("message_id", "string", "message of notifications", nullable=False),
        column("attempt", "integer", "number of the attempt, from 1", nullable=False),
        column("at", "timestamp", "instant of the attempt", nullable=False),
        column("outcome", "string", "sent, failed or expired", nullable=False),
        column("detail", "string", "answer of the server, or the error"),
    ],
    ("message_id", "attempt"),
    kind="log",
    rules={"outcome_known": one_of("outcome", DELIVERY_OUTCOMES)},
)
