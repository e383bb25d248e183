"""Scores of every eligible user: probabilities, percentiles, tiers, value at risk, reasons and causes."""

from churnwatch.scoring.causes import rule_inputs
from churnwatch.scoring.reasons import raising_reasons
from churnwatch.scoring.repeated_users import stop_on_repeated_users
from churnwatch.scoring.score import only_eligible, score_users, stage_scores

__all__ = ["only_eligible", "raising_reasons", "rule_inputs", "score_users", "stage_scores", "stop_on_repeated_users"]
