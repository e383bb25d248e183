"""Cohort churn: the retention triangles by calendar month and ISO week."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.activity.people import only_people, was_bot
from churnwatch.activity.segments import sums_per_segment, with_segments
from churnwatch.core import days_predicate
from churnwatch.core.intervals import wilson
from churnwatch.core.job import Frames
from churnwatch.settings import Settings

PERIODS = ("month", "week")
CELL = ("cohort_by", "period_start", "day", "cohort", "complete")


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

    A period is measured up to its last day in ``days``, with sizes and segments as of that day. Users who were bots in a
    period, or in the period before it, are left out of its rows.

    ``change`` compares a complete period with the cohort before in the period before, over its whole length and by today's
    segments. It is null while a period runs, because part of a month cannot be compared with a whole one.
    """
    periods = measured_periods(days)
    cells = (
        inputs["first_seen"]
        .transform(per_user_period, periods)
        .transform(with_presence, inputs["activity"], periods)
        .transform(only_people)
        .drop("bot")
        .transform(with_segments, inputs["users"], settings)
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


def per_user_period(first_seen: DataFrame, periods: Sequence[Period]) -> DataFrame:
    """One row per measured period and user first active on or before the period's ``day``, with the user's ``cohort``."""
    rows = ", ".join(f"('{p.cohort_by}', DATE'{p.first}', DATE'{p.as_of}', {str(p.last <= p.as_of).lower()})" for p in periods)
    wanted = first_seen.sparkSession.sql(f"SELECT * FROM VALUES {rows} AS t(cohort_by, period_start, day, complete)")
    seen = first_seen.select("user_id", F.col("day").alias("first_day"))
    return seen.join(F.broadcast(wanted), F.col("first_day") <= F.col("day"), "inner").select(
        "user_id", "cohort_by", "period_start", "day", "complete", _first_of("first_day").alias("cohort")
    )


def with_presence(frame: DataFrame, activity: DataFrame, periods: Sequence[Period]) -> DataFrame:
    """Add ``active`` (in the period, up to its ``day``), ``active_before`` (in the whole period before) and ``bot`` (in either;
    null for users active in neither)."""
    rows = ", ".join(
        f"('{p.cohort_by}', DATE'{p.first}', {str(before).lower()}, DATE'{first}', DATE'{last}')"
        for p in periods
        for before, first, last in ((False, p.first, p.as_of), (True, p.before, p.first - timedelta(days=1)))
    )
    names = "active_in, period_in, is_before, first, last"
    spans = activity.sparkSession.sql(f"SELECT * FROM VALUES {rows} AS t({names})").select(
        "active_in", "period_in", "is_before", F.explode(F.sequence("first", "last")).alias("day")
    )
    present = (
        activity.select("day", F.col("user_id").alias("active_user"), "bot")
        .repartition("active_user")
        .join(F.broadcast(spans), "day", "inner")  # unique by (day, active_in, period_in)
        .groupBy("active_user", "active_in", "period_in")
        .agg(F.max(~F.col("is_before")).alias("active"), F.max("is_before").alias("active_before"), was_bot())
    )
    same = (
        (F.col("user_id") == F.col("active_user"))
        & (F.col("cohort_by") == F.col("active_in"))
        & (F.col("period_start") == F.col("period_in"))
    )
    return frame.join(present, same, "left").drop("active_user", "active_in", "period_in")


def with_change(cells: DataFrame) -> DataFrame:
    """Add ``change``: the cell's retained share minus that of the cohort before at the same period; null where the period
    still runs or the cohort before has no users."""
    line = Window.partitionBy("cohort_by", "period_start", "segment", "value").orderBy("cohort")
    retained = F.try_divide("active", "size")
    before = F.try_divide(F.lag("active_before").over(line), F.lag("size").over(line))
    adjacent = F.lag("cohort").over(line) == _first_of(F.date_sub("cohort", 1))
    return cells.withColumn("change", F.when(F.col("complete") & adjacent, retained - before))


def _count(flag: str) -> Column:
    return F.coalesce(F.col(flag).cast("long"), F.lit(0).cast("long"))


def _first_of(day: Column | str) -> Column:
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
    )
