"""Count how many users return after a silence of n days, and propose a churn window from that curve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

LENGTHS = (1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 120, 180, 270, 365)
MOST_RETURN = 0.10  # at most this share returns after a silence as long as the churn window
FEWEST = 30  # with fewer silences no share is given


@dataclass(frozen=True)
class Point:
    """Silences of at least ``days`` days that began early enough, and how many of them ended in a return."""

    days: int
    silences: int
    returned: int

    @property
    def share(self) -> float | None:
        """Share of silences that ended in a return; None below 30 silences."""
        return self.returned / self.silences if self.silences >= FEWEST else None


@dataclass(frozen=True)
class ChurnWindow:
    """The proposed churn window in days, and the reason."""

    days: int
    reason: str


def count_silences(active: DataFrame, last: date) -> DataFrame:
    """Count silences of each length: one row with users, user_days, and ``silent_<n>`` and ``returned_<n>`` for each n.

    ``active`` has user_id and day. A silence of n days is an active day with no active day in the n days after it. It is
    counted when it began at least 2n days before ``last``, because silences that the end of the log cuts off are not over.
    """
    window = Window.partitionBy("user_id").orderBy("day")
    known = active.where(F.col("user_id").isNotNull() & (F.col("day") <= F.lit(last)))
    days = known.select("user_id", "day").distinct()
    pauses = days.withColumn("pause", F.datediff(F.lead("day").over(window), "day")).withColumn(
        "seen", F.datediff(F.lit(last), "day")
    )
    made = [F.count(F.lit(1)).alias("user_days"), F.count_if(F.col("pause").isNull()).alias("users")]
    for n in LENGTHS:
        early = F.col("seen") >= 2 * n
        made.append(F.count_if(early & F.coalesce(F.col("pause") > n, F.lit(True))).alias(f"silent_{n}"))
        made.append(F.count_if(early & (F.col("pause") > n)).alias(f"returned_{n}"))
    return pauses.agg(*made)


def read_curve(row: Mapping[str, int]) -> list[Point]:
    """Turn the row of ``count_silences`` into points; lengths without a silence are left out."""
    return [Point(n, row[f"silent_{n}"], row[f"returned_{n}"]) for n in LENGTHS if row[f"silent_{n}"]]


def longest_window(history_days: int) -> int:
    """Return the longest churn window in days for which ``history_days`` suffice to train a model.

    A model needs a window of the past, three horizons (labels of three spans, forward in time) and eight weeks of snapshots.
    """
    return max(1, (history_days - 58) // 4, history_days // 12)


def choose_window(curve: Sequence[Point], history_days: int) -> ChurnWindow:
    """Choose the shortest silence after which at most a tenth return, within what the history allows."""
    limit = longest_window(history_days)
    allowed = [point for point in curve if point.days <= limit and point.share is not None]
    for point in allowed:
        if point.share is not None and point.share <= MOST_RETURN:
            reason = f"the shortest silence after which at most {MOST_RETURN:.0%} return: {point.share:.1%}"
            return ChurnWindow(point.days, reason)
    if not allowed:
        days = max((n for n in LENGTHS if n <= limit), default=1)
        return ChurnWindow(days, f"too few silences to tell; the longest that {history_days} days of history allow")
    best = allowed[-1]
    return ChurnWindow(
        best.days,
        f"{best.share:.0%} of such silences still end in a return, but {history_days} days of history allow no longer window "
        f"(at most {limit}); with more history take the shortest one below {MOST_RETURN:.0%}",
    )


def curve_lines(curve: Sequence[Point]) -> list[str]:
    """Print the curve as lines of text."""
    lines = [f"{'silent for':>12} {'silences':>10} {'came back':>10}"]
    for point in curve:
        share = "too few" if point.share is None else f"{point.share:.1%}"
        lines.append(f"{f'{point.days} days':>12} {point.silences:>10,} {share:>10}")
    return lines


@dataclass(frozen=True)
class Scale:
    """Feature windows and training spans in days, for a churn window and a history.

    ``needed``: days of history that a model needs; ``trainable``: whether the history has them.
    """

    windows: tuple[int, ...]
    trend: int
    train: int
    calibration: int
    test: int
    needed: int
    trainable: bool


def fit_scale(churn_days: int, history_days: int, settle_days: int) -> Scale:
    """Choose windows about as long as the churn window, and training spans that fill the history that labels leave."""
    windows, trend = _windows(churn_days, history_days)
    # three horizons, the time to settle, a snapshot's distance at each end, and half a longest window to warm up
    apart = 3 * churn_days + settle_days + 21 + windows[-1] // 2
    left = history_days - apart
    test = 14 if left >= 70 else 7
    train = min(182, max(14, 7 * ((left - 2 * test) // 7)))
    return Scale(windows, trend, train, test, test, apart + 28, left >= 28)


def _windows(churn_days: int, history_days: int) -> tuple[tuple[int, ...], int]:
    """Return the windows and the length of a trend; the trend and twice the trend are windows."""
    if churn_days >= 120:
        return (30, 60, 90, 180), 30
    if churn_days >= 45:
        return (7, 14, 30, 60, 90), 30
    if churn_days > 14:
        return (7, 14, 28, 56), 14
    if churn_days >= 10:
        return (7, 14, 30, 60), 7
    return ((1, 7, 14, 30), 7) if history_days >= 45 else ((1, 2, 4, 7), 2)
