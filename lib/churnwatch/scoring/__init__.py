"""Scores of every eligible user: probabilities, percentiles, tiers, value at risk, reasons."""

from churnwatch.scoring.reasons import first_cause, raising_reasons
from churnwatch.scoring.score import only_eligible, score_users, stage_scores

__all__ = ["first_cause", "only_eligible", "raising_reasons", "score_users", "stage_scores"]
