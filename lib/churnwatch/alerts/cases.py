"""Cases: a warning about a subject and cause with the rows that raised its level, from its first day until it is over."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.alerts.closing import case_days
from churnwatch.alerts.states import case_id
from churnwatch.settings import Settings


def subject() -> Column:
    """Whom a warning is about, as text: the user, else segment=value."""
    return F.coalesce(F.col("user_id"), F.concat("segment", F.lit("="), "value"))


def level_rank(settings: Settings) -> Column:
    """Place of the row's level among the levels, from 0 for the mildest; null for one that is not configured."""
    ranks = F.lit(None).cast("int")
    for place, level in enumerate(settings.tiers.levels):
        ranks = F.when(F.col("level") == level.name, F.lit(place)).otherwise(ranks)
    return ranks


def cases_per_subject(alerts: DataFrame, alert_events: DataFrame, day: date, settings: Settings) -> DataFrame:
    """One row a subject with ``cases``, as known before ``day``: (cause, case_id, rank, signals, open, ended_on).

    A case is over on the day on which one of its rows was closed, else ``case_days`` after its last row.
    """
    before = F.col("day") < F.lit(day)
    # of any of its rows, the first among them even where that is too old to be read; a later closing corrects the outcome
    closed = (
        alert_events.where(before & (F.col("action") == "closed"))
        .join(alerts.select("alert_id", case_id().alias("case_id")), "alert_id", "left")  # alerts: one row a warning
        .groupBy(F.coalesce("case_id", "alert_id").alias("case_id"))
        .agg(F.min("day").alias("closed_on"))
    )
    per_case = (
        alerts.where(before)
        .groupBy(subject().alias("subject"), "cause", case_id().alias("case_id"))
        .agg(
            F.coalesce(F.max(level_rank(settings)), F.lit(0)).alias("rank"),
            # rows of before there were signals tell their rule alone
            F.array_distinct(F.flatten(F.collect_list(F.coalesce("signals", F.array("rule_id"))))).alias("signals"),
            F.date_add(F.max("day"), case_days(settings)).alias("silent_since"),
        )
        .join(closed, "case_id", "left")  # closed: one row a case
        .withColumn("ended_on", F.least("closed_on", "silent_since"))
        .withColumn("open", F.col("ended_on") >= F.lit(day))
    )
    kept = F.struct("cause", "case_id", "rank", "signals", "open", "ended_on")
    return per_case.groupBy("subject").agg(F.sort_array(F.collect_list(kept)).alias("cases"))


def with_open_case(signals: DataFrame, cases: DataFrame, day: date) -> DataFrame:
    """One row a signal, ``signals`` exploded, that is no repetition: adds ``open``, the open case of its cause or null.

    A signal of a case that is over keeps quiet for its ``cool_down_days`` from the day on which that ended, unless its
    level is above the case's. ``signals``: rows with ``subject`` and an array of signals.
    """
    each = signals.join(cases, "subject", "left").select(  # cases: one row a subject
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
