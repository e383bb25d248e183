"""Tables of people's rights: who was erased and when, as keyed hashes."""

from churnwatch.core import column
from churnwatch.tables.columns import OUTPUTS, day, table

SUPPRESSIONS = table(
    "suppressions",
    "a user who was erased: rows of the sources about this user are left out from then on",
    [
        day("day of the erasure, UTC"),
        column("user_hash", "string", "HMAC-SHA-256 of the user id with the table key", nullable=False),
        column("erasure_id", "string", "erasure of erasures", nullable=False),
        column("at", "timestamp", "instant of the row", nullable=False),
    ],
    ("day", "user_hash"),
    kind="log",
)


ERASURES = table(
    "erasures",
    "an erasure of users, or a later check that their old files are gone",
    [
        day("day of the row, UTC"),
        column("erasure_id", "string", "id of the erasure", nullable=False),
        column("step", "string", "erased: rows were deleted; gone: no file with them is left", nullable=False),
        column("at", "timestamp", "instant of the row", nullable=False),
        column("who", "string", "who erased", nullable=False),
        column("users", "long", "users of the request", nullable=False),
        column("tables", OUTPUTS, "tables that were changed: version after it, rows deleted or masked"),
        column("files", "long", "files in storage.files that were deleted or rewritten"),
        column("physically_gone_on", "date", "day on which no old file with the rows was left; null: not yet"),
    ],
    ("day", "erasure_id", "step"),
    kind="log",
)
