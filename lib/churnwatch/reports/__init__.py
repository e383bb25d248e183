"""Cohort churn, quality of warnings and scores, causes and profiles of churn, and the HTML page.

``flow.py`` uses the names exported here, and no other.
"""

from churnwatch.reports.churn_causes import explain_churn
from churnwatch.reports.cohorts import measure_cohorts, replaced_periods
from churnwatch.reports.judge_alerts import judge_alerts
from churnwatch.reports.lost_users import classify_losses
from churnwatch.reports.page.rendering import render_report
from churnwatch.reports.profiles import build_profiles
from churnwatch.reports.retraining import training_reason

__all__ = [
    "build_profiles",
    "classify_losses",
    "explain_churn",
    "judge_alerts",
    "measure_cohorts",
    "render_report",
    "replaced_periods",
    "training_reason",
]
