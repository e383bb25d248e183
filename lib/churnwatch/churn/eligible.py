"""Select the users who are eligible by a definition of churn as of a day; labels and scores use the same function."""

from collections.abc import Sequence
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.acts import acted, last_act_day
from churnwatch.activity.people import bot_by_days, only_people
from churnwatch.activity.snapshots import per_snapshot, snapshots
from churnwatch.core.job import Frames
from churnwatch.events.dates import date_in
from churnwatch.settings import Definition, Settings
from churnwatch.settings.names import ACTS, active_column, definition_column, last_day_column

# alias of an input -> (its rows are after O, its rows are months)
SIDES = {
    "before": (False, False),
    "months_before": (False, True),
    "after": (True, False),
    "lead": (True, False),
    "months_after": (True, True),
}

BOT_DAYS = ("bot_days", "acted_days")  # days as a bot, and active days, of a row


def eligible_users(inputs: Frames, days: Sequence[date], settings: Settings, name: str, **facts: Column) -> DataFrame:
    """Return one row per day of ``days`` and user who is eligible by the definition ``name``, with ``last_active_day`` (on or
    before the day) and ``facts``: aggregates over the columns of ``_rows_around``.

    Inputs by alias. ``before``, ``after``: daily_activity up to O and after it. ``months_before``, ``months_after``:
    monthly_activity, for long definitions; the daily rows are then those of the unfinished month. Monthly rows store the
    last event day, which is all that such a definition needs, so both ways give the same result. ``lead``: daily_activity
    of the lead, for long definitions whose label depends on it. ``users``: users as of O, when the definition reads an
    attribute (the result then has ``ends_on``) or takes registered users. Kind drop also reads ``users`` and ``first_seen``
    as of O; the result then has ``days_before``.
    Bots on the days and months that are read up to O are left out.
    """
    spec = settings.churn.definitions[name]
    per_user = (
        _rows_around(inputs, days, name, settings)
        .groupBy(F.col("snapshot").alias("day"), "user_id")
        .agg(*(fact.alias(alias) for alias, fact in {**_state_at_day(spec), **facts}.items()), _was_bot(settings))
    )
    if spec.takes_registered:
        per_user = per_user.transform(_per_registered, inputs["users"], days)
    per_user = per_user.where(_eligible(spec)).transform(only_people).drop("bot")
    if spec.kind == "drop":
        return per_user.transform(_with_days_before, inputs["users"], inputs["first_seen"], spec)
    return per_user.transform(_with_end, inputs["users"], spec) if spec.attribute else per_user


def _rows_around(inputs: Frames, days: Sequence[date], name: str, settings: Settings) -> DataFrame:
    """Return one row per snapshot of ``days`` and stored row that it uses: ``on`` (its day; null when the row only says who is a
    bot), ``ahead`` (it is after the snapshot), ``age`` (days), ``bot_days`` and ``acted_days`` of it (null when ahead), and
    ``event_on`` or ``amount`` when the kind needs it.

    One shuffle by user serves all inputs, snapshots and sums.
    """
    spec, rows = settings.churn.definitions[name], []
    for alias, (ahead, monthly) in SIDES.items():
        if alias in inputs:
            columns = _columns(spec, definition_column(name), active_column(name, settings), ahead, monthly)
            # rows after O are not known at O, so they mark no bots
            columns |= dict.fromkeys(BOT_DAYS, F.lit(None).cast("long")) if ahead else _bot_days(monthly)
            kept = F.col("on").isNotNull() | (F.col("bot_days") > 0)
            if settings.measures.bots.limited and not ahead:
                kept |= F.col("acted_days") > 0
            rows.append(
                inputs[alias]
                .select(
                    "day",
                    "user_id",
                    F.lit(ahead).alias("ahead"),
                    F.lit(monthly).alias("monthly"),
                    *(c.alias(n) for n, c in columns.items()),
                )
                .where(kept)
            )
    around = (
        reduce(DataFrame.unionByName, rows)
        .repartition("user_id")
        .transform(per_snapshot, days, oldest=spec.seen_days - 1, newest=-spec.ahead_days)
        # in a range, a row is in both inputs; of each snapshot it counts once, before or after it
        .where(F.col("ahead") == (F.col("age") < 0))
    )
    if "months_before" not in inputs:
        return around.drop("monthly")
    # the row of a month that has ended by the snapshot counts its days as a bot; its daily rows must not count them again
    in_month = ~F.col("monthly") & (F.last_day("day") <= F.col("snapshot"))
    return around.withColumns({name: F.when(~in_month, F.col(name)) for name in BOT_DAYS}).drop("monthly")


