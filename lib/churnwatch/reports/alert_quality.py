"""Quality of warnings: how many of the users warned on a day then churned, by rule, level, cause, owner and segment."""

from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from math import sqrt
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.core.intervals import DIGITS, Z95, wilson_interval
from churnwatch.settings import Settings
from churnwatch.settings.terms import ALL, UNKNOWN
from churnwatch.tables import tables

RULE, LEVEL, CAUSE, OWNER, TOGETHER = "rule", "level", "cause", "owner", "together"  # besides: the name of a segment
LOOK = ("by", "rule_id", "level", "value")


def alert_quality(
    alerts: DataFrame, known: DataFrame, features: DataFrame, day: date, settings: Settings
) -> list[tuple[Any, ...]]:
    """The rows of alert_quality, one per group of the users warned on ``day``: precision, recall, lift, and days of lead.

    Groups (looks): each rule, and the model, by level and at all levels; each level, cause, owner and value of a segment; all
    warned users; each two rules that fired for the same user. A user counts once in a group. ``known``: ``per_labelled_user``.

    Treated users are neither hits nor false alarms: they are not in ``matured``, and held-out users, who stand for them, get a
    higher weight. Intervals are Wilson's on the effective number of users (L. Kish, Survey Sampling, 1965:
    (sum of w)^2 / sum of w^2). Collects one row per group.
    """
    people = (
        known.join(_segments(features, day, settings), "user_id", "left")  # one row a user on both sides
        .join(_per_warned_user(alerts), "user_id", "full")  # one row a user on both sides
        .select("churned", "last_active_day", "treated", "weight", F.explode(_looks_of_user(settings)).alias("one"))
        .select("churned", "last_active_day", "treated", "weight", "one.look", "one.warned")
    )
    counts = people.groupBy("look").agg(*_counts(day, settings), *_base())
    found = {tuple(row["look"]): row.asDict() for row in counts.collect()}
    rows = []
    for look, row in sorted(found.items()):
        by, rule_id, level, value = look
        # groups that are no segment's are compared with all users
        base = row if by in settings.measures.segments else found[(ALL,) * len(LOOK)]
        few = by == TOGETHER and row["fired"] < settings.privacy.min_group_size
        if row["fired"] and not few:
            named = {"day": day, "by": by, "rule_id": rule_id, "level": level, "value": value}
            kept = {name: row[name] for name in ("fired", "matured", "churned", "treated")}
            of_base = {name: base[name] for name in ("base_eligible", "base_churned")}
            rows.append({**named, **kept, **of_base, **_rates(row, base)})
    return [tuple(row[name] for name in tables(settings).alert_quality.schema.names) for row in rows]


def _look(by: str, rule_id: Column | None = None, level: Column | None = None, value: Column | None = None) -> Column:
    parts = [F.lit(by), *(F.lit(ALL) if part is None else part for part in (rule_id, level, value))]
    return F.struct(*(part.cast("string").alias(name) for part, name in zip(parts, LOOK, strict=True)))


def _segments(features: DataFrame, day: date, settings: Settings) -> DataFrame:
    names = [f"segment_{name}" for name in settings.measures.segments]
    return features.where(F.col("day") == F.lit(day)).select("user_id", *names)


def _looks_of_user(settings: Settings) -> Column:
    """Structs of ``look`` and ``warned``: the groups in which a warned user counts, and the base groups of a labelled one."""
    of_segments = [_look(name, value=F.coalesce(f"segment_{name}", F.lit(UNKNOWN))) for name in settings.measures.segments]
    own = F.array(_look(ALL), *of_segments)

    def tagged(looks: Column, warned: bool) -> Column:
        return F.transform(looks, lambda look: F.struct(look.alias("look"), F.lit(warned).alias("warned")))

    nobody = F.slice(tagged(own, False), 1, 0)
    of_warned = F.when(F.col("looks").isNotNull(), tagged(F.concat("looks", own), True)).otherwise(nobody)
    return F.concat(of_warned, F.when(F.col("weight").isNotNull(), tagged(own, False)).otherwise(nobody))


