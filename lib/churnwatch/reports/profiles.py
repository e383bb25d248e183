"""The job build_profiles: all that is known of a user in one row."""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.alerts.states import with_state
from churnwatch.model.judged_cases import case_id
from churnwatch.reports.churn_causes import known_cause
from churnwatch.settings import Settings
from churnwatch.settings.names import features_with_measure, text_names
from churnwatch.settings.terms import CLOSED, LEVELS
from churnwatch.tables import tables
from churnwatch.tables.columns import CASES, GRANTS, NUMBER_BY_NAME, TEXT_BY_NAME

# measures of features that describe a user's habits and not single kinds of events
HABITS = ("active_days", "active_hours", "habit", "sessions")


def build_profiles(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> dict[str, DataFrame]:
    """Build ``user_profiles`` of O: one row per user who is in ``users`` or has been active.

    Habits, segments by behaviour and ``bot`` are null for users without a row in user_features (silent for longer than
    population_days, or without consent to profiling). The score is the newest of the days that are read.
    """
    (day,) = days
    stated = inputs["users"].select("user_id", "registered_on", "attributes")
    seen = inputs["first_seen"].select("user_id", F.col("day").alias("first_active_day"))
    # every input has one row a user, so the joins keep the grain
    joined = stated.join(seen, "user_id", "full")
    for other in (
        _habits(inputs["features"], settings),
        _newest_scores(inputs["scores"]),
        _open_cases(inputs["alerts"], inputs["alert_events"]),
        _consents(inputs["consents"]),
    ):
        joined = joined.join(other, "user_id", "left")
    nothing = {name: F.coalesce(name, F.array().cast(kind)) for name, kind in (("open_cases", CASES), ("consents", GRANTS))}
    return {
        "user_profiles": joined.withColumns({"day": F.lit(day), **nothing}).select(*tables(settings).user_profiles.schema.names)
    }


def _habits(features: DataFrame, settings: Settings) -> DataFrame:
    names = [feature for feature, measure in features_with_measure(settings) if measure in HABITS]
    texts = text_names(settings)
    return features.select(
        "user_id",
        F.col("tenure_days").cast("int").alias("tenure_days"),
        F.col("events_days_since").cast("int").alias("silent_days"),
        _map({name: F.col(name) for name in names}).cast(NUMBER_BY_NAME).alias("habits"),
        _map({name.removeprefix("segment_"): F.col(name) for name in texts}).cast(TEXT_BY_NAME).alias("segments"),
        "bot",
    )


def _map(values: Mapping[str, Column]) -> Column:
    """Return a map of the values that are not null."""
    pairs = [part for name, value in values.items() for part in (F.lit(name), value)]
    return F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull()) if pairs else F.create_map()


def _newest_scores(scores: DataFrame) -> DataFrame:
    names = ("probability", "tier", "value_cents", "value_at_risk_cents", "cause")
    newest = (
        scores.withColumn("cause", known_cause())
        .groupBy("user_id")
        .agg(F.max(F.struct(F.col("day").alias("scored_on"), *names)).alias("score"))
    )
    return newest.select("user_id", "score.*")


def _open_cases(alerts: DataFrame, alert_events: DataFrame) -> DataFrame:
    """Return ``open_cases`` per user with a case that is not closed, sorted, with the columns of its newest warning."""
    of_user = with_state(alerts, alert_events).where("scope = 'user'").where(F.col("state") != CLOSED)
    level = F.array_position(F.lit(list(LEVELS)), F.col("level"))
    case = F.struct(
        case_id().alias("case_id"),
        "level",
        "cause",
        "rule_id",
        "evidence",
        "owner",
        "due_on",
        "state",
        F.col("day").alias("risen_on"),
    )
    newest = of_user.groupBy("user_id", case_id().alias("case")).agg(F.max_by(case, F.struct("day", level)).alias("case_row"))
    return newest.groupBy("user_id").agg(F.sort_array(F.collect_list("case_row")).alias("open_cases"))


def _consents(consents: DataFrame) -> DataFrame:
    statement = F.struct("channel", "purpose", "granted", F.col("day").alias("since"))
    return consents.groupBy("user_id").agg(F.sort_array(F.collect_list(statement)).alias("consents"))
