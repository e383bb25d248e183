"""Definitions of churn, labels and churn rates."""

from churnwatch.churn.labelling import labels, replaced_definition
from churnwatch.churn.measuring import rates

__all__ = ["labels", "rates", "replaced_definition"]
