"""Who gets which offer, who is held out, and what it brought: assignment blind to the arm, lift with intervals."""

from churnwatch.retention.experiments import imported, replaced_experiment
from churnwatch.retention.planning import planned
from churnwatch.retention.reading import lift

__all__ = ["imported", "lift", "planned", "replaced_experiment"]
