"""Tables of messages: messages to owners and users, and every attempt to send them."""

from churnwatch.core import column
from churnwatch.settings.terms import DELIVERY_OUTCOMES
from churnwatch.tables.columns import day, one_of, table

NOTIFICATIONS = table(
    "notifications",
    "a message to an owner or a user, written before it is sent and never changed afterwards",
    [
        day("day of the message"),
        column(
            "message_id",
            "string",
            "hash of what the message is about: of an offer day, campaign and user; of others day, kind, owner and topic",
            nullable=False,
        ),
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
        column("earliest_send_at", "timestamp", "instant before which it is not sent; null: at once"),
        column("expires_at", "timestamp", "instant after which it is not sent; null: none"),
        # nullable: messages that were stored before these columns existed lack them
        column("user_id", "string", "user of an offer, as the source gives the key; it is not sent. Null: no offer"),
        column("campaign", "string", "campaign of an offer; null: no offer"),
        column("owner", "string", "owner, or superior for an escalation; null: an offer"),
        column("topic", "string", "alert_id of the warning of a task; null: no task"),
        column("time_zone", "string", "IANA name of the user's time zone; null: not known, or no offer"),
    ],
    ("message_id",),
    kind="log",
    partitions=("day",),
)


DELIVERIES = table(
    "deliveries",
    "an attempt to send a message, or the reason why it is not sent",
    [
        day("day of the message"),
        column("message_id", "string", "message of notifications", nullable=False),
        column("attempt", "integer", "number of the attempt, from 1", nullable=False),
        column("at", "timestamp", "instant of the attempt", nullable=False),
        column(
            "outcome",
            "string",
            "sent, failed, expired, history (not sent: the decision was too old) or suppressed (not sent: the user may not be "
            "contacted any more)",
            nullable=False,
        ),
        column("detail", "string", "answer of the server, the error, or why it is not sent"),
    ],
    ("message_id", "attempt"),
    kind="log",
    rules={"outcome_known": one_of("outcome", DELIVERY_OUTCOMES)},
)
