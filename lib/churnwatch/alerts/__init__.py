"""Warnings: rules and the model in one table, what people do about them, and the messages they lead to."""

from churnwatch.alerts.life import event_line, inbox, recorded, with_state
from churnwatch.alerts.sending import sent
from churnwatch.alerts.warnings import raised

__all__ = ["event_line", "inbox", "raised", "recorded", "sent", "with_state"]
