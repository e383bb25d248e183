"""Maintain a warehouse: find and rebuild stale days, migrate tables, and check that a run has what it needs."""

from churnwatch.upkeep.doctor import examine
from churnwatch.upkeep.migrate import migrate
from churnwatch.upkeep.migrations import undo
from churnwatch.upkeep.stale import rebuild_stale, stale, waiting

__all__ = ["examine", "migrate", "rebuild_stale", "stale", "undo", "waiting"]
