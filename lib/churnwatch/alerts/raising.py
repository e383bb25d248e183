"""Raise the warnings of a day, by rules and by the model, for users, groups and the base."""

from collections.abc import Sequence
from datetime import date

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType

from churnwatch.activity import only_people
from churnwatch.alerts.cases import cases_per_subject, subject, with_open_case
from churnwatch.alerts.groups import group_filters, group_inputs, per_group, with_base
from churnwatch.alerts.level_raises import TOP_VALUE, immediate_raises, is_top_value, per_value_bin, top_value_cut
from churnwatch.alerts.model_warnings import model_signal
from churnwatch.alerts.owners import group_owner, routed_owner
from churnwatch.alerts.rules import SIGNAL, only_matching, present_signals, rule_signals, value_for
from churnwatch.core.job import Frames
from churnwatch.core.small_frames import collect_together
from churnwatch.scoring.rule_conditions import attributes, check_conditions
from churnwatch.settings import Settings
from churnwatch.settings.rule_columns import named_columns, routed_by, rules_on
from churnwatch.settings.terms import ALL, BASE_SCOPE

ID_DIGITS = 32
SUBJECT = ("scope", "user_id", "segment", "value")


def raise_alerts(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """Return the warnings of the day: one row per subject (user, group or base) and cause that is new or has risen.

    Rules of users and the model's tiers are evaluated in one pass over the features; rules of groups and the base on the
    newest day of ``trend``, which ends the day before. A subject has at most one open case per cause: while it is open, a
    signal of its cause is dropped unless it raises the level; then the new row names the case in ``escalates``. Collects
    ``trend`` and ``rates``, and the users per bin of value at risk: bounded by groups, days and bins.
    """
    (day,) = days
    share = settings.tiers.raises.value_at_risk_top_share
    small = collect_together(
        group_inputs(inputs["trend"], inputs["rates"], settings)
        | ({} if share is None else {"bins": per_value_bin(inputs["scores"])})
    )
    cut = None if share is None else top_value_cut(small["bins"].to_pylist(), share)
    found = _about_users(inputs, small["trend"], cut, day, settings)
    if any(rule.scope != "user" for rule in rules_on(day, settings)):
        context = inputs.get("context")
        groups = per_group(found.sparkSession, small["trend"], small["rates"], context, day, settings)
        found = found.unionByName(_about_groups(groups, day, settings))
    found = found.withColumn("subject", subject())
    cases = cases_per_subject(inputs["alerts"], inputs["alert_events"], day, settings)
    warnings = _per_cause(with_open_case(found, cases, day), settings)
    return {"risk_alerts": _as_alerts(warnings, day, settings)}


def _about_users(inputs: Frames, trend: pa.Table, cut: int | None, day: date, settings: Settings) -> DataFrame:
    """Return one row per user with signals.

    Rules that name features alone are evaluated on the features, and the model's tiers on the scores, so that the join carries
    only what they found. The columns that other rules and routes name are joined for every user. ``cut``: see is_top_value.
    """
    features = with_base(only_people(inputs["features"]), trend, settings)
    scores = inputs["scores"].withColumn(TOP_VALUE, is_top_value(cut))
    rules = [rule for rule in rules_on(day, settings) if rule.scope == "user"]
    early = [rule for rule in rules if named_columns(rule) <= set(features.columns)]
    late = [rule for rule in rules if rule not in early]
    needed = {name for rule in late for name in named_columns(rule)} | routed_by(settings)
    needed -= {"user_id"}  # is joined in any case
    of_features = [name for name in features.columns if name in needed]
    of_scores = [name for name in scores.columns if name in needed and name not in features.columns]
    of_users = sorted(needed - {*features.columns, *scores.columns})
    everybody = bool(late or of_features)
    check_conditions(features, early)
    by_model = scores.select(
        *dict.fromkeys(("user_id", "value_at_risk_cents", TOP_VALUE, *of_scores)), model_signal(settings).alias("by_model")
    )
    people = (
        (features if everybody else only_matching(features, early))
        .select("user_id", *of_features, present_signals(rule_signals(early, features.schema, settings)).alias("found"))
        .join(by_model, "user_id", "left" if everybody else "full")  # by_model: one row per user
    )
    if of_users:
        people = people.join(attributes(inputs["users"], of_users), "user_id", "left")  # users: one row per user
    check_conditions(people, late)
    found = present_signals([*rule_signals(late, people.schema, settings), F.col("by_model")])
    none = F.lit(None).cast("string")
    return (
        people.withColumn("signals", F.concat(F.coalesce("found", F.array().cast(ArrayType(SIGNAL))), found))
        .where(F.size("signals") > 0)
        .select(
            F.lit("user").alias("scope"),
            "user_id",
            none.alias("segment"),
            none.alias("value"),
            "value_at_risk_cents",
            immediate_raises(settings).alias("raised_by"),
            routed_owner(settings).alias("routed"),
            "signals",
        )
    )


def _about_groups(groups: DataFrame, day: date, settings: Settings) -> DataFrame:
    """Return the rows of ``per_group`` with signals."""
    filters = group_filters(settings)
    rules = [rule for rule in rules_on(day, settings) if rule.scope in filters]
    check_conditions(groups, rules)
    found = rule_signals(rules, groups.schema, settings)
    filtered = [F.when(filters[rule.scope], one) for rule, one in zip(rules, found, strict=True)]
    return (
        groups.withColumn("signals", present_signals(filtered))
        .where(F.size("signals") > 0)
        .select(
            F.when(F.col("segment") == ALL, F.lit(BASE_SCOPE)).otherwise(F.lit("group")).alias("scope"),
            F.lit(None).cast("string").alias("user_id"),
            "segment",
            "value",
            F.lit(None).cast("long").alias("value_at_risk_cents"),
            F.lit(0).alias("raised_by"),
            F.lit(None).cast("string").alias("routed"),
            "signals",
        )
    )


def _per_cause(signals: DataFrame, settings: Settings) -> DataFrame:
    """Return one row per subject and cause to warn about, with the strongest signal and the rank of the warning's level.

    New case: the signal's level plus any raise. Open case: warn only if that level is higher than the case's, or if a
    different rule fired (then one level above the case's).
    """
    last = len(settings.tiers.levels) - 1
    causes = signals.groupBy("subject", *SUBJECT, "signal.cause").agg(
        F.max("signal").alias("best"),
        F.sort_array(F.collect_set("signal.rule_id")).alias("signals"),
        F.first("open").alias("open"),  # equal for all signals of a cause
        F.first("value_at_risk_cents").alias("value_at_risk_cents"),
        F.first("raised_by").alias("raised_by"),
        F.first("routed").alias("routed"),
    )
    rank = F.least(F.col("best.rank") + F.col("raised_by"), F.lit(last))
    another = F.size(F.array_except("signals", "open.signals")) > 0
    second = F.lit(settings.tiers.raises.second_signal) & another & (F.col("open.rank") < last)
    risen = F.when(F.col("open").isNull() | (rank > F.col("open.rank")), rank).when(second, F.col("open.rank") + 1)
    return causes.withColumn("rank", risen).where(F.col("rank").isNotNull())


def _as_alerts(warnings: DataFrame, day: date, settings: Settings) -> DataFrame:
    # no name, day or rule id contains the separator, so each subject has a text of its own
    text = F.concat_ws("\x1f", F.lit(str(day)), "best.rule_id", "subject")
    levels = settings.tiers.levels
    level = F.element_at(F.array(*(F.lit(one.name) for one in levels)), F.col("rank") + 1) if levels else F.lit(None)
    of_group = F.when(F.col("scope") != "user", F.lit(group_owner(settings))).cast("string")
    of_level = _of_level({one.name: one.owner for one in levels}).cast("string")
    return warnings.withColumn("level", level.cast("string")).select(
        F.lit(day).alias("day"),
        F.substring(F.sha2(text, 256), 1, ID_DIGITS).alias("alert_id"),
        *SUBJECT,
        F.col("best.rule_id").alias("rule_id"),
        "level",
        F.col("best.cause").alias("cause"),
        F.col("best.evidence").alias("evidence"),
        F.coalesce("routed", "best.owner", of_group, of_level).alias("owner"),
        F.date_add(F.lit(day), _of_level({one.name: one.within_days for one in levels}).cast("int")).alias("due_on"),
        _of_level({one.name: one.measure for one in levels}).cast("string").alias("measure"),
        "signals",
        F.col("open.case_id").alias("escalates"),
        "value_at_risk_cents",
        _class_of_rule(settings).alias("class"),
    )


def _class_of_rule(settings: Settings) -> Column:
    """The kind of churn of the strongest signal; rules of the primary definition's class need no name."""
    primary = settings.primary.class_
    others = {rule.id: settings.class_of(rule.id) for rule in settings.rules.rules if settings.class_of(rule.id) != primary}
    return F.coalesce(value_for(others, F.col("best.rule_id")).cast("string"), F.lit(primary))


def _of_level(values: dict[str, object]) -> Column:
    return value_for(values, F.col("level"))
