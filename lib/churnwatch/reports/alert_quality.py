"""Warnings of a day against what then happened."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.core.intervals import DIGITS, Z95, wilson
from churnwatch.reports.labelled_users import ratio
from churnwatch.settings import Settings
from churnwatch.settings.terms import ALL, UNKNOWN

RULE, LEVEL, CAUSE, OWNER, TOGETHER = "rule", "level", "cause", "owner", "together"  # besides: the name of a segment
LOOK = ("by", "rule_id", "level", "value")


def alert_quality(alerts: DataFrame, known: DataFrame, features: DataFrame, day: date, settings: Settings) -> DataFrame:
    """One row per look at the users warned on ``day``: precision, recall, lift with intervals, and days of lead.

    Looks: each rule (and the model) by level and at all levels, each level, cause, owner and value of a segment, everybody,
    and each two rules that spoke of the same user. A user counts once in a look. ``known``: ``per_labelled_user``.
    Treated users are no false alarms and no hits: they leave ``matured``, and the held-out, who stand for them, weigh so
    much more; intervals are Wilson's on the effective number (L. Kish, Survey Sampling, 1965: (sum of w)^2 / sum of w^2).
    """
    segments = _segments(features, day, settings)
    judged = known.join(segments, "user_id", "left")  # segments: one row a user
    warned = _per_warned_user(alerts).join(judged, "user_id", "left")  # judged: one row a user
    looks = F.concat("looks", _segment_looks(settings))
    counts = warned.select(*known.columns, F.explode(looks).alias("look")).groupBy("look").agg(*_counts(day, settings))
    base = judged.select(*known.columns, F.explode(_segment_looks(settings)).alias("base")).groupBy("base").agg(*_base())
    # what no segment tells is compared with everybody
    of_segment = F.col("look.by").isin(*settings.measures.segments)
    compared = counts.withColumn("base", F.when(of_segment, F.col("look")).otherwise(_look(ALL)))
    few = (F.col("look.by") == TOGETHER) & (F.col("fired") < settings.privacy.min_group_size)
    # base: one row a value of a segment
    return _rates(compared.where(~few).join(F.broadcast(base), "base", "left"), day)


def _look(by: str, rule_id: Column | None = None, level: Column | None = None, value: Column | None = None) -> Column:
    parts = [F.lit(by), *(F.lit(ALL) if part is None else part for part in (rule_id, level, value))]
    return F.struct(*(part.cast("string").alias(name) for part, name in zip(parts, LOOK, strict=True)))


def _segments(features: DataFrame, day: date, settings: Settings) -> DataFrame:
    names = [f"segment_{name}" for name in settings.measures.segments]
    return features.where(F.col("day") == F.lit(day)).select("user_id", *names)


def _segment_looks(settings: Settings) -> Column:
    """Everybody, and the row's own value of each segment, as an array of looks."""
    own = [_look(name, value=F.coalesce(f"segment_{name}", F.lit(UNKNOWN))) for name in settings.measures.segments]
    return F.array(_look(ALL), *own)


def _per_warned_user(alerts: DataFrame) -> DataFrame:
    """One row a warned user: ``looks``, in which the user's warnings count, segments aside; each once."""
    # rows of before there were signals tell their rule alone
    told = F.struct(
        "level",
        "owner",
        F.coalesce("cause", F.lit(UNKNOWN)).alias("cause"),
        F.coalesce("signals", F.array("rule_id")).alias("rules"),
    )
    users = alerts.where("scope = 'user'").groupBy("user_id").agg(F.collect_list(told).alias("told"))
    each = F.transform(
        "told",
        lambda one: F.array(_look(LEVEL, value=one["level"]), _look(CAUSE, value=one["cause"]), _look(OWNER, value=one["owner"])),
    )
    by_rule = F.transform(
        "told",
        lambda one: F.flatten(
            F.transform(one["rules"], lambda rule: F.array(_look(RULE, rule, one["level"]), _look(RULE, rule)))
        ),
    )
    rules = F.array_sort(F.array_distinct(F.flatten(F.transform("told", lambda one: one["rules"]))))
    pairs = F.flatten(
        F.transform(
            rules,
            lambda one: F.transform(F.filter(rules, lambda other: other > one), lambda other: _look(TOGETHER, one, value=other)),
        )
    )
    return users.select("user_id", F.array_distinct(F.concat(F.flatten(each), F.flatten(by_rule), pairs)).alias("looks"))


