"""Scores of every eligible user: probabilities, percentiles, tiers, value at risk, reasons."""

from churnwatch.scoring.reasons import first_cause, upward
from churnwatch.scoring.score import only_eligible, score, staged

__all__ = ["first_cause", "only_eligible", "score", "staged", "upward"]
