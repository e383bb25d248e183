"""Warnings of a day, by rules and by the model, for users, groups and the base."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.alerts.by_model import model_warning
from churnwatch.alerts.groups import BASE, per_group
from churnwatch.alerts.rules import WARNING, matched, per_warning, with_scores_and_attributes
from churnwatch.core.job import Frames
from churnwatch.settings import Settings

ID_DIGITS = 32


def raised(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """Warnings of the day: one row a day, rule and subject (user, group or base).

    All rules of users and the model's tiers are judged in one pass over the features; rules of groups and the base on
    the newest day of ``trend`` before the day. A rule keeps quiet about a subject for its ``cool_down_days`` after it
    warned and after that warning was closed; the model likewise for 7 days, unless the tier's level rose.
    """
    (day,) = days
    users = _about_users(inputs, settings)
    groups = _about_groups(inputs, settings)
    warnings = users.unionByName(groups).withColumn("subject", subject())
    earlier = _quiet_from(inputs["alerts"], inputs["alert_events"], day)
    fresh = warnings.join(earlier, ["rule_id", "subject"], "left").where(  # earlier: one row a rule and subject
        F.col("rose") | F.col("last_on").isNull() | (F.datediff(F.lit(day), "last_on") > F.col("cool_down_days"))
    )
    return {"risk_alerts": _as_alerts(fresh, day)}


def subject() -> Column:
    """Whom a warning is about, as text: the user, else segment=value."""
    return F.coalesce(F.col("user_id"), F.concat("segment", F.lit("="), "value"))


def _about_users(inputs: Frames, settings: Settings) -> DataFrame:
    people = with_scores_and_attributes(inputs["features"], inputs["scores"], inputs["users"], settings)
    rules = [rule for rule in settings.rules.rules if rule.scope == "user"]
    warnings = [matched(rule, people.schema, settings) for rule in rules] + [model_warning(settings)]
    none = F.lit(None).cast("string")
    return per_warning(people, ("user_id",), warnings).select(
        F.lit("user").alias("scope"), "user_id", none.alias("segment"), none.alias("value"), *WARNING.names
    )


def _about_groups(inputs: Frames, settings: Settings) -> DataFrame:
    groups = per_group(inputs["trend"], inputs["rates"], settings)
    big = F.col("active") >= settings.privacy.min_group_size
    is_base = F.col("segment") == BASE
    judged = {"base": is_base, "group": ~is_base & big}
    rules = [rule for rule in settings.rules.rules if rule.scope in judged]
    warnings = [F.when(judged[rule.scope], matched(rule, groups.schema, settings)) for rule in rules]
    return per_warning(groups, ("segment", "value"), warnings).select(
        F.when(is_base, F.lit("base")).otherwise(F.lit("group")).alias("scope"),
        F.lit(None).cast("string").alias("user_id"),
        "segment",
        "value",
        *WARNING.names,
    )


def _quiet_from(alerts: DataFrame, alert_events: DataFrame, day: date) -> DataFrame:
    """``last_on`` per rule and subject: the newest day on which it was warned of or its warning was closed."""
    closed = (
        alert_events.where((F.col("action") == "closed") & (F.col("day") < F.lit(day)))
        .groupBy("alert_id")
        .agg(F.max("day").alias("closed_on"))
    )
    return (
        alerts.where(F.col("day") < F.lit(day))
        .select("day", "alert_id", "rule_id", subject().alias("subject"))
        .join(closed, "alert_id", "left")  # closed: one row a warning
        .groupBy("rule_id", "subject")
        .agg(F.max(F.greatest("day", "closed_on")).alias("last_on"))
    )


def _as_alerts(warnings: DataFrame, day: date) -> DataFrame:
    # no name, day or rule id holds the separator, so that no two subjects write the same text
    text = F.concat_ws("\x1f", F.lit(str(day)), "rule_id", "subject")
    return warnings.select(
        F.lit(day).alias("day"),
        F.substring(F.sha2(text, 256), 1, ID_DIGITS).alias("alert_id"),
        "scope",
        "user_id",
        "segment",
        "value",
        "rule_id",
        "level",
        "cause",
        "evidence",
        "owner",
        F.date_add(F.lit(day), F.col("within_days")).alias("due_on"),
    )
