"""Scores of every eligible user: probabilities, percentiles, tiers, value at risk, reasons."""

from churnwatch.scoring.score import only_eligible, score, staged

__all__ = ["only_eligible", "score", "staged"]