def _bot_days(monthly: bool) -> dict[str, Column]:
    """Return BOT_DAYS of a row. Months stored before their days as a bot were counted were a bot's on all days or on none."""
    if not monthly:
        return {"bot_days": F.coalesce(F.col("bot").cast("long"), F.lit(0)), "acted_days": acted().cast("long")}
    bot_days = F.coalesce(F.col("bot_days"), F.when(F.col("bot"), F.col("active_days")), F.lit(0))
    return {"bot_days": bot_days, "acted_days": F.col("active_days")}


def _was_bot(settings: Settings) -> Column:
    bot_days, acted_days = (F.coalesce(F.sum(name), F.lit(0)) for name in BOT_DAYS)
    return bot_by_days(bot_days, acted_days, settings).alias("bot")


def _columns(spec: Definition, counted: str, active: str, ahead: bool, monthly: bool) -> dict[str, Column]:
    if spec.kind == "drop":
        amount = F.col(spec.measure or "")
        return {"on": F.when(amount != 0, F.col("day")), "amount": amount}
    event_on = _last_day_with(counted, monthly)
    if spec.kind == "gap":
        return {"on": event_on}
    on = event_on if ahead else _last_day_with(active, monthly)
    return {"on": on, "event_on": event_on} if spec.kind == "event" else {"on": on}


def _last_day_with(counted: str, monthly: bool) -> Column:
    """Return the last day of a row on which its column ``counted`` was above 0; null: none."""
    if counted == ACTS:
        return last_act_day() if monthly else F.when(acted(), F.col("day"))
    return F.col(last_day_column(counted)) if monthly else F.when(F.col(counted) > 0, F.col("day"))


def _state_at_day(spec: Definition) -> dict[str, Column]:
    """Aggregate what is known of a user up to and including O."""
    before = ~F.col("ahead")
    known = {"last_active_day": F.max(F.when(before, F.col("on")))}
    if spec.kind == "drop":
        known["amount_before"] = F.sum(F.when(before, F.col("amount")))
    elif spec.kind == "event":
        known["last_event_day"] = F.max(F.when(before, F.col("event_on")))
    elif spec.kind == "gap":
        known["first_active_day"] = F.min(F.when(before, F.col("on")))
        known["active_days"] = F.count_if(before & F.col("on").isNotNull())  # daily_activity has one row per user and day
    return known


def _eligible(spec: Definition) -> Column:
    if spec.takes_registered:
        return F.lit(True)
    first = F.date_sub("day", spec.seen_days - 1)
    active = F.col("last_active_day") >= first
    if spec.kind == "drop":
        return active & (F.col("amount_before") >= spec.min_before)
    if spec.kind == "gap":
        # a pause of the whole threshold is over at the end of O: the user is lost already
        pause_days = F.datediff("day", "last_active_day")
        return active & (F.col("active_days") >= spec.min_active_days) & (pause_days < threshold_days(spec))
    if spec.events is not None and spec.kind == "event":
        return active & ~F.coalesce(F.col("last_event_day") >= first, F.lit(False))
    return active


