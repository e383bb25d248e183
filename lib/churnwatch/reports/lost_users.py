"""The job classify_losses: classify each loss, and store when it happened."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.segments import with_segments
from churnwatch.activity.snapshots import per_snapshot, snapshots
from churnwatch.churn.labelling import only_definition
from churnwatch.core import only_days
from churnwatch.reports.churn_causes import known_cause
from churnwatch.settings import LossRule, Settings
from churnwatch.settings.names import definition_column
from churnwatch.settings.terms import UNKNOWN

KEYS = ("day", "user_id")


def classify_losses(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> dict[str, DataFrame]:
    """Build ``lost_users``: one row per day of ``days`` and user who churned by the primary definition.

    ``kind``, ``voluntary`` and ``rule`` are those of the first rule of ``churn.losses`` that applies. ``lost_on``: the
    day of the event that ended the relation (kind event), else the last day with an event of the definition up to the end of
    the lead. Weekday, month and tenure are those of ``lost_on``.
    """
    lost = (
        inputs["labels"]
        .transform(only_days, days)
        .transform(only_definition, settings.churn.primary)
        .where("churned")
        .select(*KEYS, "last_active_day")
        .transform(with_segments, inputs["users"], settings, inputs["first_seen"])
        .select(*KEYS, "last_active_day", "tenure_days")
        .join(inputs["scores"].select(*KEYS, known_cause().alias("cause")), list(KEYS), "left")  # one score a user and day
        .withColumn("cause", F.coalesce("cause", F.lit(UNKNOWN)))
        .transform(_with_signs, inputs, days, settings)
        .withColumn("lost_on", F.coalesce("ended_on", "last_active_day"))
    )
    tenure = F.col("tenure_days") + F.datediff("lost_on", "day")
    return {
        "lost_users": lost.select(
            *KEYS,
            F.coalesce(_first_rule(settings, lambda rule: rule.kind), F.lit(UNKNOWN)).alias("kind"),
            _first_rule(settings, lambda rule: rule.voluntary).cast("boolean").alias("voluntary"),
            _first_rule(settings, lambda rule: rule.id).cast("string").alias("rule"),
            "cause",
            "lost_on",
            (F.weekday("lost_on") + 1).alias("weekday"),
            F.month("lost_on").alias("month"),
            # a user may be active before the registration day that the source gives
            F.when(tenure.isNotNull(), F.greatest(tenure, F.lit(0))).alias("tenure_days"),
        )
    }


def _first_rule(settings: Settings, value: Callable[[LossRule], object]) -> Column:
    """Return ``value`` of the first rule that applies; null without one."""
    found = F.lit(None)
    for rule in reversed(settings.churn.losses):
        sign = F.col("cause").isin(rule.causes) if rule.causes else F.col(_sign(rule)) if rule.signs else F.lit(True)
        found = F.when(sign, F.lit(value(rule))).otherwise(found)
    return found


def _with_signs(frame: DataFrame, inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> DataFrame:
    """Add ``ended_on`` and, for each rule by definitions or an attribute, whether it applies (null: not)."""
    empty = frame.select(*KEYS, F.lit(None).cast("date").alias("ended_on")).where("false")
    signs = reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), _signs(inputs, days, settings), empty)
    rules = [rule for rule in settings.churn.losses if rule.definitions or rule.attribute]
    found = [F.min("ended_on").alias("ended_on"), *(F.bool_or(_sign(rule)).alias(_sign(rule)) for rule in rules)]
    return frame.join(signs.groupBy(*KEYS).agg(*found), list(KEYS), "left")


def _signs(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> Iterator[DataFrame]:
    """Yield frames with ``day``, ``user_id`` and columns of ``_with_signs``, a row per sign."""
    primary = settings.primary
    if primary.lead_days or primary.ends_by_event or any(rule.definitions for rule in settings.churn.losses):
        yield _signs_in_activity(inputs["activity"], days, settings)
    by_attribute = [rule for rule in settings.churn.losses if rule.attribute]
    if by_attribute:
        flags = {_sign(rule): F.col("attributes")[rule.attribute or ""].isin(rule.values) for rule in by_attribute}
        listed = reduce(lambda a, b: a | b, (F.coalesce(flag, F.lit(False)) for flag in flags.values()))
        columns = [flag.alias(name) for name, flag in flags.items()]
        on_day = F.col("snapshot").between(F.col("day"), F.col("until"))
        wanted = F.broadcast(snapshots(inputs["users"].sparkSession, days))
        for rows in (
            inputs["users"].where(listed).join(wanted, on_day),
            inputs["changes"].where(listed).transform(per_snapshot, days, oldest=-1, newest=-primary.ahead_days),
        ):
            yield rows.select(F.col("snapshot").alias("day"), "user_id", *columns)


def _signs_in_activity(activity: DataFrame, days: Sequence[date], settings: Settings) -> DataFrame:
    primary, rules = settings.primary, [rule for rule in settings.churn.losses if rule.definitions]
    counted = definition_column(settings.churn.primary)
    flags = {
        _sign(rule): reduce(lambda a, b: a | b, (F.col(definition_column(name)) > 0 for name in rule.definitions))
        for rule in rules
    }
    # age is negative after the as-of day
    ended = F.col("age") < -primary.lead_days if primary.ends_by_event else F.col("age").between(-primary.lead_days, -1)
    columns = sorted({counted, *(definition_column(name) for rule in rules for name in rule.definitions)})
    placed = (
        activity.select("day", "user_id", *columns)
        .where(reduce(lambda a, b: a | b, (F.col(name) > 0 for name in columns)))
        .transform(per_snapshot, days, oldest=primary.seen_days - 1, newest=-primary.ahead_days)
        .withColumn("on", F.when(ended & (F.col(counted) > 0), F.col("day")))
        .where(reduce(lambda a, b: a | b, flags.values(), F.col("on").isNotNull()))
        .groupBy(F.col("snapshot").alias("_snapshot"), "user_id")
    )
    newest = (F.min if primary.ends_by_event else F.max)("on").alias("ended_on")
    found = placed.agg(newest, *(F.bool_or(flag).alias(name) for name, flag in flags.items()))
    return found.withColumnRenamed("_snapshot", "day")


def _sign(rule: LossRule) -> str:
    return f"sign_{rule.id}"
