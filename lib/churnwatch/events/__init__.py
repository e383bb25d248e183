"""Read the configured sources: map rows to canonical events, refuse bad rows, drop duplicates; keep changes of users,
consents and context."""

from churnwatch.events.gates import gate
from churnwatch.events.ingest import build_tables, classify_rows, replaced_rejects

__all__ = ["build_tables", "classify_rows", "gate", "replaced_rejects"]
