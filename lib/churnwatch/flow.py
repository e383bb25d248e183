"""The flow: the whole system on one page, in dependency order.

No other module says which job reads which table, and how far back; of a definition of churn, ``churn.reads`` does, and of
jobs that only commands start, ``commands``. Only
labels, and jobs that compare with labels, look forward.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from churnwatch import activity, alerts, churn, events, features, model, reports, retention, scoring
from churnwatch.commands import command_jobs
from churnwatch.core import ConfigError, Due, Job, Read, check_keep_days
from churnwatch.settings import Settings
from churnwatch.settings.faults import nearest
from churnwatch.settings.meanings import activity_meanings, label_meaning, user_feature_meanings
from churnwatch.settings.rule_columns import market_asked
from churnwatch.settings.terms import ALL
from churnwatch.tables import Tables, tables

LATE_DAYS = 28  # days before its own for which an ingest looks for rows and files that came late
TREND_DAYS = 14  # users of this week, and of the week before
COHORT_DAYS = 62  # O's month and the month before, which `change` compares with; July and August are the longest pair
LONGEST_MONTH_DAYS = 31  # days of the longest calendar month
PREVIOUS_TIER_DAYS = 7
USUAL_DAYS = 28  # the usual level is that of the four weeks before
NOTES_DAYS = 90  # how far back the page shows notes of people who worked on warnings


def flow(settings: Settings) -> tuple[Job, ...]:
    """Every job, in the order in which ``run all`` runs them. Jobs that only a command starts come last.

    Raises ConfigError when a table is kept for fewer days than jobs read of it.
    """
    t = tables(settings)
    jobs = (
        *_facts(settings, t),
        *_labels(settings, t),
        *_decisions(settings, t),
        *_readings(settings, t),
        *command_jobs(settings, t),
    )
    check_keep_days(jobs)
    return jobs


def check_job_names(names: Sequence[str], jobs: Sequence[Job]) -> None:
    """Raise ConfigError when one of ``names`` is no job, job instance or ``all``, or when ``all`` is not alone."""
    known = list(dict.fromkeys(name for job in jobs for name in (job.name, job.full_name))) + [ALL]
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"no such job: {unknown[0]!r}{nearest(unknown[0], known)}\nThe jobs are: {', '.join(known)}")
    if ALL in names and len(names) > 1:
        raise ConfigError("all is every job of the flow. Hint: name all alone, or single jobs")


def _facts(settings: Settings, t: Tables) -> Iterator[Job]:
    # events are read back only where a gate compares days with what is usual
    usual = {"events_before": t.events.before(USUAL_DAYS)} if settings.quality.min_rows_share_of_usual is not None else {}
    usual |= {"source_days": t.source_days.before(USUAL_DAYS), "ingested": t.ingested_files.trailing(LATE_DAYS + 1)}
    state = {kind: t[kind].as_of(LATE_DAYS + 1) for kind in ("users", "consents", "context")}
    yield Job(
        "ingest_events",
        reads={**state, **usual},
        writes=(t.rejected_events, t.source_days, t.users, t.consents, t.context, t.events, t.ingested_files),
        ports=("sources",),
        stage=partial(events.classify_rows, settings=settings),
        gate=partial(events.gate, settings=settings),
        build=partial(events.build_tables, settings=settings),
        where=partial(events.replaced_rows, settings=settings),
        scope=partial(events.find_intake, settings=settings),
        narrow=partial(events.narrow_intake, settings=settings),
        meaning={"day": settings.clock.time_zone},
    )
    yield Job(
        "build_activity",
        reads={"events": t.events.trailing(2)},
        writes=(t.daily_activity,),
        late="daily",
        meaning=activity_meanings(settings),
        unmixed=("events",),
        build=partial(activity.per_user_day, settings=settings),
    )
    yield Job(
        "build_months",
        reads={"activity": t.daily_activity.trailing(LONGEST_MONTH_DAYS)},
        writes=(t.monthly_activity, t.bots),
        late="daily",
        meaning=activity_meanings(settings),
        build=partial(activity.per_user_month, settings=settings),
    )
    yield Job(
        "build_first_seen",
        reads={"activity": t.daily_activity.on(), "first_seen": t.first_seen.as_of(), "users": t.users.as_of()},
        # the restatement first: a reader takes it before the days that it repeats
        writes=(t.first_seen_restated, t.first_seen),
        where=activity.replaced_first_seen,
        late="daily",
        build=partial(activity.first_seen, settings=settings),
    )
    measures = settings.measures
    # a definition or feature over many months reads monthly_activity: at most 13 days of it for a year. The month of O is
    # not over, or ends with O: it is read from daily_activity
    months = {"months": t.monthly_activity.before(measures.months_days - 1)} if measures.months_days else {}
    yield Job(
        "build_features",
        reads={
            "activity": t.daily_activity.trailing(measures.activity_days),
            **months,
            **_people(t),
            "context": t.context.as_of(measures.context_days),
            "consents": t.consents.as_of(),
        },
        writes=(t.user_features,),
        snapshots=True,
        late="settled",
        meaning=user_feature_meanings(settings),
        unmixed=("activity", *months),
        build=partial(features.per_user, settings=settings),
    )
    looked_at = max(TREND_DAYS, settings.measures.indicator_days)
    yield Job(
        "measure_activity",
        reads={"activity": t.daily_activity.trailing(looked_at), **_people(t)},
        writes=(t.activity_trend,),
        late="settled",
        build=partial(activity.trend, settings=settings),
    )
    yield Job(
        "measure_cohorts",
        reads={"activity": t.daily_activity.trailing(COHORT_DAYS), "bots": t.bots.as_of(), **_people(t)},
        writes=(t.cohort_churn,),
        lag_days=settings.clock.settle_days,
        where=reports.replaced_periods,
        build=partial(reports.measure_cohorts, settings=settings),
    )


def _people(t: Tables) -> dict[str, Read]:
    """Reads that say since when a user is there, and with which attributes."""
    return {"users": t.users.as_of(), "first_seen": t.first_seen.as_of()}


def _labels(settings: Settings, t: Tables) -> Iterator[Job]:
    for name, definition in settings.churn.definitions.items():
        yield Job(
            "label_churn",
            instance=name,
            reads={**churn.reads_before(definition, t), **churn.reads_after(definition, t)},
            writes=(t.user_labels,),
            lag_days=settings.label_lag_days(name),
            snapshots=True,
            where=partial(churn.replaced_definition, table=t.user_labels.name, definition=name),
            meaning=label_meaning(settings, name),
            gate=partial(churn.check_dates, settings=settings, definition=name) if definition.attribute else None,
            build=partial(churn.labels, settings=settings, definition=name),
        )
    for name in settings.churn.definitions:
        yield Job(
            "measure_churn",
            instance=name,
            reads={"labels": t.user_labels.on(), **_people(t)},
            writes=(t.churn_rates,),
            lag_days=settings.label_lag_days(name),
            snapshots=True,
            where=partial(churn.replaced_definition, table=t.churn_rates.name, definition=name),
            build=partial(churn.rates, settings=settings, definition=name),
        )


def _decisions(settings: Settings, t: Tables) -> Iterator[Job]:
    decision = partial(Job, mode="daily", decides=True)
    lag = settings.label_lag_days(settings.churn.primary)
    shadow = {"shadow": t.shadow_scores.on()} if settings.model.challenger else {}
    # a threshold is moved again only when the labels of its warnings have matured
    kept_days = max(USUAL_DAYS, lag)
    yield Job(
        "judge_alerts",
        mode="daily",
        reads={
            "scores": t.user_scores.on(),
            **shadow,
            # the cases that are new or open on O, up to the last day on which what was done about them can change a label; a
            # case that is open on O had its newest warning at the most case_days before
            "alerts": t.risk_alerts.following(-settings.case_days, settings.primary.ahead_days - 1),
            "alert_events": t.alert_events.following(-settings.case_days, settings.primary.ahead_days - 1),
            # offers that can influence the label: those of works_days before O still can, those of the last day of the label
            # cannot
            "actions": t.retention_actions.following(-settings.offers.works_days, settings.primary.ahead_days - 1),
            "features": t.user_features.on(),
            "labels": t.user_labels.on(),
            # the training data of the release that scored O
            "model_runs": t.model_runs.as_of(),
            # the cuts with which the scores of O were made, and what moved since
            "thresholds": t.thresholds.before(kept_days + 1),
        },
        writes=(t.alert_quality, t.model_quality, t.feature_drift, t.thresholds),
        lag_days=lag,
        build=partial(reports.judge_alerts, settings=settings),
    )
    trained_days = settings.model.history_days(settings.primary.ahead_days, lag)
    yield decision(
        "train_model",
        reads={
            "features": t.user_features.trailing(trained_days),
            "labels": t.user_labels.trailing(trained_days),
            # an offer from before a snapshot can still work within its label window
            "actions": t.retention_actions.before(trained_days + settings.offers.works_days),
            # what people did about warnings; a case that is open on a snapshot had its newest warning case_days before
            "alerts": t.risk_alerts.before(trained_days + settings.case_days),
            "alert_events": t.alert_events.before(trained_days + settings.case_days),
            "model_runs": t.model_runs.before(),
        },
        writes=(t.model_runs,),
        due=_training_due(settings, t),
        ports=("models",),
        build=partial(model.train, settings=settings),
    )
    # a moved threshold carries the day whose labels moved it; thresholds are read only where they are adjusted
    adjusted = {"thresholds": t.thresholds.before(lag + kept_days)} if settings.tiers.adjusted else {}
    # conditions of rules decide on causes too: attributes and indicators are read only where one names them
    attributes, indicators = scoring.rule_inputs(settings)
    for_rules = {"users": t.users.as_of()} if attributes else {}
    for_rules |= {"trend": t.activity_trend.before(alerts.trend_days(settings))} if indicators else {}
    yield decision(
        "score_users",
        reads={
            "features": t.user_features.on(must_exist=True),
            **churn.reads_before(settings.primary, t),
            "scores": t.user_scores.before(PREVIOUS_TIER_DAYS),
            "model_runs": t.model_runs.as_of(),
            **adjusted,
            **for_rules,
        },
        writes=(t.user_scores, t.shadow_scores) if shadow else (t.user_scores,),
        ports=("models",),
        refused_exit_code=5,  # nobody is scored until somebody acts
        stage=partial(scoring.stage_scores, settings=settings),
        gate=scoring.stop_on_repeated_users,
        build=partial(scoring.score_users, settings=settings),
    )
    # series such as prices are read only where a group rule uses them; user rules have them as features
    market = {"context": t.context.as_of(settings.measures.context_days)} if market_asked(settings) else {}
    longest_pause = max((rule.cool_down_days for rule in settings.rules.rules), default=0)
    heard_days = settings.case_days + max(longest_pause, alerts.MODEL_QUIET_DAYS)
    yield decision(
        "raise_alerts",
        reads={
            "features": t.user_features.on(must_exist=True),
            "scores": t.user_scores.on(),
            "users": t.users.as_of(),
            "trend": t.activity_trend.before(alerts.trend_days(settings)),
            "rates": t.churn_rates.before(lag + USUAL_DAYS),
            **market,
            # a rule does not repeat while its case is open, and for its cool-down after the case has ended
            "alerts": t.risk_alerts.before(heard_days),
            "alert_events": t.alert_events.before(heard_days),
        },
        writes=(t.risk_alerts,),
        build=partial(alerts.raise_alerts, settings=settings),
    )
    pause = max((c.contact_pause_days for c in settings.offers.campaigns), default=0)
    yield decision(
        "plan_retention",
        reads={
            "scores": t.user_scores.on(),
            "consents": t.consents.as_of(),
            "actions": t.retention_actions.before(max(pause, 1)),
        },
        writes=(t.retention_actions,),
        build=partial(retention.plan_retention, settings=settings),
    )
    followed, retried = alerts.tracked_days(settings) + 1, alerts.DELIVERY_DAYS + 1
    yield decision(
        "write_messages",
        reads={
            "alerts": t.risk_alerts.trailing(followed),  # older ones are followed until they are closed
            "alert_events": t.alert_events.trailing(followed),
            "labels": t.user_labels.before(followed - 1),
            "actions": t.retention_actions.on(),
            "consents": t.consents.as_of(),
            **({"users": t.users.as_of()} if settings.offers.time_zone_attribute else {}),
            "notifications": t.notifications.trailing(followed),  # including O: a second run of O writes no second message
            "deliveries": t.deliveries.before(followed - 1),
        },
        writes=(t.notifications, t.alert_events),
        ports=("senders",),
        build=partial(alerts.write_messages, settings=settings),
    )
    yield Job(
        "send_messages",
        mode="daily",
        reads={
            "notifications": t.notifications.trailing(retried),
            "actions": t.retention_actions.trailing(retried),
            "deliveries": t.deliveries.trailing(retried),
            "consents": t.consents.as_of_now(),  # an opt-out counts from the moment at which it is known
        },
        writes=(t.deliveries,),
        ports=("senders",),
        build=partial(alerts.send_messages, settings=settings),
    )


def _training_due(settings: Settings, t: Tables) -> Due:
    """Every ``every_days`` days, or earlier when the release in use drifts or loses quality."""
    if settings.model.due is None:
        return Due(settings.model.every_days)
    judged_days = settings.label_lag_days(settings.churn.primary) + settings.model.due.pool_days
    return Due(
        settings.model.every_days,
        reads={
            "drift": t.feature_drift.trailing(judged_days),
            "quality": t.model_quality.trailing(judged_days),
            "thresholds": t.thresholds.trailing(judged_days),
            "model_runs": t.model_runs.as_of(),
        },
        early_trigger=partial(reports.training_reason, settings=settings),
        wait_days=settings.model.due.wait_days,
    )


def _readings(settings: Settings, t: Tables) -> Iterator[Job]:
    yield Job(
        "record_assignments",
        reads={"actions": t.retention_actions.on(), "assignments": t.assignments.as_of()},
        writes=(t.assignments_restated, t.assignments),
        where=retention.replaced_assignments,
        build=partial(retention.record_assignments, settings=settings),
    )
    outcomes = settings.offers.outcomes.values()
    before_days = max((o.before_days or 0 for o in outcomes), default=0)
    yield Job(
        "measure_lift",
        mode="daily",
        reads={
            "actions": t.retention_actions.before(settings.offers.campaign_max_days),
            "assignments": t.assignments.as_of(),
            "units": t.experiment_units.as_of(),
            "activity": t.daily_activity.trailing(settings.offers.campaign_max_days + before_days + 1),
            "labels": t.user_labels.before(settings.offers.campaign_max_days),
            # whom an offer reached although the user is held out
            "notifications": t.notifications.trailing(settings.offers.campaign_max_days + 1),
            "deliveries": t.deliveries.trailing(settings.offers.campaign_max_days + 1),
        },
        writes=(t.retention_lift,),
        build=partial(retention.measure_lift, settings=settings),
    )
    lag, primary = settings.label_lag_days(settings.churn.primary), settings.primary
    yield Job(
        "classify_losses",
        reads={
            "labels": t.user_labels.on(),
            "scores": t.user_scores.on(),
            "activity": t.daily_activity.following(1 - primary.seen_days, primary.ahead_days),
            "changes": t.users.following(1, primary.ahead_days),
            **_people(t),
        },
        writes=(t.lost_users,),
        lag_days=lag,
        snapshots=True,
        build=partial(reports.classify_losses, settings=settings),
    )
    yield Job(
        "explain_churn",
        mode="daily",
        reads={"labels": t.user_labels.on(), "features": t.user_features.on(), "scores": t.user_scores.on()},
        writes=(t.churn_causes, t.churn_profile),
        lag_days=lag,
        build=partial(reports.explain_churn, settings=settings),
    )
    yield Job(
        "render_report",
        mode="daily",
        reads={
            "scores": t.user_scores.trailing(2),
            "alerts": t.risk_alerts.trailing(7),
            "actions": t.retention_actions.trailing(7),
            "trend": t.activity_trend.trailing(90),
            "cohorts": t.cohort_churn.trailing(400),
            "rates": t.churn_rates.trailing(120),
            "lift": t.retention_lift.trailing(7),
            "causes": t.churn_causes.trailing(lag + 28),
            "profile": t.churn_profile.trailing(lag + 28),
            "alert_quality": t.alert_quality.trailing(lag + 28),
            "alert_events": t.alert_events.trailing(NOTES_DAYS),
            "model_quality": t.model_quality.trailing(lag + 28),
            "drift": t.feature_drift.trailing(lag + 28),
            "model_runs": t.model_runs.as_of(),
            "rejected": t.rejected_events.trailing(28),
            "runs": t.job_runs.trailing(28),
        },
        writes=(t.report_pages,),
        ports=("pages",),
        despite_failures=True,  # the page names what failed
        build=partial(reports.render_report, settings=settings),
    )