def threshold_days(spec: Definition) -> Column:
    """Return the longest pause, in days without an event, that is not churn: ceil(times x (last_active_day -
    first_active_day) / (active_days - 1)), at least ``min_gap_days``, at most the horizon; in whole numbers."""
    span = F.datediff("last_active_day", "first_active_day") * F.lit(spec.gaps.numerator).cast("long")
    # users with one active day are not eligible; for them only the division by zero is avoided
    gaps = F.greatest(F.col("active_days") - 1, F.lit(1)) * spec.gaps.denominator
    ceiling = F.call_function("div", span + gaps - 1, gaps)
    return F.greatest(F.lit(spec.min_gap_days), F.least(F.lit(spec.horizon_days), ceiling))


def _with_days_before(frame: DataFrame, users: DataFrame, first_seen: DataFrame, spec: Definition) -> DataFrame:
    """Add ``days_before``, the days among the ``before_days`` up to O on which the user and stored history existed. Keep
    users with at least ``least_days_before`` of them.

    A user exists from registration or from the first active day, whichever is earlier. History begins with the first day on
    which any user was active.
    """
    known = users.select(
        F.col("user_id").alias("_user"), F.col("day").alias("_from"), F.col("until").alias("_until"), "registered_on"
    )
    seen = first_seen.select(F.col("user_id").alias("_seen_user"), F.col("day").alias("_seen_on"))
    in_force = (F.col("user_id") == F.col("_user")) & F.col("day").between(F.col("_from"), F.col("_until"))
    was_seen = (F.col("user_id") == F.col("_seen_user")) & (F.col("_seen_on") <= F.col("day"))
    joined = frame.join(known, in_force, "left").join(seen, was_seen, "left")
    history = F.broadcast(first_seen.agg(F.min("day").alias("_first_day")))
    # least() ignores nulls: where neither is known all days count
    began = F.least("_seen_on", F.when(F.col("registered_on") <= F.col("day"), F.col("registered_on")))
    days = F.least(F.lit(spec.before_days), F.datediff("day", began) + 1, F.datediff("day", "_first_day") + 1)
    counted = joined.crossJoin(history).select(*frame.columns, days.alias("days_before"))
    return counted.where(F.col("days_before") >= spec.least_days_before)


def _per_registered(frame: DataFrame, users: DataFrame, days: Sequence[date]) -> DataFrame:
    """Return one row per day of ``days`` and user who registered on or before it, with the columns of ``frame``; null where it
    has no row of the user, but ``last_active_day``, which is the registration then."""
    on_day = (F.col("snapshot").between(F.col("day"), F.col("until"))) & (F.col("registered_on") <= F.col("snapshot"))
    registered = users.join(F.broadcast(snapshots(users.sparkSession, days)), on_day).select(
        F.col("snapshot").alias("day"), "user_id", "registered_on"
    )
    # one row per user is in force on a day, so the join keeps the grain
    last = F.coalesce("last_active_day", "registered_on")
    return frame.join(registered, ["day", "user_id"], "right").withColumn("last_active_day", last).drop("registered_on")


def _with_end(frame: DataFrame, users: DataFrame, spec: Definition) -> DataFrame:
    """Keep users whose date, as known at ``day``, is in the horizon; add it as ``ends_on``."""
    dated = users.select(
        F.col("user_id").alias("_user"),
        F.col("day").alias("_from"),
        F.col("until").alias("_until"),
        attribute_date(spec).alias("ends_on"),
    )
    in_force = (F.col("user_id") == F.col("_user")) & F.col("day").between(F.col("_from"), F.col("_until"))
    ahead = F.datediff("ends_on", "day")
    inside = (ahead > spec.lead_days) & (ahead <= spec.ahead_days)
    # one row per user is in force on a day, so the join keeps the grain
    return frame.join(dated, in_force, "inner").where(inside).drop("_user", "_from", "_until")


def attribute_date(spec: Definition) -> Column:
    """Return the user's attribute that the definition reads, as a date; null when it is not a date."""
    return date_in(F.col("attributes")[spec.attribute or ""])
