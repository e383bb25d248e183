"""The churn model: training frame, tuned trees, calibration, evaluation, release gate, contributions."""

from churnwatch.model.release_in_use import last_release
from churnwatch.model.training import train

__all__ = ["last_release", "train"]