def _per_warned_user(alerts: DataFrame) -> DataFrame:
    """One row per warned user: ``looks``, the groups in which the user counts, each once; without those of segments."""
    # rows written before ``signals`` existed have their rule alone
    warning = F.struct(
        "level",
        "owner",
        F.coalesce("cause", F.lit(UNKNOWN)).alias("cause"),
        F.coalesce("signals", F.array("rule_id")).alias("rules"),
    )
    users = alerts.where("scope = 'user'").groupBy("user_id").agg(F.collect_list(warning).alias("warnings"))
    each = F.transform(
        "warnings",
        lambda one: F.array(_look(LEVEL, value=one["level"]), _look(CAUSE, value=one["cause"]), _look(OWNER, value=one["owner"])),
    )
    by_rule = F.transform(
        "warnings",
        lambda one: F.flatten(
            F.transform(one["rules"], lambda rule: F.array(_look(RULE, rule, one["level"]), _look(RULE, rule)))
        ),
    )
    rules = F.array_sort(F.array_distinct(F.flatten(F.transform("warnings", lambda one: one["rules"]))))
    pairs = F.flatten(
        F.transform(
            rules,
            lambda one: F.transform(F.filter(rules, lambda other: other > one), lambda other: _look(TOGETHER, one, value=other)),
        )
    )
    return users.select("user_id", F.array_distinct(F.concat(F.flatten(each), F.flatten(by_rule), pairs)).alias("looks"))


def _counts(day: date, settings: Settings) -> list[Column]:
    warned, weight = F.col("warned"), F.col("weight")
    untreated = warned & (F.col("treated") == F.lit(False))
    hit = untreated & (F.col("churned") == 1)
    # the day of churn is known from the last active day only where churn is inactivity
    horizon = settings.primary.horizon_days if settings.primary.kind == "inactivity" else None
    lead = F.lit(horizon).cast("int") - F.datediff(F.lit(day), "last_active_day")
    return [
        F.count_if(warned).alias("fired"),
        F.count_if(warned & F.col("treated")).alias("treated"),
        F.count_if(untreated).alias("matured"),
        F.count_if(hit).alias("churned"),
        F.sum(F.when(hit, weight)).alias("hit_weight"),
        F.sum(F.when(untreated, weight)).alias("matured_weight"),
        F.sum(F.when(untreated, weight * weight)).alias("matured_squares"),
        F.avg(F.when(hit, lead)).cast("double").alias("lead_days"),
        F.stddev_samp(F.when(hit, lead)).alias("lead_deviation"),
    ]


def _base() -> list[Column]:
    churned, weight = F.col("churned") == 1, F.col("weight")
    untreated = ~F.col("warned") & ~F.col("treated")
    return [
        F.count_if(untreated).alias("base_eligible"),
        F.count_if(untreated & churned).alias("base_churned"),
        F.sum(F.when(untreated, weight)).alias("base_weight"),
        F.sum(F.when(untreated & churned, weight)).alias("churned_weight"),
        F.sum(F.when(untreated & churned, weight * weight)).alias("churned_squares"),
    ]


def _rates(row: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, float | None]:
    """Rates of a group against its ``base``, with 95 % intervals, rounded; None where undefined."""
    hits = row["hit_weight"] or 0.0
    precision, recall = _share(hits, row["matured_weight"]), _share(hits, base["churned_weight"])
    effective = _over(row["matured_weight"], row["matured_weight"], row["matured_squares"])
    effective_churned = _over(base["churned_weight"], base["churned_weight"], base["churned_squares"])
    base_rate = _share(base["churned_weight"] or 0.0, base["base_weight"])
    low, high = _interval(precision, effective)
    recall_low, recall_high = _interval(recall, effective_churned)
    lead = row["lead_days"]
    half = None if row["lead_deviation"] is None else Z95 * row["lead_deviation"] / sqrt(row["churned"])
    values = {
        "base_rate": base_rate,
        "precision": precision,
        "low": low,
        "high": high,
        "recall": recall,
        "lift": _over(precision, 1.0, base_rate),
        "lead_days": lead,
        "effective": effective,
        "recall_low": recall_low,
        "recall_high": recall_high,
        "lift_low": _over(low, 1.0, base_rate),
        "lift_high": _over(high, 1.0, base_rate),
        "lead_low": None if half is None else lead - half,
        "lead_high": None if half is None else lead + half,
    }
    return {name: None if value is None else rounded(value) for name, value in values.items()}


def rounded(value: float) -> float:
    """``value`` to DIGITS decimals, halves away from 0 as in Spark; Python's ``round`` takes them to the even digit."""
    return float(Decimal(str(value)).quantize(Decimal(1).scaleb(-DIGITS), ROUND_HALF_UP))


def _share(part: float, whole: float | None) -> float | None:
    """``part / whole``, at most 1 because weights leave a residue of 1e-16; None where ``whole`` is 0 or None."""
    return min(1.0, part / whole) if whole else None


def _over(one: float | None, other: float | None, divisor: float | None) -> float | None:
    """``one * other / divisor``; None where one of them is None, or the divisor 0."""
    return None if one is None or other is None or not divisor else one * other / divisor


def _interval(rate: float | None, users: float | None) -> tuple[float | None, float | None]:
    return (None, None) if rate is None or users is None else wilson_interval(rate * users, users)
