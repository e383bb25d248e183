"""Cohort trends, quality of warnings and scores, causes and profiles, and the HTML page.

Exports what flow.py uses: ``cohorts``, ``replaced_periods``, ``judged``, ``training_asked_for``, ``explained``, ``rendered``.
"""

from churnwatch.reports.cohorts import cohorts, replaced_periods
from churnwatch.reports.explaining import explained
from churnwatch.reports.judging import judged
from churnwatch.reports.page.rendering import rendered
from churnwatch.reports.retraining import training_asked_for

__all__ = ["cohorts", "explained", "judged", "rendered", "replaced_periods", "training_asked_for"]
