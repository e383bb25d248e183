"""Warnings: rules and the model in one table, what people do about them, and the messages they lead to."""

from churnwatch.alerts.by_model import QUIET_DAYS as MODEL_QUIET_DAYS
from churnwatch.alerts.cases import open_days
from churnwatch.alerts.life import event_line, inbox, recorded, with_state
from churnwatch.alerts.sending import sent
from churnwatch.alerts.warnings import raised

__all__ = ["MODEL_QUIET_DAYS", "event_line", "inbox", "open_days", "raised", "recorded", "sent", "with_state"]
