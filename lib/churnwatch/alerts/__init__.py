"""Warnings: raised by rules and the model, worked by people, and sent to their owners."""

from churnwatch.alerts.closing import tracked_days
from churnwatch.alerts.groups import trend_days
from churnwatch.alerts.model_warnings import QUIET_DAYS as MODEL_QUIET_DAYS
from churnwatch.alerts.raising import raise_alerts
from churnwatch.alerts.recording import event_line, inbox, record_alert_events
from churnwatch.alerts.sending import DELIVERY_DAYS, dead_letters, send_messages
from churnwatch.alerts.states import list_alerts, with_state
from churnwatch.alerts.writing import write_messages

__all__ = [
    "DELIVERY_DAYS",
    "MODEL_QUIET_DAYS",
    "dead_letters",
    "event_line",
    "tracked_days",
    "inbox",
    "list_alerts",
    "raise_alerts",
    "record_alert_events",
    "send_messages",
    "trend_days",
    "with_state",
    "write_messages",
]
