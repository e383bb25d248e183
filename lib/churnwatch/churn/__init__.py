"""Definitions of churn, labels and churn rates."""

from churnwatch.churn.eligible import eligible_users
from churnwatch.churn.labelling import labels, replaced_definition
from churnwatch.churn.measuring import rates

__all__ = ["eligible_users", "labels", "rates", "replaced_definition"]
