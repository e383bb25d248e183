"""The few numbers that a page shows, collected from the tables: bounded by tiers, days, segments, jobs and 20 users."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark import inheritable_thread_target
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.reports.churn_causes import known_cause
from churnwatch.settings import Settings
from churnwatch.settings.terms import ALL, RELEASED

TOP_USERS = 20
COHORTS = 13
GROUP_WARNINGS = 30
REASONS = 60  # reject reasons are a fixed list a source; the limit guards the page
ATTEMPTS = 12  # rows: an attempt has one an algorithm
LESSONS = 30
AT_ONCE = 4

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class PageFacts:
    """Rows as plain mappings; every field but ``day`` may be empty."""

    day: date
    tiers: Rows
    risk_causes: Rows
    top_users: Rows
    top_warnings: Rows
    warnings: Rows
    warned_users: Rows
    group_warnings: Rows
    actions: Rows
    trend: Rows
    cohorts: Rows
    rates: Rows
    lift: Rows
    causes: Rows
    profile: Rows
    alert_quality: Rows
    alert_history: Rows
    lessons: Rows
    model_quality: Rows
    drift: Rows
    model_runs: Rows
    rejected: Rows
    runs: Rows


def at_risk_tiers(settings: Settings) -> list[str]:
    """Tiers that warn, riskiest first; where none does, all but the last."""
    warning = [tier.name for tier in settings.tiers.tiers if tier.level]
    return warning or [tier.name for tier in settings.tiers.tiers[:-1]]


def collect_facts(inputs: Mapping[str, DataFrame], day: date, settings: Settings) -> PageFacts:
    """Collects what the page of ``day`` shows; raises nothing for empty tables."""
    risky = at_risk_tiers(settings)
    today = F.col("day") == day
    top = _rows(_top_users(inputs["scores"].where(today), risky))
    frames = {
        "tiers": _per_tier(inputs["scores"]),
        "risk_causes": _per_cause(inputs["scores"].where(today), risky),
        "top_warnings": _warnings_of(inputs["alerts"].where(today), [row["user_id"] for row in top]),
        "warnings": inputs["alerts"].groupBy("day", "rule_id", "level", "scope").agg(F.count("*").alias("raised")),
        "warned_users": _warned_users(inputs["alerts"], day),
        "group_warnings": _group_warnings(inputs["alerts"]),
        "actions": _per_arm(inputs["actions"].where(today)),
        "trend": inputs["trend"].where((F.col("segment") == ALL) | today),
        "cohorts": _newest_cohorts(inputs["cohorts"]),
        "rates": _rates(inputs["rates"], settings),
        "lift": _newest_day(inputs["lift"]),
        "causes": _newest_day(inputs["causes"]),
        "profile": _newest_day(inputs["profile"]),
        "alert_quality": _newest_day(inputs["alert_quality"]),
        "alert_history": _per_look(inputs["alert_quality"]),
        "lessons": _lessons(inputs["alert_events"]),
        "model_quality": inputs["model_quality"],
        "drift": _newest_day(inputs["drift"]),
        "model_runs": _newest_attempts(inputs["model_runs"]),
        "rejected": _per_reason(inputs["rejected"]),
        "runs": inputs["runs"].select("job", "instance", "day", "at", "status", "days", "message"),
    }
    # small queries that wait for the driver more than for data: several at once
    with ThreadPoolExecutor(AT_ONCE) as pool:
        collected = [
            pool.submit(inheritable_thread_target(inputs["runs"].sparkSession)(_rows), frame) for frame in frames.values()
        ]
    return PageFacts(day=day, top_users=top, **dict(zip(frames, (c.result() for c in collected), strict=True)))


def _rows(frame: DataFrame) -> Rows:
    """Rows in an order of their own, so that the page does not depend on partitions; ranked frames keep theirs."""
    rows = [row.asDict(recursive=True) for row in frame.collect()]
    return rows if "place" in frame.columns else sorted(rows, key=lambda row: [(v is not None, str(v)) for v in row.values()])


def _per_tier(scores: DataFrame) -> DataFrame:
    """One row per day, tier and previous tier: users and cents at risk."""
    return scores.groupBy("day", "tier", "previous_tier").agg(
        F.count("*").alias("users"), F.sum("value_at_risk_cents").alias("at_risk_cents")
    )


def _per_cause(scores: DataFrame, risky: Sequence[str]) -> DataFrame:
    """One row per tier at risk and cause that reasons speak for: users and cents at risk."""
    return (
        scores.where(F.col("tier").isin(*risky))
        .groupBy("tier", known_cause().alias("cause"))
        .agg(F.count("*").alias("users"), F.sum("value_at_risk_cents").alias("at_risk_cents"))
    )


def _top_users(scores: DataFrame, risky: Sequence[str]) -> DataFrame:
    """The users at risk with the most value at risk, ranked."""
    return (
        scores.where(F.col("tier").isin(*risky))
        .select("user_id", "tier", "previous_tier", "probability", "value_cents", "value_at_risk_cents", "reasons")
        .withColumn("place", F.lit(0))
        .orderBy(F.desc("value_at_risk_cents"), F.desc("probability"), "user_id")
        .limit(TOP_USERS)
    )


def _warnings_of(alerts: DataFrame, user_ids: Sequence[str]) -> DataFrame:
    return alerts.where(F.col("user_id").isin(*user_ids)).select("user_id", "rule_id", "level")


def _warned_users(alerts: DataFrame, day: date) -> DataFrame:
    """One row: users warned on the day, of them those not warned in the six days before."""
    per_user = alerts.where("scope = 'user'").groupBy("user_id").agg(F.min("day").alias("first"), F.max("day").alias("last"))
    return per_user.agg(F.count_if(F.col("last") == day).alias("users"), F.count_if(F.col("first") == day).alias("new"))


def _group_warnings(alerts: DataFrame) -> DataFrame:
    """Warnings of groups and of the base in the last week, newest first."""
    return (
        alerts.where("scope <> 'user'")
        .select("day", "segment", "value", "rule_id", "level", "cause", "evidence", "owner", "due_on", F.lit(0).alias("place"))
        .orderBy(F.desc("day"), "rule_id", "segment", "value")
        .limit(GROUP_WARNINGS)
    )


def _lessons(alert_events: DataFrame) -> DataFrame:
    """Lessons of closed warnings, newest first; a lesson that many warnings share stands once."""
    return (
        alert_events.where("action = 'closed' AND lesson IS NOT NULL")
        .groupBy("day", "rule_id", "outcome", "lesson", "who")
        .agg(F.lit(0).alias("place"))
        .orderBy(F.desc("day"), "rule_id", "lesson", "who")
        .limit(LESSONS)
    )


def _per_arm(actions: DataFrame) -> DataFrame:
    return actions.groupBy("campaign", "arm", "suppressed_because").agg(
        F.count("*").alias("users"),
        F.sum("cost_cents").alias("cost_cents"),
        F.sum("expected_value_cents").alias("expected_cents"),
    )


def _newest_cohorts(cohorts: DataFrame) -> DataFrame:
    """The whole base's triangle by month, for the newest cohorts."""
    months = cohorts.where((F.col("cohort_by") == "month") & (F.col("segment") == ALL))
    newest = months.agg(F.add_months(F.max("cohort"), 1 - COHORTS).alias("first"))
    return months.join(F.broadcast(newest), F.col("cohort") >= F.col("first")).select(
        "day", "cohort", "period", "size", "active", "retained", "low", "high", "change", "complete"
    )


