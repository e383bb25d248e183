"""The churn model: training frame, trees tuned by hyperopt, calibration, evaluation, release gate, reasons."""

from churnwatch.model.training import last_release, train

__all__ = ["last_release", "train"]
