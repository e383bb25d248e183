"""Recognise errors of Delta by their texts, because its exceptions share no base class."""

CONFLICTS = (
    "DELTA_CONCURRENT",
    "ConcurrentAppendException",
    "ConcurrentWriteException",
    "ConcurrentDeleteReadException",
    "ConcurrentDeleteDeleteException",
    "ConcurrentTransactionException",
    "MetadataChangedException",
    "ProtocolChangedException",
)
MISSING = (
    "DELTA_MISSING_DELTA_TABLE",
    "DELTA_TABLE_NOT_FOUND",
    "TABLE_OR_VIEW_NOT_FOUND",
    "is not a Delta table",
    "DELTA_PATH_DOES_NOT_EXIST",
    "PATH_NOT_FOUND",
)
BROKEN = (
    "DELTA_VIOLATE_CONSTRAINT",
    "DELTA_NOT_NULL_CONSTRAINT",
    "DELTA_REPLACE_WHERE_MISMATCH",
    "CHECK constraint",
    "NOT NULL constraint",
)


def is_conflict(error: Exception) -> bool:
    """Whether another writer was faster."""
    text = f"{getattr(error, 'getErrorClass', lambda: '')() or ''} {error}"
    return any(mark in text for mark in CONFLICTS)


def is_missing(error: Exception) -> bool:
    """Whether the table does not exist."""
    return any(mark in str(error) for mark in MISSING)


def is_broken_rule(error: Exception) -> bool:
    """Whether rows break a rule of their table, or lie outside of what is replaced."""
    return any(mark in str(error) for mark in BROKEN)
