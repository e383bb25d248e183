"""Who is eligible by a definition of churn as of a day: one function for labels and for scores."""

from collections.abc import Sequence
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.people import only_people, was_bot
from churnwatch.activity.snapshots import per_snapshot
from churnwatch.core.job import Frames
from churnwatch.settings import Definition, Settings
from churnwatch.settings.names import definition_column, last_day_column

# alias of an input -> whether its rows lie ahead of O, and whether a row is a month
SIDES = {"before": (False, False), "months_before": (False, True), "after": (True, False), "months_after": (True, True)}


def eligible_users(inputs: Frames, days: Sequence[date], settings: Settings, name: str, **facts: Column) -> DataFrame:
    """One row per day of ``days`` and user whom the definition ``name`` counts as there, with ``last_active_day`` (up to
    the day) and ``facts``: aggregates over the columns of ``_rows_around``.

    Inputs by alias: ``before``, ``after``: daily_activity of O's side and of what lies ahead; ``months_before``,
    ``months_after``: monthly_activity, where the definition is long; the daily rows are then those of the month that is
    not over. A month holds the last day of everything in it, and that alone is asked for, so both ways give the same.
    ``users``: attributes as of O, where the definition reads one; the rows then have ``ends_on``.
    Who was a bot on one of the days (or months) read up to the day is left out, whatever else it did.
    """
    spec = settings.churn.definitions[name]
    per_user = (
        _rows_around(inputs, days, spec, definition_column(name))
        .groupBy(F.col("snapshot").alias("day"), "user_id")
        .agg(*(fact.alias(alias) for alias, fact in {**_state_at_day(spec), **facts}.items()), was_bot())
        .where(_eligible(spec))
        .transform(only_people)
        .drop("bot")
    )
    return per_user.transform(_with_end, inputs["users"], spec) if spec.attribute else per_user


def _rows_around(inputs: Frames, days: Sequence[date], spec: Definition, counted: str) -> DataFrame:
    """One row per snapshot of ``days`` and stored row that matters for it: ``on`` (day; null: a bot's row that matters for
    that alone), ``ahead``, ``age`` (days), ``bot``, and ``event_on`` or ``amount`` where the kind needs them.

    One shuffle by user serves every side, snapshot and sum.
    """
    rows = []
    for alias, (ahead, monthly) in SIDES.items():
        if alias in inputs:
            columns = _columns(spec, counted, ahead, monthly)
            # what nobody could know at O makes nobody a bot
            bot = F.lit(None).cast("boolean").alias("bot") if ahead else F.col("bot")
            rows.append(
                inputs[alias]
                .select("day", "user_id", F.lit(ahead).alias("ahead"), bot, *(c.alias(n) for n, c in columns.items()))
                .where(F.col("on").isNotNull() | F.col("bot"))
            )
    return (
        reduce(DataFrame.unionByName, rows)
        .repartition("user_id")
        .transform(per_snapshot, days, oldest=spec.seen_days - 1, newest=-spec.ahead_days)
        # in a range a row is read for both sides; it matters on its own side of each snapshot
        .where(F.col("ahead") == (F.col("age") < 0))
    )


def _columns(spec: Definition, counted: str, ahead: bool, monthly: bool) -> dict[str, Column]:
    if spec.kind == "drop":
        amount = F.col(spec.measure or "")
        return {"on": F.when(amount != 0, F.col("day")), "amount": amount}
    event_on = F.col(last_day_column(counted)) if monthly else F.when(F.col(counted) > 0, F.col("day"))
    if spec.kind != "event":
        return {"on": event_on}
    # who may leave is who does anything at all
    active_on = F.col("last_day") if monthly else F.col("day")
    return {"on": event_on if ahead else active_on, "event_on": event_on}


def _state_at_day(spec: Definition) -> dict[str, Column]:
    """What is known of a user up to O."""
    before = ~F.col("ahead")
    known = {"last_active_day": F.max(F.when(before, F.col("on")))}
    if spec.kind == "drop":
        known["amount_before"] = F.sum(F.when(before, F.col("amount")))
    elif spec.kind == "event":
        known["last_event_day"] = F.max(F.when(before, F.col("event_on")))
    elif spec.kind == "gap":
        known["first_active_day"] = F.min(F.when(before, F.col("on")))
        known["active_days"] = F.count_if(before)  # a row is a day: daily_activity has one a user
    return known


def _eligible(spec: Definition) -> Column:
    first = F.date_sub("day", spec.seen_days - 1)
    there = F.col("last_active_day") >= first
    if spec.kind == "drop":
        return there & (F.col("amount_before") >= spec.min_before)
    if spec.kind == "gap":
        return there & (F.col("active_days") >= spec.min_active_days)
    if spec.events is not None and spec.kind == "event":
        return there & ~F.coalesce(F.col("last_event_day") >= first, F.lit(False))
    return there


def _with_end(frame: DataFrame, users: DataFrame, spec: Definition) -> DataFrame:
    """Keeps users whose date, as known at ``day``, lies in the horizon; adds it as ``ends_on``."""
    dated = users.select(
        F.col("user_id").alias("_user"),
        F.col("day").alias("_from"),
        F.col("until").alias("_until"),
        attribute_date(spec).alias("ends_on"),
    )
    in_force = (F.col("user_id") == F.col("_user")) & F.col("day").between(F.col("_from"), F.col("_until"))
    ahead = F.datediff("ends_on", "day")
    inside = (ahead > spec.lead_days) & (ahead <= spec.ahead_days)
    # one row in force a user and day: the join keeps the grain
    return frame.join(dated, in_force, "inner").where(inside).drop("_user", "_from", "_until")


def attribute_date(spec: Definition) -> Column:
    """The user's date that the definition reads; null where it is none."""
    return F.col("attributes")[spec.attribute or ""].try_cast("date")
