"""Business days as plain dates, SQL that selects rows by them, and local time."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ONE_DAY = timedelta(days=1)
SNAPSHOTS_FROM = date(1970, 1, 5)  # a Monday: snapshot days are counted from it, so that those of every run are the same


def day_range(first: date, last: date) -> tuple[date, ...]:
    """Every day from ``first`` to ``last``, both included; empty when ``last`` is earlier."""
    return tuple(first + timedelta(days=n) for n in range((last - first).days + 1))


def to_ranges(days: Iterable[date]) -> list[tuple[date, date]]:
    """Group ``days`` into runs of consecutive days, as (first, last)."""
    runs: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if runs and day - runs[-1][1] == ONE_DAY:
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs


def is_snapshot(day: date, every: int) -> bool:
    """Whether ``day`` is a snapshot day: a whole number of steps of ``every`` days after 1970-01-05, a Monday.

    >>> is_snapshot(date(2025, 6, 2), 7), is_snapshot(date(2025, 6, 2), 8), is_snapshot(date(2025, 6, 5), 8)
    (True, False, True)
    """
    return (day - SNAPSHOTS_FROM).days % every == 0


def contiguous(days: Sequence[date]) -> bool:
    """Whether ``days`` are consecutive, without a gap."""
    return len(to_ranges(days)) <= 1


def days_predicate(days: Sequence[date], column: str = "day") -> str:
    """SQL that is true for exactly ``days``. It uses ``>= AND <=`` or ``IN``, because Delta's replaceWhere fails on BETWEEN."""
    if not days:
        return "false"
    if contiguous(days):
        return f"{column} >= DATE'{min(days)}' AND {column} <= DATE'{max(days)}'"
    return f"{column} IN ({', '.join(f'DATE{str(day)!r}' for day in sorted(set(days)))})"


def only_days(frame: DataFrame, days: Sequence[date], column: str = "day") -> DataFrame:
    """Keep the rows whose ``column`` is one of ``days``."""
    return frame.where(F.expr(days_predicate(days, column)))


def wall_seconds(instant: str, days: Sequence[date], zone: ZoneInfo) -> str:
    """SQL of the local time in ``zone`` at the timestamp ``instant``, as seconds since 1970-01-01 00:00 of the local clock.

    ``instant`` lies in ``days`` or on the day before the first of them. The offsets are constants in the SQL, because Spark's
    own conversion of instants took a fifth of the CPU of the rollup's first step.
    """
    seconds, [(_, shift), *changes] = f"unix_seconds({instant})", utc_offsets(min(days) - ONE_DAY, max(days), zone)
    cases = "".join(f" WHEN {seconds} >= {change} THEN {offset}" for change, offset in reversed(changes))
    return f"{seconds} + CASE{cases} ELSE {shift} END" if cases else f"{seconds} + {shift}"


def utc_offsets(first: date, last: date, zone: ZoneInfo) -> list[tuple[int, int]]:
    """UTC offsets of ``zone`` from the start of ``first`` to the end of ``last``: (second since 1970 UTC, offset in seconds).

    The first entry is the offset at the start of ``first``; each further one is a change. No zone changes twice in a day.

    >>> utc_offsets(date(2025, 3, 29), date(2025, 3, 30), ZoneInfo("Europe/Berlin"))
    [(1743202800, 3600), (1743296400, 7200)]
    """
    begins = [int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) for day in day_range(first, last + ONE_DAY)]
    found = [(begins[0], _offset(begins[0], zone))]
    for before, after in pairwise(begins):
        if (changed := _offset(after, zone)) != found[-1][1]:
            while after - before > 1:
                middle = (before + after) // 2
                before, after = (before, middle) if _offset(middle, zone) == changed else (middle, after)
            found.append((after, changed))
    return found


def _offset(second: int, zone: ZoneInfo) -> int:
    return int((datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset() or timedelta()).total_seconds())
