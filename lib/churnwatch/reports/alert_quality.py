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

RULE, LEVEL, CAUSE, OWNER, CLASS, TOGETHER = "rule", "level", "cause", "owner", "class", "together"  # besides: segments' names
LOOK = ("by", "rule_id", "level", "value")


def alert_quality(
    cases: DataFrame, known: DataFrame, features: DataFrame, day: date, settings: Settings
) -> list[tuple[Any, ...]]:
    """The rows of alert_quality, one per group of the users with a new or open warning on ``day``.

    Groups (looks): each rule, and the model, by level and at all levels; each level, cause, owner, class and value of a segment;
    all warned users; each two rules that fired for the same user. A user counts once in a group. ``cases``: ``judged_cases``;
    ``known``: ``per_labelled_user``.

    Precision, lift and lead time are those of the warnings raised on the day. Recall is of the churned users: the share with a
    new or open warning, because a user whose warning is still open is not warned again. Treated users are neither hits nor false
    alarms; the weights of the others stand for them. Where none represent some of them (``lacking``), rates that would need
    them are null. Intervals are Wilson's on the effective number of users. Collects one row per group.
    """
    kept = ("churned", "last_active_day", "churned_on", "treated", "weight", "lacking")
    people = (
        known.join(_segments(features, day, settings), "user_id", "left")  # one row a user on both sides
        .join(_per_warned_user(cases), "user_id", "full")  # one row a user on both sides
        .select(*kept, "acted", F.explode(_looks_of_user(settings)).alias("one"))
        .select(*kept, "acted", "one.*")
    )
    counts = people.groupBy("look").agg(*_counts(day), *_base())
    found = {tuple(row["look"]): row.asDict() for row in counts.collect()}
    rows = []
    for look, row in sorted(found.items()):
        by, rule_id, level, value = look
        # groups that are no segment's are compared with all users
        base = row if by in settings.measures.segments else found[(ALL,) * len(LOOK)]
        few = by == TOGETHER and row["fired"] < settings.privacy.min_group_size
        if row["warned"] and not few:
            named = {"day": day, "by": by, "rule_id": rule_id, "level": level, "value": value}
            counted = {name: row[name] for name in ("fired", "matured", "churned", "treated", "acted", "warned")}
            of_base = {name: base[name] for name in ("base_eligible", "base_churned")}
            note = row["lacking"] or base["base_lacking"]
            rows.append({**named, **counted, **of_base, **_rates(row, base), "note": note})
    return [tuple(row[name] for name in tables(settings).alert_quality.schema.names) for row in rows]


def _look(by: str, rule_id: Column | None = None, level: Column | None = None, value: Column | None = None) -> Column:
    parts = [F.lit(by), *(F.lit(ALL) if part is None else part for part in (rule_id, level, value))]
    return F.struct(*(part.cast("string").alias(name) for part, name in zip(parts, LOOK, strict=True)))


def _segments(features: DataFrame, day: date, settings: Settings) -> DataFrame:
    names = [f"segment_{name}" for name in settings.measures.segments]
    return features.where(F.col("day") == F.lit(day)).select("user_id", *names)


def _looks_of_user(settings: Settings) -> Column:
    """Structs of ``look``, ``new`` (the user was warned on the day) and ``warned`` (has a new or open warning): the groups in
    which a user counts; with both false the base groups of a labelled user."""
    of_segments = [_look(name, value=F.coalesce(f"segment_{name}", F.lit(UNKNOWN))) for name in settings.measures.segments]
    own = F.array(_look(ALL), *of_segments)

    def tagged(looks: Column, new: bool, warned: bool) -> Column:
        return F.transform(
            looks, lambda look: F.struct(look.alias("look"), F.lit(new).alias("new"), F.lit(warned).alias("warned"))
        )

    nobody = F.slice(tagged(own, False, False), 1, 0)

    def where_warned(looks: str, new: bool) -> Column:
        return F.when(F.size(looks) > 0, tagged(F.concat(looks, own), new, not new)).otherwise(nobody)

    base = F.when(F.col("weight").isNotNull(), tagged(own, False, False)).otherwise(nobody)
    return F.concat(where_warned("new_looks", True), where_warned("looks", False), base)


