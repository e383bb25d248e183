"""Every table's contract, a module a room, in flow order: the data dictionary.

Some columns are configured (measures, windows, segments, definitions), so the tables are made from the settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from churnwatch.core import ConfigError, Table
from churnwatch.settings import Settings
from churnwatch.settings.faults import nearest
from churnwatch.tables import (
    activity,
    alerts,
    churn,
    events,
    features,
    messages,
    privacy,
    quality,
    reports,
    retention,
    runs,
    scoring,
)


@dataclass(frozen=True)
class Tables:
    """All contracts by name; iterating gives them in flow order."""

    rejected_events: Table
    source_days: Table
    users: Table
    consents: Table
    context: Table
    events: Table
    ingested_files: Table
    daily_activity: Table
    monthly_activity: Table
    first_seen_restated: Table
    first_seen: Table
    bots: Table
    user_features: Table
    activity_trend: Table
    cohort_churn: Table
    user_labels: Table
    churn_rates: Table
    alert_quality: Table
    model_quality: Table
    feature_drift: Table
    thresholds: Table
    model_runs: Table
    user_scores: Table
    shadow_scores: Table
    risk_alerts: Table
    alert_events: Table
    retention_actions: Table
    assignments_restated: Table
    assignments: Table
    notifications: Table
    deliveries: Table
    experiment_units: Table
    retention_lift: Table
    lost_users: Table
    churn_causes: Table
    churn_profile: Table
    user_profiles: Table
    report_pages: Table
    operator_actions: Table
    suppressions: Table
    erasures: Table
    job_runs: Table

    def __iter__(self) -> Iterator[Table]:
        return (getattr(self, field.name) for field in fields(self))

    def __getitem__(self, name: str) -> Table:
        return getattr(self, name)


def tables(settings: Settings) -> Tables:
    """The contracts of all tables under ``settings``; a pure function. Raises ConfigError when ``maintenance.keep_days``
    names no table, or one whose rows must stay."""
    made = _contracts(settings)
    keep = settings.maintenance.keep_days
    names = [table.name for table in made]
    for name in keep:
        if name not in names:
            raise ConfigError(f"maintenance.keep_days: no such table: {name!r}{nearest(name, names)}")
        if name == runs.JOB_RUNS.name:
            raise ConfigError(f"maintenance.keep_days.{name}: its rows say which days were built, so they stay")
        if name in (privacy.SUPPRESSIONS.name, privacy.ERASURES.name):
            raise ConfigError(f"maintenance.keep_days.{name}: its rows keep erased users out, and prove it, so they stay")
    return replace(made, **{name: replace(made[name], keep_days=days) for name, days in keep.items()})


def _contracts(settings: Settings) -> Tables:
    return Tables(
        rejected_events=events.REJECTED_EVENTS,
        source_days=events.SOURCE_DAYS,
        users=events.USERS,
        consents=events.CONSENTS,
        context=events.CONTEXT,
        events=events.EVENTS,
        ingested_files=events.INGESTED_FILES,
        daily_activity=activity.daily_activity(settings),
        monthly_activity=activity.monthly_activity(settings),
        first_seen_restated=activity.FIRST_SEEN_RESTATED,
        first_seen=activity.FIRST_SEEN,
        bots=activity.BOTS,
        user_features=features.user_features(settings),
        activity_trend=activity.ACTIVITY_TREND,
        cohort_churn=churn.COHORT_CHURN,
        user_labels=churn.USER_LABELS,
        churn_rates=churn.CHURN_RATES,
        alert_quality=quality.ALERT_QUALITY,
        model_quality=quality.MODEL_QUALITY,
        feature_drift=quality.FEATURE_DRIFT,
        thresholds=quality.THRESHOLDS,
        model_runs=scoring.MODEL_RUNS,
        user_scores=scoring.USER_SCORES,
        shadow_scores=scoring.SHADOW_SCORES,
        risk_alerts=alerts.RISK_ALERTS,
        alert_events=alerts.ALERT_EVENTS,
        retention_actions=retention.RETENTION_ACTIONS,
        assignments_restated=retention.ASSIGNMENTS_RESTATED,
        assignments=retention.ASSIGNMENTS,
        notifications=messages.NOTIFICATIONS,
        deliveries=messages.DELIVERIES,
        experiment_units=retention.EXPERIMENT_UNITS,
        retention_lift=retention.RETENTION_LIFT,
        lost_users=churn.LOST_USERS,
        churn_causes=reports.CHURN_CAUSES,
        churn_profile=reports.CHURN_PROFILE,
        user_profiles=reports.USER_PROFILES,
        report_pages=reports.REPORT_PAGES,
        operator_actions=runs.OPERATOR_ACTIONS,
        suppressions=privacy.SUPPRESSIONS,
        erasures=privacy.ERASURES,
        job_runs=runs.JOB_RUNS,
    )
