"""The part of the flow that only commands start: no job here belongs to ``run all``."""

from collections.abc import Iterator
from functools import partial

from churnwatch import alerts, reports, retention
from churnwatch.core import Job
from churnwatch.settings import Settings
from churnwatch.tables import Tables

ALERT_DAYS = 366  # only warnings of the last year can be acknowledged
SCORE_DAYS = 8  # a profile shows the newest score of the day and the week before it


def command_jobs(settings: Settings, t: Tables) -> Iterator[Job]:
    """Yield the jobs without a schedule, in the order in which ``plan`` shows them."""
    yield Job(
        "build_profiles",
        mode="daily",
        reads={
            "users": t.users.as_of(),
            "first_seen": t.first_seen.as_of(),
            "consents": t.consents.as_of(),
            "features": t.user_features.on(),
            "scores": t.user_scores.trailing(SCORE_DAYS),
            "alerts": t.risk_alerts.trailing(alerts.tracked_days(settings) + 1),
            "alert_events": t.alert_events.trailing(alerts.tracked_days(settings) + 1),
        },
        writes=(t.user_profiles,),
        scheduled=False,
        build=partial(reports.build_profiles, settings=settings),
    )
    for name in settings.experiments:
        yield Job(
            "import_experiment",
            instance=name,
            writes=(t.experiment_units,),
            ports=("sources",),
            scheduled=False,
            where=partial(retention.experiment_predicate, experiment=name),
            build=partial(retention.import_experiment, settings=settings, experiment=name),
        )
    yield Job(
        "record_alert_events",
        mode="daily",
        # including O, because a warning of O may be acted on at O
        reads={
            "alerts": t.risk_alerts.trailing(ALERT_DAYS),
            "alert_events": t.alert_events.trailing(ALERT_DAYS),
        },
        writes=(t.alert_events,),
        ports=("sources",),
        scheduled=False,
        build=partial(alerts.record_alert_events, settings=settings),
    )
