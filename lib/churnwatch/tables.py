"""Every table's contract, in flow order: the data dictionary.

Some columns are configured (measures, windows, segments, definitions), so the tables are made from the settings.
Instants are UTC; ``day`` is the business day in ``clock.time_zone``; money is in cents, durations in milliseconds.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from pyspark.sql.types import ArrayType, DoubleType, LongType, MapType, StringType, StructField, StructType

from churnwatch.core import Table, column
from churnwatch.settings import Settings, feature_names
from churnwatch.settings.names import definition_column, first_day_column, last_day_column, summed_measures, text_names

BUSINESS_DAY = "business day, in clock.time_zone"
USER = "user key as the source gives it"
PROBABILITY = "{0} IS NULL OR ({0} >= 0 AND {0} <= 1)"
INTERVAL = "95 % interval"
HOURS = "hours with an event: bit h stands for the hour h (0 .. 23) of the clock in clock.time_zone"


def _structs(**types: str) -> ArrayType:
    struct = StructType()
    for name, data_type in types.items():
        struct = struct.add(name, data_type)
    return ArrayType(struct)


STRINGS = ArrayType(StringType())
TEXT_BY_NAME = MapType(StringType(), StringType())
NUMBER_BY_NAME = MapType(StringType(), DoubleType())
REASONS = _structs(measure="string", value="double", contribution="double", cause="string", usual="double")
RANGES = _structs(first="date", last="date")
INPUTS = _structs(table="string", version="long", first="date", last="date")
OUTPUTS = _structs(table="string", version="long", rows="long")


@dataclass(frozen=True)
class Tables:
    """All contracts by name; iterating gives them in flow order."""

    rejected_events: Table
    users: Table
    consents: Table
    context: Table
    events: Table
    daily_activity: Table
    monthly_activity: Table
    first_seen: Table
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
    notifications: Table
    deliveries: Table
    experiment_units: Table
    retention_lift: Table
    churn_causes: Table
    churn_profile: Table
    report_pages: Table
    job_runs: Table

    def __iter__(self) -> Iterator[Table]:
        return (getattr(self, field.name) for field in fields(self))

    def __getitem__(self, name: str) -> Table:
        return getattr(self, name)


def tables(settings: Settings) -> Tables:
    """The contracts of all tables under ``settings``; a pure function."""
    return Tables(
        **_event_tables(),
        **_activity_tables(settings),
        **_churn_tables(),
        **_quality_tables(),
        **_score_tables(),
        **_alert_tables(),
        **_retention_tables(),
        **_report_tables(),
    )


def _table(name: str, comment: str, columns: list[StructField], keys: tuple[str, ...], **options: Any) -> Table:
    return Table(name=name, comment=comment, schema=StructType(columns), keys=keys, **options)


def _day(comment: str = BUSINESS_DAY) -> StructField:
    return column("day", "date", comment, nullable=False)


def _user(comment: str = USER) -> StructField:
    return column("user_id", "string", comment, nullable=False)


def _event_tables() -> dict[str, Table]:
    by_day = {"partitions": ("day",)}
    full = column("full", "boolean", "true on rows of a full restatement (first of a month)", nullable=False)
    return {
        "rejected_events": _table(
            "rejected_events",
            "rows of a source that cannot be events, with every reason",
            [
                _day("business day of the row's time, else the file's {day}, else 1970-01-01"),
                column("source", "string", "name of the source in sources.yaml", nullable=False),
                column(
                    "reject_id",
                    "string",
                    "hash of file, raw row and its ordinal among identical rows",
                    nullable=False,
                ),
                column("file", "string", "file or table that the row came from"),
                column("reasons", STRINGS, "every reason why the row was refused, sorted", nullable=False),
                column("raw", "string", "the row as the source gave it"),
            ],
            ("day", "source", "reject_id"),
            replace_key=("day", "source"),
            partitions=("day", "source"),
            rules={"has_reason": "size(reasons) > 0"},
        ),
        "users": _table(
            "users",
            "changes of users' attributes; a full restatement on the first of each month",
            [
                _day("day from which the row is in force"),
                _user(),
                column("registered_on", "date", "day of registration, where the source knows it"),
                column("changed_at", "timestamp", "instant of the change, where the source knows it"),
                column("attributes", TEXT_BY_NAME, "attributes by name, as sources.yaml maps them"),
                full,
            ],
            ("day", "user_id"),
            pick="latest",
            pick_key=("user_id",),
            full_column="full",
            **by_day,
        ),
        "consents": _table(
            "consents",
            "changes of users' consents; a full restatement on the first of each month",
            [
                _day("day from which the row is in force"),
                _user(),
                column(
                    "channel",
                    "string",
                    "channel of contact; 'profiling' for the use of data itself",
                    nullable=False,
                ),
                column("purpose", "string", "purpose of the consent", nullable=False),
                column("granted", "boolean", "true: opted in; false: opted out", nullable=False),
                column("changed_at", "timestamp", "instant of the change, where the source knows it"),
                full,
            ],
            ("day", "user_id", "channel", "purpose"),
            pick="latest",
            pick_key=("user_id", "channel", "purpose"),
            full_column="full",
            **by_day,
        ),
        "context": _table(
            "context",
            "changes of series that are no user's: prices, competitors, staff, market",
            [
                _day("day from which the value is in force (published)"),
                column("scope", "string", "what the value is about: 'base' or segment=value", nullable=False),
                column("name", "string", "name of the series", nullable=False),
                column("value", "double", "value, in the series' own unit"),
                column("changed_at", "timestamp", "instant of publication, where the source knows it"),
                full,
            ],
            ("day", "scope", "name"),
            pick="latest",
            pick_key=("scope", "name"),
            full_column="full",
        ),
        "events": _table(
            "events",
            "canonical events, cleaned and without duplicates",
            [
                _day(),
                column(
                    "event_id",
                    "string",
                    "the source's id, unique within day and source; else a hash of the row and its ordinal among identical rows",
                    nullable=False,
                ),
                _user(),
                column("event_time", "timestamp", "instant of the event", nullable=False),
                column("event_type", "string", "type of the event", nullable=False),
                column("amount_cents", "long", "money of the event, cents"),
                column("duration_ms", "long", "duration of the event, milliseconds"),
                column("item_id", "string", "what the event is about: page, product, function"),
                column("session_id", "string", "session as the source gives it"),
                column("channel", "string", "channel as the source gives it"),
                column("properties", TEXT_BY_NAME, "further fields by name"),
                column("source", "string", "name of the source in sources.yaml", nullable=False),
            ],
            ("day", "source", "event_id"),
            rules={
                "user_not_blank": "length(trim(user_id)) > 0",
                "duration_not_negative": "duration_ms IS NULL OR duration_ms >= 0",
            },
            complete=True,
            **by_day,
        ),
    }


def _activity_tables(settings: Settings) -> dict[str, Table]:
    return {
        "daily_activity": _table(
            "daily_activity",
            "what a user did on a day: measures without windows; sorted by bucket and user",
            [
                _day(),
                _user(),
                column("bucket", "integer", "pmod(xxhash64(user_id), activity.buckets)", nullable=False),
                column("events", "long", "events of the day, all types", nullable=False),
                column("sessions", "long", "sessions that started on the day", nullable=False),
                column("first_time", "timestamp", "instant of the first event", nullable=False),
                column("last_time", "timestamp", "instant of the last event", nullable=False),
                # nullable: days that were stored before these columns were known have none until they are built again
                column("hours", "integer", HOURS),
                column("bot", "boolean", "more events or hours than the limits of bots in measures.yaml: no person"),
                *_measure_columns(settings),
                *(
                    column(
                        definition_column(name),
                        "long",
                        f"events of the day that count for churn definition {name}",
                        nullable=False,
                    )
                    for name in settings.churn.definitions
                ),
            ],
            ("day", "user_id"),
            rules={"events_positive": "events > 0"},
            partitions=("day",),
            complete=True,
            properties={"churnwatch.buckets": str(settings.activity.buckets)},
        ),
        "monthly_activity": _table(
            "monthly_activity",
            "what a user did in a calendar month: the month's days of daily_activity put together",
            [
                _day("last day of the calendar month"),
                _user(),
                column("bucket", "integer", "pmod(xxhash64(user_id), activity.buckets)", nullable=False),
                column("active_days", "long", "days of the month with an event", nullable=False),
                column("first_day", "date", "first day of the month with an event", nullable=False),
                column("last_day", "date", "last day of the month with an event", nullable=False),
                column("events", "long", "events of the month, all types", nullable=False),
                column("sessions", "long", "sessions that started in the month", nullable=False),
                column("hours", "integer", HOURS),
                column("bot", "boolean", "whether the user was a bot on any day of the month"),
                *_measure_columns(settings),
                *(
                    column(last_day_column(name), "date", f"last day of the month with {name}")
                    for name in settings.measures.measures
                ),
                *_monthly_definitions(settings),
            ],
            ("day", "user_id"),
            rules={"active_days_in_month": "active_days >= 1 AND active_days <= 31", "day_ends_month": "day = last_day(day)"},
            partitions=("day",),
            complete=True,
        ),
        "first_seen": _table(
            "first_seen",
            "users on the first day on which they were active",
            [_day("first active day"), _user()],
            ("day", "user_id"),
            partitions=("day",),
            pick="earliest",
            pick_key=("user_id",),
        ),
        "user_features": _table(
            "user_features",
            "features per user at the end of a day: users active within population_days who did not refuse profiling",
            [
                _day("as-of day: nothing later is in the row"),
                _user(),
                *(column(name, "double", _feature_comment(name, settings)) for name in feature_names(settings)),
                *(
                    column(name, "string", f"the user's {name.removeprefix('segment_')} as of the day")
                    for name in text_names(settings)
                ),
                # nullable: days that were stored before it was known have none until they are built again
                column(
                    "bot",
                    "boolean",
                    "more events than a person makes on a day of the longest window: neither trained on nor scored",
                ),
            ],
            ("day", "user_id"),
            partitions=("day",),
        ),
        "activity_trend": _table(
            "activity_trend",
            "how a segment fares: last week's users who came back this week, and indicators; 'all' is the base; no bots",
            [
                _day("last day of this week (7 days)"),
                column(
                    "segment",
                    "string",
                    "'all', 'tenure' (new: under 30 days), 'cohort' (month of the first day) or a configured segment",
                    nullable=False,
                ),
                column("value", "string", "value of the segment", nullable=False),
                column("active", "long", "users active in the 7 days before the last 7", nullable=False),
                column("came_back", "long", "of them, users active in the last 7 days", nullable=False),
                column("share", "double", "came_back / active"),
                column("low", "double", f"{INTERVAL} (Wilson) of share, lower end"),
                column("high", "double", f"{INTERVAL} (Wilson) of share, upper end"),
                column("indicators", NUMBER_BY_NAME, "indicators of measures.yaml by name; null: none is configured"),
            ],
            ("day", "segment", "value"),
            rules={
                "share_in_range": PROBABILITY.format("share"),
                "came_back_of_active": "came_back <= active",
            },
        ),
    }


def _measure_columns(settings: Settings) -> Iterator[StructField]:
    summed = summed_measures(settings)
    for name, measure in settings.measures.measures.items():
        steps = f" from {measure.from_ or 'outside'} to {measure.to or 'outside'}" if measure.kind == "transition" else ""
        text = measure.comment or f"{measure.kind}{steps} of {measure.of or 'events'}" + (
            f" where {measure.where}" if measure.where else ""
        )
        if measure.kind == "distinct":
            yield column(
                name,
                ArrayType(LongType(), False),
                f"{text}: sorted hashes of the distinct values, capped",
                nullable=False,
            )
        else:
            yield column(name, "long", text, nullable=name not in summed)


def _monthly_definitions(settings: Settings) -> Iterator[StructField]:
    for name in settings.churn.definitions:
        counted, what = definition_column(name), f"events that count for churn definition {name}"
        yield column(counted, "long", what, nullable=False)
        yield column(first_day_column(counted), "date", f"first day of the month with {what}")
        yield column(last_day_column(counted), "date", f"last day of the month with {what}")


FEATURE_ENDINGS = {
    "_days_since": "days since the last day with {0}; 0: that day; null: not in the days that features know",
    "_trend": "{0}: (last n days - n days before) / both together, in -1 .. 1; null: none in both",
    "_slope": "{0}: rise a week of the least-squares line through the weekly sums; null: not all weeks are stored",
    "_new": "{0}: values of the last trend_days that no earlier day of the longest window has",
    "_given_up": "{0}: values of earlier days of the longest window that the last trend_days lack",
    "_change": "{0}: value in force less the one change_days before",
}
FEATURES = {
    "tenure_days": "days since registration, else since the first active day",
    "history_days": "days of stored history up to the as-of day, at most the longest window",
    "longest_gap_days": "days of the longest gap between two active days within the longest window; null: under two",
    "usual_gap_days": "mean days from one active day to the next within the longest window; null: under two active days",
    "gap_ratio": "days since the last active day by usual_gap_days",
    "regularity": "how alike the gaps are: 1 all the same, 0 chance, towards -1 bursts; null: under two gaps",
    "rfm_recency": "recency score, 1 (long ago) .. 5 (just now)",
    "rfm_frequency": "frequency score, 1 (seldom) .. 5 (often)",
    "rfm_monetary": "monetary score, 1 (little) .. 5 (much)",
}
WINDOW_STEMS = {
    "active_share": "share of the days with activity, of those on which the user could have been active,",
    "active_hours": "hours of the clock with activity, 0 .. 24,",
}


def _feature_comment(name: str, settings: Settings) -> str:
    if name in settings.measures.context:
        return f"value of {settings.measures.context[name].name} in force on the as-of day"
    if name in FEATURES:
        return FEATURES[name]
    for ending, text in FEATURE_ENDINGS.items():
        if name.endswith(ending):
            return text.format(name.removesuffix(ending))
    if month := re.fullmatch(r"(\w+)_m(\d+)", name):
        return f"{month[1]} in the calendar month {month[2]} months before the as-of day's; 0: that month so far"
    stem, _, window = name.rpartition("_")
    what = WINDOW_STEMS.get(stem, stem)
    if stem.removesuffix("_rate") in settings.measures.rates:
        what = f"{stem.removesuffix('_rate')} per day on which the user could have been active,"
    return f"{what} over the {window.removesuffix('d')} days that end with the as-of day"


def _churn_tables() -> dict[str, Table]:
    return {
        "cohort_churn": _table(
            "cohort_churn",
            "retention triangle: users of a cohort who were active in a later calendar period; no bots",
            [
                _day("first day of the period"),
                column("cohort_by", "string", "'month' or 'week': what a cohort and a period are", nullable=False),
                column("cohort", "date", "first day of the cohort's own month or ISO week", nullable=False),
                column("segment", "string", "'all' or a configured segment", nullable=False),
                column("value", "string", "value of the segment", nullable=False),
                column("period", "integer", "calendar periods since the cohort's own, which is 0", nullable=False),
                column("size", "long", "users of the cohort, as of the last day measured", nullable=False),
                column("active", "long", "of them, users active in the period", nullable=False),
                column("retained", "double", "active / size"),
                column("churned", "double", "1 - retained"),
                column("low", "double", f"{INTERVAL} (Wilson) of retained, lower end"),
                column("high", "double", f"{INTERVAL} (Wilson) of retained, upper end"),
                column("change", "double", "retained minus the cohort before's at the same period; null while the period runs"),
                column("complete", "boolean", "true when all days of the period have ended", nullable=False),
            ],
            ("day", "cohort_by", "cohort", "segment", "value", "period"),
            replace_key=("day", "cohort_by"),
            rules={"retained_in_range": PROBABILITY.format("retained"), "active_of_size": "active <= size"},
        ),
        "user_labels": _table(
            "user_labels",
            "whether an eligible user of the day churned, by definition; no bots",
            [
                _day("as-of day of the label; what happened after it decides"),
                column("definition", "string", "churn definition of churn.yaml", nullable=False),
                _user(),
                column(
                    "churned",
                    "boolean",
                    "true: lost in O+lead+1 .. O+lead+horizon, as the definition means it",
                    nullable=False,
                ),
                column("last_active_day", "date", "last day up to O of what makes the user eligible", nullable=False),
            ],
            ("day", "definition", "user_id"),
            replace_key=("day", "definition"),
            instance_column="definition",
            partitions=("day", "definition"),
            rules={"active_before": "last_active_day <= day"},
        ),
        "churn_rates": _table(
            "churn_rates",
            "churn rate of the day's eligible users, by definition and segment; no bots",
            [
                _day("as-of day of the labels"),
                column("definition", "string", "churn definition of churn.yaml", nullable=False),
                column("segment", "string", "'all', 'tenure' or a configured segment", nullable=False),
                column("value", "string", "value of the segment", nullable=False),
                column("eligible", "long", "users who could churn", nullable=False),
                column("churned", "long", "of them, users who did", nullable=False),
                column("rate", "double", "churned / eligible"),
                column("low", "double", f"{INTERVAL} (Wilson) of rate, lower end"),
                column("high", "double", f"{INTERVAL} (Wilson) of rate, upper end"),
            ],
            ("day", "definition", "segment", "value"),
            replace_key=("day", "definition"),
            instance_column="definition",
            partitions=("definition",),
            rules={"rate_in_range": PROBABILITY.format("rate"), "churned_of_eligible": "churned <= eligible"},
        ),
    }


def _quality_tables() -> dict[str, Table]:
    return {
        "alert_quality": _table(
            "alert_quality",
            "users warned on a day against what then happened: by rule, level, cause, owner, segment, and two rules together",
            [
                _day("day on which the warnings were raised"),
                column("rule_id", "string", "rule, or 'model'; 'all' where the look is no rule's", nullable=False),
                column("level", "string", "warning level of a rule's look, or 'all'", nullable=False),
                column("fired", "long", "users warned on the day", nullable=False),
                column(
                    "matured",
                    "long",
                    "of them, with a label and not treated while it matured: a treated user is no false alarm",
                    nullable=False,
                ),
                column("churned", "long", "of the matured, users who churned", nullable=False),
                column(
                    "base_eligible", "long", "labelled users of the day (of the segment) who were not treated", nullable=False
                ),
                column("base_churned", "long", "of them, users who churned", nullable=False),
                column("base_rate", "double", "churn rate of the labelled users; the held-out stand for the treated too"),
                column("precision", "double", "churned of the matured; the held-out stand for the treated too"),
                column("low", "double", f"{INTERVAL} (Wilson, on the effective number) of precision, lower end"),
                column("high", "double", f"{INTERVAL} (Wilson, on the effective number) of precision, upper end"),
                column(
                    "recall",
                    "double",
                    "share of the churned users who were warned; the held-out stand for the treated too",
                ),
                column("lift", "double", "precision / base_rate"),
                column(
                    "lead_days",
                    "double",
                    "mean days from the warning of a churned user to the day on which the silence had lasted the horizon",
                ),
                # nullable: days that were stored before these columns were known have none; they hold rules alone
                column("by", "string", "the look: rule, level, cause, owner, a segment, together (two rules), all; null: rule"),
                column("value", "string", "value of the look; the other rule of two; 'all' for rules"),
                column("treated", "long", "warned users who were treated while their label matured: judged by the held-out"),
                column("effective", "double", "users without weights that tell as much as the matured: (sum w)^2 / sum w^2"),
                column("recall_low", "double", f"{INTERVAL} (Wilson) of recall, lower end"),
                column("recall_high", "double", f"{INTERVAL} (Wilson) of recall, upper end"),
                column("lift_low", "double", f"{INTERVAL} of lift, lower end; the base rate is taken as known"),
                column("lift_high", "double", f"{INTERVAL} of lift, upper end; the base rate is taken as known"),
                column("lead_low", "double", f"{INTERVAL} of lead_days (normal), lower end; null under two users"),
                column("lead_high", "double", f"{INTERVAL} of lead_days (normal), upper end; null under two users"),
            ],
            ("day", "rule_id", "level", "by", "value"),
            rules={
                "precision_in_range": PROBABILITY.format("precision"),
                "recall_in_range": PROBABILITY.format("recall"),
            },
        ),
        "model_quality": _table(
            "model_quality",
            "scores of a day against what then happened",
            [
                _day("day that was scored"),
                column("model_version", "string", "model version that scored; a challenger has '(shadow)'", nullable=False),
                column(
                    "metric",
                    "string",
                    "auc, average_precision and its lift over the base rate, brier, log_loss, calibration_error, base_rate and "
                    "what was predicted in its place, top_decile_lift; precision, recall and lift of each tier with a level and "
                    "those above it, and at the team's capacity (capacity_share of the users); empc_cents and empc_share, "
                    "expected maximum profit a user and the share contacted for it; margin_psi against training; skew_share: "
                    "users whose features late data changed after they were scored",
                    nullable=False,
                ),
                column("users", "long", "scored users with a label who were not treated", nullable=False),
                column("churned", "long", "of them, users who churned", nullable=False),
                column("metric_value", "double", "the metric; the held-out stand for the treated too"),
                column("note", "string", "why metrics are undefined"),
                # nullable: days that were stored before these columns were known have none; they hold all users alone
                column("by", "string", "of whom: all, a tenth by risk (said and seen alone), a segment (errors too); null: all"),
                column("value", "string", "tenth (1: lowest risk), or value of the segment: the 12 largest; 'all' for all"),
            ],
            ("day", "model_version", "metric", "by", "value"),
        ),
        "feature_drift": _table(
            "feature_drift",
            "distribution of a feature among the scored users of a day against training",
            [
                _day("day that was scored"),
                column("feature", "string", "column of user_features", nullable=False),
                column("reference_day", "date", "last day of the train span that it is compared with"),
                column("psi", "double", "population stability index over the deciles of training and one bin for missing"),
                column("missing_share", "double", "share of users without a value"),
                column("reference_missing_share", "double", "the same in training"),
            ],
            ("day", "feature"),
        ),
        "thresholds": _table(
            "thresholds",
            "the probability from which a level warns: advice; and the cuts of tiers that go by it",
            [
                _day("day whose labels the advice rests on"),
                column("level", "string", "warning level", nullable=False),
                column("old", "double", "lowest probability that was warned at the level"),
                column("new", "double", "advised lowest probability"),
                column("reason", "string", "why", nullable=False),
                # nullable: days that were stored before there were cuts have none, and only tiers with adjust do
                column("tier", "string", "tier whose cut is adjusted; null: none, the row is advice"),
                column("cut_before", "double", "cut of the tier, in its own unit: top share of users, or probability"),
                column("cut", "double", "cut of the tier from the day on which this row was known"),
            ],
            ("day", "level"),
        ),
    }


def _score_tables() -> dict[str, Table]:
    return {
        "model_runs": _table(
            "model_runs",
            "attempts to train, with metrics and the gate's outcome",
            [
                _day("as-of day of the attempt"),
                column("run_id", "string", "hash of day, configuration, code and input versions", nullable=False),
                column("algorithm", "string", "algorithm", nullable=False),
                column("at", "timestamp", "instant at which the row was written", nullable=False),
                column("definition", "string", "churn definition that the model predicts", nullable=False),
                column(
                    "spans",
                    TEXT_BY_NAME,
                    "train, calibration and test: first..last day; released_train and released_calibration: those of the "
                    "released model, where the recipe was rolled to the newest days",
                ),
                column("trials", "integer", "hyper-parameter sets that were tried"),
                column("parameters", TEXT_BY_NAME, "chosen hyper-parameters, trees kept"),
                column(
                    "metrics",
                    NUMBER_BY_NAME,
                    "metrics on the test span; <name>_low and <name>_high are 95 % intervals; origins_<name>: mean over rolling "
                    "origins; of an algorithm that did not go to the gate what it was compared by",
                ),
                column("curves", "string", "JSON of calibration bins, ROC, precision-recall and lift points, quality by segment"),
                column("outcome", "string", "released or refused", nullable=False),
                column("conditions", STRINGS, "the gate's conditions, each with both numbers and ok or failed"),
                column("model_version", "string", "released model version; null when refused"),
                column("features", STRINGS, "feature columns in order"),
                column("schema_hash", "string", "hash of the feature columns: names, fills and what configuration makes of them"),
                column("mlflow_run_id", "string", "run in MLflow"),
                column("origins", "string", "JSON of the rolling origins, oldest first: spans, algorithm, metrics"),
                column("left_out", TEXT_BY_NAME, "features that left before the fit, and why"),
                column("reference", "string", "JSON: edges, shares and fill of the features, and of the margin, in training"),
                column("artifacts_hash", "string", "hash of the files that scoring needs"),
            ],
            ("run_id", "algorithm"),
            kind="log",
            pick="latest",
            pick_key=("run_id", "algorithm"),
            rules={"outcome_known": "outcome IN ('released', 'refused')"},
        ),
        "user_scores": _table(
            "user_scores",
            "risk of every eligible user of the day",
            [
                _day("as-of day of the score"),
                _user(),
                column(
                    "margin",
                    "double",
                    "what the model says before calibration: log-odds, of a forest or a single tree a share of churned",
                    nullable=False,
                ),
                column("probability", "double", "calibrated probability of churn", nullable=False),
                column(
                    "percentile",
                    "double",
                    "share of the day's users with a lower risk, 0 .. 1",
                    nullable=False,
                ),
                column("tier", "string", "risk tier of tiers.yaml", nullable=False),
                column("previous_tier", "string", "tier of the newest score in the 7 days before"),
                column("value_cents", "long", "what the user is worth, cents", nullable=False),
                column("value_at_risk_cents", "long", "probability x value, cents", nullable=False),
                column(
                    "reasons",
                    REASONS,
                    "measures that moved the margin most, with value and the median of users of the same segment in training; "
                    "the rest as '(other)' and '(base)': they add up to the margin. Exact Shapley values; of forests too deep "
                    "for tables in tiers with a level alone",
                    nullable=False,
                ),
                column("model_version", "string", "released model version that scored", nullable=False),
                column("features_hash", "long", "hash of the values that were scored: tells what late data changed since"),
            ],
            ("day", "user_id"),
            partitions=("day",),
            rules={
                "probability_in_range": PROBABILITY.format("probability"),
                "percentile_in_range": PROBABILITY.format("percentile"),
            },
        ),
        "shadow_scores": _table(
            "shadow_scores",
            "what a challenger (challenger of model.yaml) says of the users of user_scores: nobody acts on it",
            [
                _day("as-of day of the score"),
                _user(),
                column("margin", "double", "what the challenger says before calibration", nullable=False),
                column("probability", "double", "calibrated probability of churn", nullable=False),
                column("percentile", "double", "share of the day's users with a lower risk, 0 .. 1", nullable=False),
                column("tier", "string", "risk tier of tiers.yaml that it would have been", nullable=False),
                column("model_version", "string", "model version, else run in MLflow, and '(shadow)'", nullable=False),
            ],
            ("day", "user_id"),
            partitions=("day",),
            rules={"probability_in_range": PROBABILITY.format("probability")},
        ),
    }


def _alert_tables() -> dict[str, Table]:
    return {
        "risk_alerts": _table(
            "risk_alerts",
            "warnings by rules and by the model: a subject has one open warning a cause, further rows raise its level",
            [
                _day("day on which the warning was raised"),
                column("alert_id", "string", "hash of day, rule and subject", nullable=False),
                column("scope", "string", "user, group or base", nullable=False),
                column("user_id", "string", "user, for scope user"),
                column("segment", "string", "segment, for scope group; 'all' for scope base"),
                column("value", "string", "value of the segment"),
                column("rule_id", "string", "the strongest signal: a rule of rules.yaml, or 'model'", nullable=False),
                column("level", "string", "blue, yellow, orange or red", nullable=False),
                column("cause", "string", "cause of causes.yaml"),
                column("evidence", "string", "the numbers behind the warning, as text", nullable=False),
                column("owner", "string", "who acts", nullable=False),
                column("due_on", "date", "day by which to act", nullable=False),
                # nullable: days that were stored before these columns were known have none
                column("measure", "string", "what the level asks for"),
                column(
                    "signals",
                    STRINGS,
                    "rules, and 'model', that spoke of the subject and cause on the day, sorted; rule_id is the strongest",
                ),
                column(
                    "escalates",
                    "string",
                    "the open warning of the subject and cause whose level this one raises; null: a new warning",
                ),
                column("value_at_risk_cents", "long", "the user's probability x value on the day, cents"),
            ],
            ("day", "alert_id"),
            partitions=("day",),
            rules={
                "level_known": "level IN ('blue', 'yellow', 'orange', 'red')",
                "scope_known": "scope IN ('user', 'group', 'base')",
                "user_where_scope_user": "(scope = 'user') = (user_id IS NOT NULL)",
            },
        ),
        "alert_events": _table(
            "alert_events",
            "what people, and the system, did about warnings",
            [
                _day("business day of the action"),
                column("event_id", "string", "hash of warning, instant, person and action", nullable=False),
                column("alert_id", "string", "warning", nullable=False),
                column("at", "timestamp", "instant of the action; the system's: the end of the day", nullable=False),
                column("who", "string", "person, or 'system'", nullable=False),
                column("action", "string", "acknowledged, acted, closed, or escalated (overdue)", nullable=False),
                column("note", "string", "note"),
                column("outcome", "string", "of a closed one: retained, churned, false_alarm or expired"),
                column("lesson", "string", "what is to be done otherwise the next time"),
                column("rule_id", "string", "rule of the warning, or 'model'"),
                column("owner", "string", "of an escalated one: who answers for it now"),
            ],
            ("event_id",),
            kind="log",
            rules={
                "action_known": "action IN ('acknowledged', 'acted', 'closed', 'escalated')",
                "outcome_known": "outcome IS NULL OR outcome IN ('retained', 'churned', 'false_alarm', 'expired')",
            },
        ),
    }


def _retention_tables() -> dict[str, Table]:
    return {
        "retention_actions": _table(
            "retention_actions",
            "offers planned for warned users; control users are rows with the offer they would have had",
            [
                _day("day of the assignment"),
                _user(),
                column("campaign", "string", "campaign of offers.yaml", nullable=False),
                column("offer", "string", "offer"),
                column("channel", "string", "channel of the offer"),
                column("arm", "string", "offer, control or global_control; null when suppressed"),
                column("suppressed_because", "string", "why the user is in no arm"),
                column("cause", "string", "cause that the offer answers"),
                column("tier", "string", "risk tier on the day"),
                column("probability", "double", "probability of churn on the day"),
                column("value_cents", "long", "what the user is worth on the day, cents"),
                column("cost_cents", "long", "cost of the offer, cents", nullable=False),
                column("expected_value_cents", "long", "expected saved value minus cost, cents", nullable=False),
                column("earliest_send_at", "timestamp", "instant before which nothing is sent"),
                column("expires_at", "timestamp", "instant after which nothing is sent"),
            ],
            ("day", "user_id", "campaign"),
            partitions=("day",),
            rules={
                "arm_known": "arm IS NULL OR arm IN ('offer', 'control', 'global_control')",
                "arm_or_suppressed": "(arm IS NULL) = (suppressed_because IS NOT NULL)",
            },
        ),
        "notifications": _table(
            "notifications",
            "messages to owners and users",
            [
                _day("day of the message"),
                column("message_id", "string", "hash of day, destination and content", nullable=False),
                column(
                    "kind",
                    "string",
                    "to an owner: task (a group's warning), urgent, digest, escalation (overdue); to a user: offer",
                    nullable=False,
                ),
                column(
                    "destination",
                    "string",
                    "name of a destination in conf, or the user's keyed hash",
                    nullable=False,
                ),
                column("channel", "string", "channel", nullable=False),
                column("subject", "string", "subject", nullable=False),
                column("body", "string", "text of the message", nullable=False),
                column(
                    "earliest_send_at",
                    "timestamp",
                    "instant before which a gateway does not hand it to the user",
                ),
                column("expires_at", "timestamp", "instant after which it is not sent"),
            ],
            ("day", "message_id"),
            partitions=("day",),
        ),
        "deliveries": _table(
            "deliveries",
            "attempts to send messages",
            [
                _day("day of the message"),
                column("message_id", "string", "message", nullable=False),
                column("attempt", "integer", "number of the attempt, from 1", nullable=False),
                column("at", "timestamp", "instant of the attempt", nullable=False),
                column("outcome", "string", "sent, failed or expired", nullable=False),
                column("detail", "string", "answer of the server, or the error"),
            ],
            ("message_id", "attempt"),
            kind="log",
            rules={"outcome_known": "outcome IN ('sent', 'failed', 'expired')"},
        ),
        "experiment_units": _table(
            "experiment_units",
            "units of outside experiments with their outcomes",
            [
                _day("day of the assignment, else of the import"),
                column("experiment", "string", "name in experiments.yaml", nullable=False),
                column("unit", "string", "unit of the experiment", nullable=False),
                column("arm", "string", "arm", nullable=False),
                column("cluster", "string", "cluster, where units were assigned together"),
                column("stratum", "string", "stratum"),
                column("outcomes", NUMBER_BY_NAME, "outcomes by name", nullable=False),
                column("covariates", NUMBER_BY_NAME, "values from before the assignment, by name"),
            ],
            ("experiment", "unit"),
            replace_key=("experiment",),
            partitions=("experiment",),
            pick="latest",
            pick_key=("experiment", "unit"),
        ),
        "retention_lift": _table(
            "retention_lift",
            "what campaigns and experiments brought: treated against control, intention to treat",
            [
                _day("day of the reading"),
                column("campaign", "string", "campaign or experiment", nullable=False),
                column("arm", "string", "treated arm", nullable=False),
                column("outcome", "string", "outcome", nullable=False),
                column("segment", "string", "'all', tier, cause, offer or stratum", nullable=False),
                column("value", "string", "value of the segment", nullable=False),
                column(
                    "treated",
                    "long",
                    "treated users with an outcome (clusters, where those were assigned)",
                    nullable=False,
                ),
                column(
                    "control",
                    "long",
                    "control users with an outcome (clusters, where those were assigned)",
                    nullable=False,
                ),
                column(
                    "treated_mean",
                    "double",
                    "rate or mean of the treated, adjusted where there is a covariate (CUPED)",
                ),
                column("control_mean", "double", "rate or mean of the control, adjusted likewise"),
                column("difference", "double", "treated_mean - control_mean"),
                column("relative_lift", "double", "difference / control_mean"),
                column("low", "double", f"{INTERVAL} of difference, lower end"),
                column("high", "double", f"{INTERVAL} of difference, upper end"),
                column("p", "double", "two-sided p of difference = 0; null while interim"),
                column("q", "double", "p corrected for the segments looked at (Benjamini-Hochberg)"),
                column("srm_p", "double", "p of the sample-ratio check on assigned users"),
                column("srm_outcome_p", "double", "the same on users with an outcome"),
                column(
                    "srm_day_p",
                    "double",
                    "the same by day of assignment: the smallest p times the number of days",
                ),
                column(
                    "srm_alarm",
                    "boolean",
                    "a sample-ratio p of the whole campaign is under the limit in conf",
                    nullable=False,
                ),
                column("cuped_variance_saved", "double", "share of variance that the covariate took away"),
                column(
                    "min_detectable",
                    "double",
                    "smallest difference that the sample shows with 80 % power at 5 %",
                ),
                column("incremental_users", "double", "difference x treated, for rates"),
                column(
                    "incremental_cents",
                    "long",
                    "difference x value of the treated (rates), x treated (measures in cents)",
                ),
                column("cost_cents", "long", "cost of the treated whose outcome has matured, cents"),
                column("interim", "boolean", "not all assignments have matured", nullable=False),
                column("randomised", "boolean", "arms were assigned by chance", nullable=False),
            ],
            ("day", "campaign", "arm", "outcome", "segment", "value"),
        ),
    }


def _report_tables() -> dict[str, Table]:
    return {
        "churn_causes": _table(
            "churn_causes",
            "causes in the reasons of scored users who then churned: associations",
            [
                _day("as-of day of scores and labels"),
                column("cause", "string", "cause of causes.yaml, or 'unknown'", nullable=False),
                column("users", "long", "scored users whose strongest reason with a cause has this one", nullable=False),
                column("churned", "long", "of them, users who churned", nullable=False),
                column("share", "double", "share of the churned users whose strongest reason with a cause has this one"),
                column("low", "double", f"{INTERVAL} (Wilson) of share, lower end"),
                column("high", "double", f"{INTERVAL} (Wilson) of share, upper end"),
                column("rate", "double", "churned / users"),
                column("association", "boolean", "true: an association, no proof of cause", nullable=False),
            ],
            ("day", "cause"),
        ),
        "churn_profile": _table(
            "churn_profile",
            "how the features of churned users differed from those of the others: associations",
            [
                _day("as-of day of features and labels"),
                column("measure", "string", "column of user_features", nullable=False),
                column("churned_mean", "double", "mean of the churned users"),
                column("stayed_mean", "double", "mean of the others"),
                column("effect", "double", "standardised difference of the means (Cohen's d)"),
                column("low", "double", f"{INTERVAL} of effect, lower end"),
                column("high", "double", f"{INTERVAL} of effect, upper end"),
                column("association", "boolean", "true: an association, no proof of cause", nullable=False),
            ],
            ("day", "measure"),
        ),
        "report_pages": _table(
            "report_pages",
            "pages that were rendered",
            [
                _day("day of the page"),
                column("name", "string", "name of the page", nullable=False),
                column("path", "string", "where the page lies", nullable=False),
                column("sha256", "string", "SHA-256 of the page", nullable=False),
                column("bytes", "long", "size, bytes", nullable=False),
            ],
            ("day", "name"),
        ),
        "job_runs": _table(
            "job_runs",
            "runs of jobs: a row when they start, a row when they end",
            [
                _day("last D of the run"),
                column("run_id", "string", "run", nullable=False),
                column("job", "string", "job, or 'all'", nullable=False),
                column("instance", "string", "instance of the job, or ''", nullable=False),
                column("at", "timestamp", "instant at which the row was written", nullable=False),
                column("status", "string", "running, done, failed, skipped or refused", nullable=False),
                column("days", RANGES, "output days", nullable=False),
                column("config_hash", "string", "hash of the settings", nullable=False),
                column("code_hash", "string", "hash of the package", nullable=False),
                column("inputs", INPUTS, "tables read, their version and days"),
                column("outputs", OUTPUTS, "tables written, their version and rows"),
                column("seconds", "double", "wall seconds; null while running"),
                column("message", "string", "why it failed, was skipped or refused; counts of ingest"),
            ],
            ("run_id", "job", "instance", "day", "status"),
            kind="log",
            rules={"status_known": "status IN ('running', 'done', 'failed', 'skipped', 'refused')"},
        ),
    }
