"""Restate a table that grows with its days: on the first of each month all rows so far stand together in a second table.

A reader then takes the newest restatement and at most 31 days of the table itself, however long the history is.
"""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core.days import day_range, days_predicate

SINCE = "since"  # column of a restatement: the day of the row in the table that is restated


def first_rows(found: DataFrame, known: DataFrame, keys: Sequence[str], days: Sequence[date]) -> DataFrame:
    """Keep the rows of ``found`` whose ``keys`` have no row of an earlier day in ``known``; same columns.

    ``found``: one row per key, with ``day``. ``known``: one row per key. Its rows of ``days`` do not count, because they are
    being replaced.
    """
    earlier = known.where(f"NOT ({days_predicate(days)})").select(
        *(F.col(key).alias(f"_known_{key}") for key in keys), F.col("day").alias("_known_day")
    )
    same = F.col("_known_day") < F.col("day")
    for key in keys:
        same = same & (F.col(key) == F.col(f"_known_{key}"))
    return found.join(earlier, same, "left_anti")


def restated(rows: DataFrame, days: Sequence[date]) -> DataFrame:
    """Repeat each row on every first of a month from the first to the last of ``days`` that is not before its own day: ``day``
    is then the first of the month, and ``since`` the row's own day. No row where there is no such first of a month.

    ``rows``: all rows up to the last of ``days``, those between ``days`` too: days that came late leave gaps.
    """
    months = [F.lit(day) for day in day_range(min(days), max(days)) if day.day == 1]
    firsts = F.array(*months).cast("array<date>")
    others = [name for name in rows.columns if name != "day"]
    if not months:
        rows = rows.where(F.lit(False))  # Spark then reads nothing for it, and most days are no first of a month
    on = F.explode(F.filter(firsts, lambda first: first >= F.col("day")))
    return rows.withColumn(SINCE, F.col("day")).withColumn("day", on).select("day", SINCE, *others)


def outdated_restatements(days: Sequence[date]) -> str:
    """SQL of the rows of a restatement that a run for ``days`` replaces: all from the first of ``days`` on, because each of
    them repeats rows of ``days``. Those after the last of ``days`` are missing until the next first of a month."""
    return f"day >= DATE'{min(days)}'"
