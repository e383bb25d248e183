"""Retention: who gets which offer, who is held out, and the lift with intervals."""

from churnwatch.retention.assigning import record_assignments, replaced_assignments
from churnwatch.retention.experiments import experiment_predicate, import_experiment
from churnwatch.retention.lift import measure_lift
from churnwatch.retention.planning import plan_retention

__all__ = [
    "experiment_predicate",
    "import_experiment",
    "measure_lift",
    "plan_retention",
    "record_assignments",
    "replaced_assignments",
]