def _counts(day: date, settings: Settings) -> list[Column]:
    untreated, weight = F.col("treated") == F.lit(False), F.col("weight")
    hit = untreated & (F.col("churned") == 1)
    # only where churn is silence does it come to pass on a day that the last active one tells
    horizon = settings.primary.horizon_days if settings.primary.kind == "inactivity" else None
    lead = F.lit(horizon).cast("int") - F.datediff(F.lit(day), "last_active_day")
    return [
        F.count("*").alias("fired"),
        F.count_if("treated").alias("treated"),
        F.count_if(untreated).alias("matured"),
        F.count_if(hit).alias("churned"),
        F.sum(F.when(hit, weight)).alias("found"),
        F.sum(F.when(untreated, weight)).alias("judged_for"),
        F.sum(F.when(untreated, weight * weight)).alias("squares"),
        F.avg(F.when(hit, lead)).cast("double").alias("lead_days"),
        F.stddev_samp(F.when(hit, lead)).alias("lead_deviation"),
    ]


def _base() -> list[Column]:
    untreated, churned, weight = ~F.col("treated"), F.col("churned") == 1, F.col("weight")
    return [
        F.count_if(untreated).alias("base_eligible"),
        F.count_if(untreated & churned).alias("base_churned"),
        F.sum(F.when(untreated, weight)).alias("stands_for"),
        F.sum(F.when(untreated & churned, weight)).alias("to_find"),
        F.sum(F.when(untreated & churned, weight * weight)).alias("to_find_squares"),
    ]


def _rates(counts: DataFrame, day: date) -> DataFrame:
    found = F.coalesce("found", F.lit(0.0))
    precision, recall = ratio(found, F.col("judged_for")), ratio(found, F.col("to_find"))
    effective = F.try_divide(F.col("judged_for") * F.col("judged_for"), F.col("squares"))
    to_find = F.try_divide(F.col("to_find") * F.col("to_find"), F.col("to_find_squares"))
    base_rate = ratio(F.coalesce("to_find", F.lit(0.0)), F.col("stands_for"))
    low, high = wilson(precision * effective, effective)
    recall_low, recall_high = wilson(recall * to_find, to_find)
    half = Z95 * F.try_divide(F.col("lead_deviation"), F.sqrt(F.col("churned")))
    told = {
        "base_rate": base_rate,
        "precision": precision,
        "low": low,
        "high": high,
        "recall": recall,
        "lift": F.try_divide(precision, base_rate),
        "lead_days": F.col("lead_days"),
        "effective": effective,
        "recall_low": recall_low,
        "recall_high": recall_high,
        "lift_low": F.try_divide(low, base_rate),
        "lift_high": F.try_divide(high, base_rate),
        "lead_low": F.col("lead_days") - half,
        "lead_high": F.col("lead_days") + half,
    }
    numbers = {name: F.round(value, DIGITS).alias(name) for name, value in told.items()}
    later = ("effective", "recall_low", "recall_high", "lift_low", "lift_high", "lead_low", "lead_high")
    return counts.select(
        F.lit(day).alias("day"),
        F.col("look.rule_id").alias("rule_id"),
        F.col("look.level").alias("level"),
        "fired",
        "matured",
        "churned",
        F.coalesce("base_eligible", F.lit(0)).cast("long").alias("base_eligible"),
        F.coalesce("base_churned", F.lit(0)).cast("long").alias("base_churned"),
        *(column for name, column in numbers.items() if name not in later),
        F.col("look.by").alias("by"),
        F.col("look.value").alias("value"),
        "treated",
        *(numbers[name] for name in later),
    )
