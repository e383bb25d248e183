"""Cohort churn: the retention triangles by calendar month and ISO week."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.activity.acts import only_active
from churnwatch.activity.newcomers import segments_of
from churnwatch.activity.people import bot_by_days, only_people
from churnwatch.activity.segments import sums_per_segment
from churnwatch.core import days_predicate
from churnwatch.core.intervals import wilson
from churnwatch.core.job import Frames
from churnwatch.settings import Settings

PERIODS = ("month", "week")
CELL = ("cohort_by", "period_start", "day", "cohort", "before_data", "complete")


@dataclass(frozen=True)
class Period:
    """A calendar period that is written, as of its last output day; ``before``: first day of the period before it."""

    cohort_by: str
    first: date
    last: date
    as_of: date
    before: date


def measure_cohorts(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """Measure ``cohort_churn``: one row per calendar month or ISO week that holds a day of ``days``, cohort, segment and value.

    A user's cohort is the period of registration or, where that is not known, of the first active day. Users from before
    the data are one row of their own (see ``with_cohort``). A period is measured up to its last day in ``days``, with sizes
    as of that day. Segments are those of the user's first active day: by later segments, a plan that loyal users move to
    would seem to keep them. A user who has been a bot in a month before the measured day, or in
    the days that are read, is in no row.

    ``change`` compares a complete period with the cohort before in the period before, over its whole length. It is null
    while a period runs, because part of a month cannot be compared with a whole one, and for users from before the data.
    """
    cells = (
        per_user_period(inputs, measured_periods(days), settings)
        .transform(with_cohort, inputs["first_seen"], settings)
        .withColumns({f"segment_{name}": F.map_from_entries("segments")[name] for name in settings.measures.segments})
        .transform(
            sums_per_segment, settings, CELL, size=F.lit(1), active=_count("active"), active_before=_count("active_before")
        )
    )
    return {"cohort_churn": with_change(cells).transform(_as_contracted)}


def replaced_periods(days: Sequence[date]) -> Mapping[str, str]:
    """Predicate of the rows of ``cohort_churn`` that a run of ``days`` replaces: the months and weeks that hold one of them."""
    parts = []
    for cohort_by in PERIODS:
        firsts = sorted({bounds(cohort_by, day)[0] for day in days})
        parts.append(f"(cohort_by = '{cohort_by}' AND ({days_predicate(firsts)}))")
    return {"cohort_churn": " OR ".join(parts)}


def bounds(cohort_by: str, day: date) -> tuple[date, date]:
    """First and last day of the calendar month or ISO week (Monday to Sunday) of ``day``."""
    if cohort_by == "week":
        first = day - timedelta(days=day.weekday())
        return first, first + timedelta(days=6)
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def measured_periods(days: Sequence[date]) -> list[Period]:
    """The periods that hold a day of ``days``, each as of its last day in ``days``."""
    return list(_measured(days))


def _measured(days: Sequence[date]) -> Iterator[Period]:
    for cohort_by in PERIODS:
        newest: dict[tuple[date, date], date] = {}
        for day in sorted(days):
            newest[bounds(cohort_by, day)] = day
        for (first, last), as_of in newest.items():
            yield Period(cohort_by, first, last, as_of, bounds(cohort_by, first - timedelta(days=1))[0])


def per_user_period(inputs: Frames, periods: Sequence[Period], settings: Settings) -> DataFrame:
    """Return one row per measured period and user who has been active or has registered by its ``day`` and has never been a
    bot: ``first_day`` (first active day), ``registered_on``, ``segments``, and whether the user was ``active`` in the period,
    up to its ``day``, and ``active_before``, in the whole period before.

    One shuffle by user and period serves all inputs.
    """
    session = inputs["activity"].sparkSession
    rows = ", ".join(f"('{p.cohort_by}', DATE'{p.first}', DATE'{p.as_of}', {str(p.last <= p.as_of).lower()})" for p in periods)
    measured = F.broadcast(session.sql(f"SELECT * FROM VALUES {rows} AS t(cohort_by, period_start, day, complete)"))
    seen = inputs["first_seen"].select("user_id", F.col("day").alias("first_day"), "segments")
    stated = inputs["users"].select(
        "user_id",
        F.col("day").alias("_from"),
        F.col("until").alias("_until"),
        F.col("registered_on"),
        segments_of(F.col("attributes"), settings).alias("own_segments"),
    )
    bots = inputs["bots"].select("user_id", F.col("day").alias("_bot_from"), F.lit(True).alias("bot"))
    registered = F.col("day").between(F.col("_from"), F.col("_until")) & (F.col("registered_on") <= F.col("day"))
    facts = [
        seen.join(measured, F.col("first_day") <= F.col("day")),
        stated.join(measured, registered).drop("_from", "_until"),
        bots.join(measured, F.col("_bot_from") <= F.col("day")).drop("_bot_from"),
        _presence(inputs["activity"], periods),
    ]
    in_these_days = bot_by_days(F.count_if("bot_day"), F.count("bot_day"), settings)
    together = reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), facts)
    return (
        together.groupBy("cohort_by", "period_start", "day", "complete", "user_id")
        .agg(
            F.min("first_day").alias("first_day"),
            F.max("registered_on").alias("registered_on"),
            # who has never been active has no first active day: the segments of today have not been moved to since
            F.coalesce(F.max("segments"), F.when(F.max("first_day").isNull(), F.max("own_segments"))).alias("segments"),
            F.bool_or("active").alias("active"),
            F.bool_or("active_before").alias("active_before"),
            (F.coalesce(F.bool_or("bot"), F.lit(False)) | in_these_days).alias("bot"),
        )
        .transform(only_people)
        .where("first_day IS NOT NULL OR registered_on IS NOT NULL")
        .drop("bot")
    )


def _presence(activity: DataFrame, periods: Sequence[Period]) -> DataFrame:
    """Return one row per active day of a user and measured period that it lies in (``active``) or just before
    (``active_before``); ``bot_day``: whether the user exceeded the limits of bots on it."""
    rows = ", ".join(
        f"('{p.cohort_by}', DATE'{p.first}', DATE'{p.as_of}', {str(p.last <= p.as_of).lower()}, "
        f"{str(not before).lower()}, {str(before).lower()}, DATE'{first}', DATE'{last}')"
        for p in periods
        for before, first, last in ((False, p.first, p.as_of), (True, p.before, p.first - timedelta(days=1)))
    )
    names = "cohort_by, period_start, day, complete, active, active_before, first, last"
    spans = activity.sparkSession.sql(f"SELECT * FROM VALUES {rows} AS t({names})")
    by_day = spans.withColumn("on", F.explode(F.sequence("first", "last"))).drop("first", "last")
    # unique by (on, cohort_by, period_start)
    bot_day = F.coalesce("bot", F.lit(False)).alias("bot_day")
    active = activity.transform(only_active).select(F.col("day").alias("on"), "user_id", bot_day)
    return active.join(F.broadcast(by_day), "on").drop("on")


def with_cohort(frame: DataFrame, first_seen: DataFrame, settings: Settings) -> DataFrame:
    """Add ``cohort`` and ``before_data``. Users who registered before the first stored day are from before the data; so are
    users without a known registration who are first seen within ``before_data_days`` of it. Of the former only those who
    have been active are kept, because the others may have been lost before the data begin.
    """
    begin = F.broadcast(first_seen.agg(F.min("day").alias("_begin")))
    known = F.col("registered_on").isNotNull()
    first_days = F.date_add("_begin", settings.churn.first_days)
    before = F.when(known, F.col("registered_on") < F.col("_begin")).otherwise(F.col("first_day") < first_days)
    began = F.when(F.col("before_data"), F.col("_begin")).otherwise(F.coalesce("registered_on", "first_day"))
    return (
        frame.crossJoin(begin)
        .withColumn("before_data", before)
        .where("first_day IS NOT NULL OR NOT before_data")
        .withColumn("cohort", _first_of(began))
        .drop("_begin")
    )


def with_change(cells: DataFrame) -> DataFrame:
    """Add ``change``: the retained share minus the share of the cohort before at the same period; null where the period
    still runs, where the cohort before has no users, and for users from before the data."""
    line = Window.partitionBy("cohort_by", "period_start", "before_data", "segment", "value").orderBy("cohort")
    retained = F.try_divide("active", "size")
    before = F.try_divide(F.lag("active_before").over(line), F.lag("size").over(line))
    adjacent = F.lag("cohort").over(line) == _first_of(F.date_sub("cohort", 1))
    return cells.withColumn("change", F.when(F.col("complete") & adjacent & ~F.col("before_data"), retained - before))


def _count(flag: str) -> Column:
    return F.coalesce(F.col(flag).cast("long"), F.lit(0).cast("long"))


def _first_of(day: Column) -> Column:
    """First day of the month or ISO week, as ``cohort_by`` says."""
    return F.when(F.col("cohort_by") == "month", F.trunc(day, "month")).otherwise(F.trunc(day, "week"))


def _as_contracted(cells: DataFrame) -> DataFrame:
    months = (F.year("period_start") - F.year("cohort")) * 12 + F.month("period_start") - F.month("cohort")
    weeks = (F.datediff("period_start", "cohort") / 7).cast("int")
    retained = F.try_divide("active", "size")
    low, high = wilson(F.col("active"), F.col("size"))
    return cells.select(
        F.col("period_start").alias("day"),
        "cohort_by",
        "cohort",
        "segment",
        "value",
        F.when(F.col("cohort_by") == "month", months).otherwise(weeks).cast("int").alias("period"),
        "size",
        "active",
        retained.alias("retained"),
        (1 - retained).alias("churned"),
        low.alias("low"),
        high.alias("high"),
        "change",
        "complete",
        "before_data",
    )