def _rates(rates: DataFrame, settings: Settings) -> DataFrame:
    """The whole base's rates of every day and definition, and the newest day's segments of the primary definition."""
    primary = F.col("definition") == settings.churn.primary
    newest = rates.where(primary).agg(F.max("day").alias("newest"))
    wanted = (F.col("segment") == ALL) | (primary & (F.col("day") == F.col("newest")))
    return rates.crossJoin(F.broadcast(newest)).where(wanted).drop("newest")


def _newest_day(frame: DataFrame) -> DataFrame:
    newest = frame.agg(F.max("day").alias("newest"))
    return frame.join(F.broadcast(newest), F.col("day") == F.col("newest")).drop("newest")


def _per_look(alert_quality: DataFrame) -> DataFrame:
    """One row per look at warnings of a rule, or of two together: its judged days added up (days without ``by`` know none)."""
    return (
        alert_quality.where(F.col("by").isin("rule", "together"))
        .groupBy("by", "rule_id", "level", "value")
        .agg(
            F.sum("fired").alias("fired"),
            F.sum("effective").alias("effective"),
            F.sum(F.col("precision") * F.col("effective")).alias("hits"),
            F.sum(F.col("base_rate") * F.col("effective")).alias("expected"),
        )
    )


def _newest_attempts(model_runs: DataFrame) -> DataFrame:
    """The newest attempts to train and the newest release, newest first."""
    ranked = model_runs.withColumn("place", F.lit(0))
    newest_first = (F.desc("day"), F.desc("at"), F.asc("algorithm"))
    released = ranked.where(F.col("outcome") == RELEASED).orderBy(*newest_first).limit(1)
    return ranked.orderBy(*newest_first).limit(ATTEMPTS).unionByName(released)


def _per_reason(rejected: DataFrame) -> DataFrame:
    """One row per source and reason: refused rows (a row counts for each of its reasons) and the newest day with one."""
    return (
        rejected.select("source", "day", F.explode("reasons").alias("reason"))
        .groupBy("source", "reason")
        .agg(F.count("*").alias("rejected"), F.max("day").alias("last_day"))
        .withColumn("place", F.lit(0))
        .orderBy(F.desc("rejected"), "source", "reason")
        .limit(REASONS)
    )
