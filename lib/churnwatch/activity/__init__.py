"""Aggregate events to activity per user and day, find first active days, and measure the share of users who come back."""

from churnwatch.activity.comeback import trend
from churnwatch.activity.falls import COLUMNS as FALL_COLUMNS
from churnwatch.activity.falls import HISTORY_DAYS, detect_falls
from churnwatch.activity.months import per_user_month
from churnwatch.activity.newcomers import first_seen, replaced_first_seen
from churnwatch.activity.people import only_people
from churnwatch.activity.rollup import per_user_day

__all__ = [
    "FALL_COLUMNS",
    "HISTORY_DAYS",
    "detect_falls",
    "first_seen",
    "only_people",
    "per_user_day",
    "per_user_month",
    "replaced_first_seen",
    "trend",
]
