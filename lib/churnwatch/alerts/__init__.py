"""Warnings: rules and the model in one table, what people do about them, and the messages they lead to."""

from churnwatch.alerts.by_model import QUIET_DAYS as MODEL_QUIET_DAYS
from churnwatch.alerts.closing import case_days, followed_days
from churnwatch.alerts.groups import trend_days
from churnwatch.alerts.life import event_line, inbox, listed, recorded, with_state
from churnwatch.alerts.sending import DELIVERY_DAYS, dead_letters, sent
from churnwatch.alerts.warnings import raised

__all__ = [
    "DELIVERY_DAYS",
    "MODEL_QUIET_DAYS",
    "case_days",
    "dead_letters",
    "event_line",
    "followed_days",
    "inbox",
    "listed",
    "raised",
    "recorded",
    "sent",
    "trend_days",
    "with_state",
]
