"""Definitions of churn, labels and churn rates."""

from churnwatch.churn.dates import check_dates
from churnwatch.churn.eligible import eligible_users
from churnwatch.churn.labelling import labels, replaced_definition
from churnwatch.churn.measuring import rates
from churnwatch.churn.reads import reads_after, reads_before

__all__ = ["check_dates", "eligible_users", "labels", "rates", "reads_after", "reads_before", "replaced_definition"]
