"""Definitions of churn, labels and churn rates."""

from churnwatch.churn.dates import check_dates
from churnwatch.churn.eligible import eligible_users
from churnwatch.churn.labelling import labels, replaced_definition
from churnwatch.churn.measuring import rates

__all__ = ["check_dates", "eligible_users", "labels", "rates", "replaced_definition"]
