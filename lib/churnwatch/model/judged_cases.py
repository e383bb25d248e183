"""The cases of warnings that the labels of a day judge: new or open on the day, and whether somebody acted on them."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.terms import ACTED, CLOSED

KEPT = ("level", "owner", "cause", "class", "rule_id", "signals")


def case_id() -> Column:
    """Return the case of a warning: ``escalates`` if it raised the level of an open case, else its own ``alert_id``."""
    return F.coalesce("escalates", "alert_id")


def judged_cases(alerts: DataFrame, alert_events: DataFrame, days: Sequence[date], settings: Settings) -> DataFrame:
    """One row per snapshot O of ``days`` and case of a user that is judged on O: new (a warning of the case was raised on O) or
    open (an earlier one was, and the case had not ended before O).

    Columns: ``day`` (O), ``user_id``, ``warnings`` (those up to O, oldest first, structs of day, alert_id and KEPT), ``is_new``,
    ``acted``. ``alerts``: from ``case_days`` before the first snapshot to the last day on which an action could change a label.

    A case ends on the day on which it was first closed, or ``case_days`` after its newest warning. ``acted``: somebody acted on
    one of ``warnings``, not later than the case's next warning and before the last day of the label window. Actions on later
    warnings do not count, because later warnings answer what the user did after O: users who churn are warned again more
    often, and leaving them out would thin the churned users (informative censoring: M. Hernan and J. Robins, Causal Inference:
    What If, 2020, chapters 8 and 12).
    """
    warning = F.struct("day", "alert_id", *KEPT)
    of_users = alerts.where("scope = 'user'").select(case_id().alias("case"), "user_id", warning.alias("warning"))
    named = of_users.select("warning.alert_id", "case", F.col("warning.day").alias("warned_on"))  # one row a warning
    # without its warning, which is then too old to be read, an event belongs to the case that this warning began
    events = (
        alert_events.where(F.col("action").isin(ACTED, CLOSED))
        .join(named, "alert_id", "left")
        .select(F.coalesce("case", "alert_id").alias("case"), F.col("day").alias("on"), "warned_on", "action")
    )
    per_case = (
        of_users.unionByName(events, allowMissingColumns=True)
        .groupBy("case")
        .agg(
            F.max("user_id").alias("user_id"),
            F.sort_array(F.collect_list("warning")).alias("all"),
            F.min(F.when(F.col("action") == CLOSED, F.col("on"))).alias("closed_on"),
            F.collect_set(F.when(F.col("action") == ACTED, F.struct("on", "warned_on"))).alias("acts"),
        )
        .where("user_id IS NOT NULL")  # events alone: of other subjects, or the warnings are too old to be read
    )
    snapshots = F.array(*(F.lit(day) for day in days))
    at_day = per_case.withColumn("day", F.explode(snapshots)).select(
        "day",
        "user_id",
        F.filter("all", lambda one: one["day"] <= F.col("day")).alias("warnings"),
        F.array_min(F.transform(F.filter("all", lambda one: one["day"] > F.col("day")), lambda one: one["day"])).alias("next_on"),
        "closed_on",
        "acts",
    )
    newest_on = F.element_at("warnings", -1)["day"]
    ended_on = F.least("closed_on", F.date_add(newest_on, settings.case_days))
    # warnings are raised at the end of their day: an action of the day of the next warning still answers the one before
    last = F.least("next_on", F.date_add("day", settings.primary.ahead_days - 1))
    return (
        at_day.where(F.size("warnings") > 0)
        .where((newest_on == F.col("day")) | (ended_on >= F.col("day")))
        .select(
            "day",
            "user_id",
            "warnings",
            (newest_on == F.col("day")).alias("is_new"),
            F.exists("acts", lambda one: (one["on"] <= last) & F.coalesce(one["warned_on"] <= F.col("day"), F.lit(True))).alias(
                "acted"
            ),
        )
    )
