"""Collect the numbers that a page shows. They are bounded by tiers, days, segments and jobs, and by 20 users."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core.job import Frames
from churnwatch.reports.alert_quality import RULE, TOGETHER
from churnwatch.reports.churn_causes import known_cause
from churnwatch.reports.queries import Groups, Rows, collect_rows, count_groups, in_order
from churnwatch.settings import Settings
from churnwatch.settings.terms import ALL, RELEASED

__all__ = ["PageFacts", "Rows", "at_risk_tiers", "collect_facts"]

TOP_USERS = 20
COHORTS = 13
GROUP_WARNINGS = 30
REASONS = 60  # reject reasons are a fixed list a source; the limit guards the page
ATTEMPTS = 12  # rows: an attempt has one an algorithm
LESSONS = 30
GROUP_COLUMNS = ("day", "segment", "value", "rule_id", "level", "cause", "evidence", "owner", "due_on")
COHORT_COLUMNS = ("day", "cohort", "period", "size", "active", "retained", "low", "high", "change", "complete", "before_data")
RUN_COLUMNS = ("job", "instance", "day", "at", "status", "days", "message")
TOP_COLUMNS = (
    *("user_id", "tier", "previous_tier", "probability", "value_cents", "value_at_risk_cents"),
    *("reasons", "cause", "cause_rule", "evidence", "improvement"),
)


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


def collect_facts(inputs: Frames, day: date, settings: Settings) -> PageFacts:
    """Collect what the page of ``day`` shows, in three queries. Empty tables give empty fields.

    The first ranks users, the second counts groups and finds the newest stored days, the third reads rows of these days.
    """
    risky = at_risk_tiers(settings)
    top = _top_users(inputs["scores"].where(F.col("day") == day), risky)
    counts = count_groups(_groups(inputs, day, risky, settings))
    rows = collect_rows(_frames(inputs, day, [row["user_id"] for row in top], counts, settings))
    return PageFacts(
        day=day,
        tiers=_per_tier(counts["scores"]),
        risk_causes=_per_cause(counts["scores"]),
        top_users=top,
        top_warnings=rows.get("top_warnings", []),
        warnings=_renamed(counts["warnings"], count="raised"),
        warned_users=[_warned_users(counts["warned_users"])],
        group_warnings=_ranked(rows["group_warnings"], GROUP_WARNINGS, "rule_id", "segment", "value"),
        actions=_renamed(counts["actions"], count="users", expected_value_cents="expected_cents"),
        trend=rows["trend"],
        cohorts=_newest_cohorts(rows["cohorts"]),
        rates=rows["rates"],
        lift=_newest_day(rows["lift"]),
        causes=_newest_day(rows["causes"]),
        profile=rows["profile"],
        alert_quality=_newest_day(rows["alert_quality"]),
        alert_history=_per_look(rows["alert_quality"]),
        lessons=_ranked(rows["lessons"], LESSONS, "rule_id", "lesson", "who"),
        model_quality=rows["model_quality"],
        drift=rows["drift"],
        model_runs=_newest_attempts(rows["model_runs"]),
        rejected=_per_reason(counts["rejected"]),
        runs=rows["runs"],
    )


def _top_users(scores: DataFrame, risky: Sequence[str]) -> Rows:
    """The users at risk with the most value at risk, ranked."""
    ranked = (
        scores.where(F.col("tier").isin(*risky))
        .select(*TOP_COLUMNS)
        .orderBy(F.desc("value_at_risk_cents"), F.desc("probability"), "user_id")
        .limit(TOP_USERS)
    )
    return [row.asDict(recursive=True) for row in ranked.collect()]


def _groups(inputs: Frames, day: date, risky: Sequence[str], settings: Settings) -> dict[str, Groups]:
    """What is counted, by field of the page; and the stored days of the tables of which the page shows the newest."""
    today = F.col("day") == day
    cause = F.when(today & F.col("tier").isin(*risky), known_cause())
    per_user = (
        inputs["alerts"].where("scope = 'user'").groupBy("user_id").agg(F.min("day").alias("first"), F.max("day").alias("day"))
    )
    return {
        "scores": Groups(
            inputs["scores"].withColumn("cause", cause), ("tier", "previous_tier", "cause"), ("value_at_risk_cents",)
        ),
        "warnings": Groups(inputs["alerts"], ("rule_id", "level", "scope")),
        "warned_users": Groups(per_user.where(today).withColumn("new", F.col("first") == day), ("new",)),
        "actions": Groups(
            inputs["actions"].where(today), ("campaign", "arm", "suppressed_because"), ("cost_cents", "expected_value_cents")
        ),
        "rejected": Groups(inputs["rejected"].withColumn("reason", F.explode("reasons")), ("source", "reason")),
        "rates": Groups(inputs["rates"].where(F.col("definition") == settings.churn.primary)),
        "profile": Groups(inputs["profile"]),
        "drift": Groups(inputs["drift"]),
        "model_runs": Groups(inputs["model_runs"], ("outcome",)),
    }


def _frames(inputs: Frames, day: date, top_users: Sequence[str], counts: Mapping[str, Rows], settings: Settings) -> Frames:
    """The frames whose rows are collected, by field of the page."""
    primary, of_all = F.col("definition") == settings.churn.primary, F.col("segment") == ALL
    today, alerts = F.col("day") == day, inputs["alerts"]
    frames = {
        "group_warnings": alerts.where("scope <> 'user'").select(*GROUP_COLUMNS),
        "trend": inputs["trend"].where(of_all | today),
        "cohorts": inputs["cohorts"].where(of_all & (F.col("cohort_by") == "month")).select(*COHORT_COLUMNS),
        "rates": inputs["rates"].where(of_all | (primary & F.col("day").isin(_newest(counts["rates"])))),
        "lift": inputs["lift"],
        "causes": inputs["causes"],
        "profile": inputs["profile"].where(F.col("day").isin(_newest(counts["profile"]))),
        "alert_quality": inputs["alert_quality"],
        "model_quality": inputs["model_quality"],
        "drift": inputs["drift"].where(F.col("day").isin(_newest(counts["drift"]))),
        "model_runs": inputs["model_runs"].where(F.col("day").isin(_days_of_attempts(counts["model_runs"]))),
        "runs": inputs["runs"].select(*RUN_COLUMNS),
        "lessons": _lessons(inputs["alert_events"]),
    }
    if top_users:
        warned = today & F.col("user_id").isin(*top_users)
        frames["top_warnings"] = alerts.where(warned).select("user_id", "rule_id", "level")
    return frames


def _lessons(alert_events: DataFrame) -> DataFrame:
    """The newest lessons of closed warnings; one that many share is one row. Cut here, because people write any number."""
    closed = alert_events.where("action = 'closed' AND lesson IS NOT NULL")
    own = closed.select("day", "rule_id", "outcome", "lesson", "who").distinct()
    return own.orderBy(F.desc("day"), "rule_id", "lesson", "who").limit(LESSONS)


def _newest(counts: Rows) -> list[date]:
    """The newest counted day, in a list; empty without rows."""
    return [max(row["day"] for row in counts)] if counts else []


def _days_of_attempts(counts: Rows) -> list[date]:
    """The days that hold the newest ATTEMPTS rows of model_runs, and the day of the newest release."""
    days, rows = {row["day"] for row in counts if row["outcome"] == RELEASED}, 0
    days = set(sorted(days)[-1:])
    for row in sorted(counts, key=lambda row: row["day"], reverse=True):
        if rows < ATTEMPTS:
            days.add(row["day"])
        rows += row["count"]
    return sorted(days)


def _summed(rows: Rows, *keys: str) -> list[dict[str, Any]]:
    """Users and cents at risk per ``keys``."""
    users: Counter[tuple[Any, ...]] = Counter()
    cents: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        key = tuple(row[name] for name in keys)
        users[key] += row["count"]
        cents[key] += row["value_at_risk_cents"] or 0
    return in_order([dict(zip(keys, key, strict=True)) | {"users": users[key], "at_risk_cents": cents[key]} for key in users])


def _per_tier(counts: Rows) -> Rows:
    """One row per day, tier and previous tier: users and cents at risk."""
    return _summed(counts, "day", "tier", "previous_tier")


def _per_cause(counts: Rows) -> Rows:
    """One row per tier at risk and cause: users and cents at risk, of the page's day."""
    return _summed([row for row in counts if row["cause"] is not None], "tier", "cause")


