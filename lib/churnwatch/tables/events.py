"""Tables of ingest: events, the rows that were rejected, and changes of users, consents and context."""

from churnwatch.core import column
from churnwatch.tables.columns import STRINGS, TEXT_BY_NAME, day, table, user

FULL = column("full", "boolean", "true on rows of a full restatement (first of a month)", nullable=False)


REJECTED_EVENTS = table(
    "rejected_events",
    "rows of a source that cannot be events, with every reason",
    [
        day("business day of the row's time, else the file's {day}, else 1970-01-01"),
        column("source", "string", "name of the source in sources.yaml", nullable=False),
        column(
            "reject_id",
            "string",
            "hash of file, raw row and its ordinal among identical rows",
            nullable=False,
        ),
        column("file", "string", "file or table that the row came from"),
        column("reasons", STRINGS, "every reason why the row was refused, sorted", nullable=False),
        column("raw", "string", "the row as the source gave it"),
    ],
    ("day", "source", "reject_id"),
    replace_key=("day", "source"),
    partitions=("day", "source"),
    rules={"has_reason": "size(reasons) > 0"},
)


USERS = table(
    "users",
    "changes of users' attributes; a full restatement on the first of each month",
    [
        day("day from which the row is in force"),
        user(),
        column("registered_on", "date", "day of registration, where the source knows it"),
        column("changed_at", "timestamp", "instant of the change, where the source knows it"),
        column("attributes", TEXT_BY_NAME, "attributes by name, as sources.yaml maps them"),
        FULL,
    ],
    ("day", "user_id"),
    pick="latest",
    pick_key=("user_id",),
    full_column="full",
    partitions=("day",),
)


CONSENTS = table(
    "consents",
    "changes of users' consents; a full restatement on the first of each month",
    [
        day("day from which the row is in force"),
        user(),
        column(
            "channel",
            "string",
            "channel of contact; 'profiling' for the use of data itself",
            nullable=False,
        ),
        column("purpose", "string", "purpose of the consent", nullable=False),
        column("granted", "boolean", "true: opted in; false: opted out", nullable=False),
        column("changed_at", "timestamp", "instant of the change, where the source knows it"),
        FULL,
    ],
    ("day", "user_id", "channel", "purpose"),
    pick="latest",
    pick_key=("user_id", "channel", "purpose"),
    full_column="full",
    partitions=("day",),
)


CONTEXT = table(
    "context",
    "changes of series that are no user's: prices, competitors, staff, market",
    [
        day("day from which the value is in force (published)"),
        column("scope", "string", "what the value is about: 'base' or segment=value", nullable=False),
        column("name", "string", "name of the series", nullable=False),
        column("value", "double", "value, in the series' own unit"),
        column("changed_at", "timestamp", "instant of publication, where the source knows it"),
        FULL,
    ],
    ("day", "scope", "name"),
    pick="latest",
    pick_key=("scope", "name"),
    full_column="full",
)


EVENTS = table(
    "events",
    "canonical events, cleaned and without duplicates",
    [
        day(),
        column(
            "event_id",
            "string",
            "the source's id, unique within day and source; else a hash of the row and its ordinal among identical rows",
            nullable=False,
        ),
        user(),
        column("event_time", "timestamp", "instant of the event", nullable=False),
        column("event_type", "string", "type of the event", nullable=False),
        column("amount_cents", "long", "money of the event, cents"),
        column("duration_ms", "long", "duration of the event, milliseconds"),
        column("item_id", "string", "what the event is about: page, product, function"),
        column("session_id", "string", "session as the source gives it"),
        column("channel", "string", "channel as the source gives it"),
        column("properties", TEXT_BY_NAME, "further fields by name"),
        column("source", "string", "name of the source in sources.yaml", nullable=False),
    ],
    ("day", "source", "event_id"),
    rules={
        "user_not_blank": "length(trim(user_id)) > 0",
        "duration_not_negative": "duration_ms IS NULL OR duration_ms >= 0",
    },
    complete=True,
    partitions=("day",),
)