def _per_warned_user(cases: DataFrame) -> DataFrame:
    """One row per user with a new or open warning: ``looks``, the groups in which the user counts, each once, without those of
    segments; ``new_looks``, those of the warnings raised on the day; ``acted``, whether somebody acted on one of the warnings."""
    last = F.element_at("warnings", -1)
    # a case has the rules of all its warnings, and the level of the newest; a new warning has its own
    rules = F.array_distinct(F.flatten(F.transform("warnings", _rules_of)))
    own = F.struct(last["level"], last["owner"], F.coalesce(last["cause"], F.lit(UNKNOWN)).alias("cause"), last["class"])
    users = cases.select("user_id", "is_new", "acted", own.alias("own"), rules.alias("rules"), _rules_of(last).alias("new_rules"))
    case = F.struct("own.*", "rules")
    new = F.when(F.col("is_new"), F.struct("own.*", F.col("new_rules").alias("rules")))
    return (
        users.groupBy("user_id")
        .agg(F.collect_list(case).alias("cases"), F.collect_list(new).alias("new"), F.bool_or("acted").alias("acted"))
        .select("user_id", "acted", _looks_of("cases").alias("looks"), _looks_of("new").alias("new_looks"))
    )


def _rules_of(warning: Column) -> Column:
    # rows written before ``signals`` existed have their rule alone
    return F.coalesce(warning["signals"], F.array(warning["rule_id"]))


def _looks_of(warnings: str) -> Column:
    """The groups of a user's ``warnings``, each once."""
    each = F.transform(
        warnings,
        lambda one: F.array(*(_look(name, value=one[name]) for name in (LEVEL, CAUSE, OWNER))),
    )
    # rows written before ``class`` existed have none
    classes = F.transform(F.filter(warnings, lambda one: one[CLASS].isNotNull()), lambda one: _look(CLASS, value=one[CLASS]))
    by_rule = F.transform(
        warnings,
        lambda one: F.flatten(
            F.transform(one["rules"], lambda rule: F.array(_look(RULE, rule, one["level"]), _look(RULE, rule)))
        ),
    )
    rules = F.array_sort(F.array_distinct(F.flatten(F.transform(warnings, lambda one: one["rules"]))))
    pairs = F.flatten(
        F.transform(
            rules,
            lambda one: F.transform(F.filter(rules, lambda other: other > one), lambda other: _look(TOGETHER, one, value=other)),
        )
    )
    return F.array_distinct(F.concat(F.flatten(each), classes, F.flatten(by_rule), pairs))


def _counts(day: date) -> list[Column]:
    new, weight = F.col("new"), F.col("weight")
    untreated = F.col("treated") == F.lit(False)
    judged, hit = new & untreated, new & untreated & (F.col("churned") == 1)
    found = F.col("warned") & untreated & (F.col("churned") == 1)
    lead, silent = F.datediff("churned_on", F.lit(day)), F.datediff(F.lit(day), "last_active_day")
    return [
        F.count_if(new).alias("fired"),
        F.count_if("warned").alias("warned"),
        F.count_if(new & F.col("treated")).alias("treated"),
        F.count_if(new & F.col("acted")).alias("acted"),
        F.count_if(judged).alias("matured"),
        F.count_if(hit).alias("churned"),
        F.sum(F.when(hit, weight)).alias("hit_weight"),
        F.sum(F.when(judged, weight)).alias("matured_weight"),
        F.sum(F.when(judged, weight * weight)).alias("matured_squares"),
        F.sum(F.when(found, weight)).alias("found_weight"),
        F.max(F.when(new, F.col("lacking"))).alias("lacking"),
        F.avg(F.when(hit, lead)).cast("double").alias("lead_days"),
        F.stddev_samp(F.when(hit, lead)).alias("lead_deviation"),
        F.avg(F.when(hit, silent)).cast("double").alias("silent_days"),
    ]


def _base() -> list[Column]:
    labelled, churned, weight = ~F.col("new") & ~F.col("warned"), F.col("churned") == 1, F.col("weight")
    untreated = labelled & ~F.col("treated")
    return [
        F.count_if(untreated).alias("base_eligible"),
        F.count_if(untreated & churned).alias("base_churned"),
        F.sum(F.when(untreated, weight)).alias("base_weight"),
        F.sum(F.when(untreated & churned, weight)).alias("churned_weight"),
        F.sum(F.when(untreated & churned, weight * weight)).alias("churned_squares"),
        F.max(F.when(labelled, F.col("lacking"))).alias("base_lacking"),
    ]


def _rates(row: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, float | None]:
    """Rates of a group against its ``base``, with 95 % intervals, rounded; None where undefined, or where none represent the
    users of a level who were acted on."""
    hits = row["hit_weight"] or 0.0
    precision = None if row["lacking"] else _share(hits, row["matured_weight"])
    known = not base["base_lacking"]
    recall = _share(row["found_weight"] or 0.0, base["churned_weight"]) if known else None
    base_rate = _share(base["churned_weight"] or 0.0, base["base_weight"]) if known else None
    effective = _over(row["matured_weight"], row["matured_weight"], row["matured_squares"])
    effective_churned = _over(base["churned_weight"], base["churned_weight"], base["churned_squares"])
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
        "silent_days": row["silent_days"],
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
