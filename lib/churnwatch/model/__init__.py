"""The churn model: training frame, tuned trees, calibration, evaluation, release gate, contributions."""

from churnwatch.model.training import last_release, train

__all__ = ["last_release", "train"]
