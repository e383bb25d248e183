"""Business days as plain dates, and the predicates that cut frames by them."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ONE_DAY = timedelta(days=1)


def day_range(first: date, last: date) -> tuple[date, ...]:
    """Every day from ``first`` to ``last``, both included; empty when ``last`` is earlier."""
    return tuple(first + timedelta(days=n) for n in range((last - first).days + 1))


def to_ranges(days: Iterable[date]) -> list[tuple[date, date]]:
    """The shortest list of (first, last) runs of consecutive days that covers exactly ``days``."""
    runs: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if runs and day - runs[-1][1] == ONE_DAY:
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs


def contiguous(days: Sequence[date]) -> bool:
    """Whether ``days`` are consecutive, without a gap."""
    return len(to_ranges(days)) <= 1


def days_predicate(days: Sequence[date], column: str = "day") -> str:
    """SQL that is true for exactly ``days``; ``>= AND <=`` and ``IN`` alone, since Delta's replaceWhere fails on BETWEEN."""
    if not days:
        return "false"
    if contiguous(days):
        return f"{column} >= DATE'{min(days)}' AND {column} <= DATE'{max(days)}'"
    return f"{column} IN ({', '.join(f'DATE{str(day)!r}' for day in sorted(set(days)))})"


def only_days(frame: DataFrame, days: Sequence[date], column: str = "day") -> DataFrame:
    """Keeps the rows whose ``column`` is one of ``days``; same grain."""
    return frame.where(F.expr(days_predicate(days, column)))
