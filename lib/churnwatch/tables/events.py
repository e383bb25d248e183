"""Tables of ingest: events, the rows that were rejected, and changes of users, consents and context."""

from churnwatch.core import column
from churnwatch.tables.columns import COUNT_BY_HOUR, COUNT_BY_NAME, STRINGS, TEXT_BY_NAME, day, table, user

FULL = column("full", "boolean", "true on rows of a full restatement, which the first of each month holds", nullable=False)


REJECTED_EVENTS = table(
    "rejected_events",
    "a row of a source that was refused, with every reason",
    [
        day("business day of the row's time; without a time the {day} of the file, else 1970-01-01"),
        column("source", "string", "name of the source in sources.yaml", nullable=False),
        column(
            "reject_id",
            "string",
            "hash of file, raw row, and its number among identical rows",
            nullable=False,
        ),
        column("file", "string", "file or table from which the row was read"),
        column("reasons", STRINGS, "every reason why the row was refused, sorted", nullable=False),
        column("raw", "string", "the row as it was read"),
    ],
    ("day", "source", "reject_id"),
    replace_key=("day", "source"),
    partitions=("day", "source"),
    rules={"has_reason": "size(reasons) > 0"},
)


SOURCE_DAYS = table(
    "source_days",
    "a source and a day for which it gave rows: how many, at which hours, and how many without a value in each field",
    [
        day("business day of the rows; of users, consents and context the day from which they are in force"),
        column("source", "string", "name of the source in sources.yaml", nullable=False),
        column("rows", "long", "accepted rows", nullable=False),
        column("hours", COUNT_BY_HOUR, "accepted events by hour of the local day, 0 to 23; null: the source has no events"),
        column("nulls", COUNT_BY_NAME, "accepted rows without a value, by mapped field"),
    ],
    ("day", "source"),
    partitions=("day",),
)


USERS = table(
    "users",
    "a change of a user's attributes; on the first of each month all users are restated",
    [
        day("day from which the row is in force, until a newer row of the same key"),
        user(),
        column("registered_on", "date", "day of registration; null: the source does not say"),
        column("changed_at", "timestamp", "instant of the change; null: the source does not say"),
        column("attributes", TEXT_BY_NAME, "attributes by name, as the map of sources.yaml names them"),
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
    "a change of a user's consent; on the first of each month all consents are restated",
    [
        day("day from which the row is in force, until a newer row of the same key"),
        user(),
        column(
            "channel",
            "string",
            "channel of contact; 'profiling': the use of data for features and scores",
            nullable=False,
        ),
        column("purpose", "string", "purpose of the consent: contact or profiling", nullable=False),
        column("granted", "boolean", "true: opted in; false: opted out", nullable=False),
        column("changed_at", "timestamp", "instant of the change; null: the source does not say"),
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
    "a change of a series that does not belong to one user: prices, competitors, staff, market; restated monthly",
    [
        day("day from which the value is in force: the day of its publication"),
        column("scope", "string", "whom the value concerns: 'base' (all users) or segment=value", nullable=False),
        column("name", "string", "name of the series", nullable=False),
        column("value", "double", "value, in the unit of the series"),
        column("changed_at", "timestamp", "instant of publication; null: the source does not say"),
        FULL,
    ],
    ("day", "scope", "name"),
    pick="latest",
    pick_key=("scope", "name"),
    full_column="full",
)


INGESTED_FILES = table(
    "ingested_files",
    "what ingest has taken from the files of a day of a source for a business day, so that what comes later is noticed",
    [
        day(),
        column("source", "string", "name of the source in sources.yaml", nullable=False),
        column("file_day", "date", "{day} of the files; 1970-01-01: the source's files have none", nullable=False),
        column("files", "string", "number, bytes and hash of names, sizes and times of files; empty: a table", nullable=False),
        column("rows", "long", "rows of the business day: accepted, duplicate and rejected; 0 for users, consents, context"),
        column("content", "string", "hash of these rows, whatever their order"),
        column("late_rows", "long", "rows among them that came after the first ingest of the business day"),
        column(
            "waiting_rows",
            "long",
            "rows of the business day that were found later and are not taken in; null: files came later that were not read",
        ),
    ],
    ("day", "source", "file_day"),
)


EVENTS = table(
    "events",
    "an event in canonical form, cleaned and without duplicates",
    [
        day(),
        column(
            "event_id",
            "string",
            "id by the source, unique within day and source; without one a hash of the row and its number among identical rows",
            nullable=False,
        ),
        user(),
        column("event_time", "timestamp", "instant of the event", nullable=False),
        column("event_type", "string", "type of the event", nullable=False),
        column("amount_cents", "long", "money of the event in minor units of the domain's currency (cents); null: none"),
        column("duration_ms", "long", "duration of the event, milliseconds; null: none"),
        column("item_id", "string", "page, product or function that the event concerns; null: none"),
        column("session_id", "string", "session as the source gives it; null: the source has none"),
        column("channel", "string", "channel as the source gives it; null: the source has none"),
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