def _warned_users(counts: Rows) -> dict[str, int]:
    """Users warned on the day, and those of them not warned in the six days before."""
    return {
        "users": sum(row["count"] for row in counts),
        "new": sum(row["count"] for row in counts if row["new"] == "true"),
    }


def _renamed(rows: Rows, **names: str) -> Rows:
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]


def _ranked(rows: Rows, most: int, *names: str) -> Rows:
    """The first ``most`` rows, newest first, then by ``names`` (nulls first)."""
    ordered = sorted(rows, key=lambda row: [(row[name] is not None, row[name] or "") for name in names])
    return sorted(ordered, key=lambda row: row["day"], reverse=True)[:most]


def _newest_cohorts(months: Rows) -> Rows:
    """The whole base's triangle by month, for the newest cohorts."""
    newest = max((row["cohort"] for row in months), default=None)
    return [row for row in months if _months(newest) - _months(row["cohort"]) < COHORTS] if newest else []


def _months(day: date) -> int:
    return day.year * 12 + day.month


def _newest_day(rows: Rows) -> Rows:
    newest = max((row["day"] for row in rows), default=None)
    return [row for row in rows if row["day"] == newest]


def _per_look(alert_quality: Rows) -> Rows:
    """One row per look at warnings of a rule, or of two together: its judged days added up (days without ``by`` know none)."""
    looks: defaultdict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    keys = ("by", "rule_id", "level", "value")
    for row in alert_quality:
        if row["by"] in (RULE, TOGETHER):
            looks[tuple(row[key] for key in keys)].append(row)
    return in_order(
        [
            dict(zip(keys, look, strict=True))
            | {
                "fired": _total(row["fired"] for row in rows),
                "effective": _total(row["effective"] for row in rows),
                "hits": _total(_product(row["precision"], row["effective"]) for row in rows),
                "expected": _total(_product(row["base_rate"], row["effective"]) for row in rows),
            }
            for look, rows in looks.items()
        ]
    )


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _product(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one * other


def _newest_attempts(model_runs: Rows) -> Rows:
    """The newest attempts to train, newest first, and after them the newest release."""
    ordered = sorted(model_runs, key=lambda row: row["algorithm"])
    ordered = sorted(ordered, key=lambda row: (row["day"], row["at"]), reverse=True)
    return ordered[:ATTEMPTS] + [row for row in ordered if row["outcome"] == RELEASED][:1]


def _per_reason(counts: Rows) -> Rows:
    """One row per source and reason: refused rows (a row counts for each of its reasons) and the newest day with one."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in counts:
        key = (one["source"], one["reason"])
        before = rows.setdefault(key, {"source": key[0], "reason": key[1], "rejected": 0, "last_day": one["day"]})
        before["rejected"] += one["count"]
        before["last_day"] = max(before["last_day"], one["day"])
    return sorted(rows.values(), key=lambda row: (-row["rejected"], row["source"], row["reason"]))[:REASONS]
