"""Cases: the warnings about a subject and cause, from the first one, with those that raised its level, until it is over."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.alerts.states import events_by_case
from churnwatch.model.judged_cases import case_id
from churnwatch.settings import Settings
from churnwatch.settings.terms import CLOSED


def subject() -> Column:
    """Return whom a warning is about, as text: the user, or segment=value."""
    return F.coalesce(F.col("user_id"), F.concat("segment", F.lit("="), "value"))


def level_rank(settings: Settings) -> Column:
    """Return the place of the row's level among the levels, 0 for the mildest; null for a level that is not configured."""
    ranks = F.lit(None).cast("int")
    for place, level in enumerate(settings.tiers.levels):
        ranks = F.when(F.col("level") == level.name, F.lit(place)).otherwise(ranks)
    return ranks


def cases_per_subject(alerts: DataFrame, alert_events: DataFrame, day: date, settings: Settings) -> DataFrame:
    """Return one row per subject with ``cases``, as known before ``day``: (cause, case_id, rank, signals, open, ended_on).

    A case ends on the day on which one of its warnings was first closed, or ``case_days`` after its last warning. A later
    closing only corrects the outcome. All warnings of a case have one subject and one cause.
    """
    before = F.col("day") < F.lit(day)
    warnings = alerts.where(before).select(
        case_id().alias("case_id"),
        subject().alias("subject"),
        "cause",
        "day",
        level_rank(settings).alias("rank"),
        # rows from before there were signals have their rule alone
        F.coalesce("signals", F.array("rule_id")).alias("signals"),
    )
    closings = events_by_case(alerts, alert_events.where(before & (F.col("action") == CLOSED))).select(
        F.col("case").alias("case_id"), F.col("event.day").alias("closed_on")
    )
    per_case = (
        warnings.unionByName(closings, allowMissingColumns=True)
        .groupBy("case_id")
        .agg(
            F.max("subject").alias("subject"),
            F.max("cause").alias("cause"),
            F.coalesce(F.max("rank"), F.lit(0)).alias("rank"),
            F.array_distinct(F.flatten(F.collect_list("signals"))).alias("signals"),
            F.least(F.min("closed_on"), F.date_add(F.max("day"), settings.case_days)).alias("ended_on"),
        )
        .where(F.col("subject").isNotNull())  # closings alone: the warnings are too old to be read
        .withColumn("open", F.col("ended_on") >= F.lit(day))
    )
    kept = F.struct("cause", "case_id", "rank", "signals", "open", "ended_on")
    return per_case.groupBy("subject").agg(F.sort_array(F.collect_list(kept)).alias("cases"))


def with_open_case(signals: DataFrame, cases: DataFrame, day: date) -> DataFrame:
    """Explode ``signals`` and drop those in cool-down. Add ``open``: the open case with the same cause, or null.

    A signal that a case already had is in cool-down for its ``cool_down_days`` after the case ended, unless its level is above
    the case's. ``signals``: rows with ``subject`` and an array of signals.
    """
    each = signals.join(cases, "subject", "left").select(  # cases: one row per subject
        *(name for name in signals.columns if name != "signals"), "cases", F.explode("signals").alias("signal")
    )
    heard, cause, rule_id = F.col("signal"), F.col("signal.cause"), F.col("signal.rule_id")
    mine = F.filter("cases", lambda one: one["cause"].eqNullSafe(cause))
    repeats = F.exists(
        mine,
        lambda one: (
            ~one["open"]
            & F.array_contains(one["signals"], rule_id)
            & (F.datediff(F.lit(day), one["ended_on"]) <= heard["cool_down_days"])
            & (heard["rank"] <= one["rank"])
        ),
    )
    fresh = each.where(~F.coalesce(repeats, F.lit(False)))
    return fresh.withColumn("open", F.get(F.filter(mine, lambda one: one["open"]), 0)).drop("cases")
