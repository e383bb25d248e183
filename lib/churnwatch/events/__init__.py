"""Read the configured sources: map rows to canonical events, refuse bad rows, drop duplicates; keep changes of users,
consents and context."""

from churnwatch.events.arrivals import find_intake
from churnwatch.events.gates import gate
from churnwatch.events.ingest import build_tables, classify_rows, narrow_intake, replaced_rows

__all__ = [
    "build_tables",
    "classify_rows",
    "find_intake",
    "gate",
    "narrow_intake",
    "replaced_rows",
]
