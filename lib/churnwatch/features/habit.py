"""Describe the user's habit: gaps between active days, active hours, and slopes over weeks."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.features.families import FeatureFamily
from churnwatch.settings import Settings
from churnwatch.settings.names import ACTS, slope_measures, window_column

MASK_BITS = 64
WEEK_DAYS = 7


def slopes(settings: Settings) -> FeatureFamily:
    """Sum ``<measure>_slope`` as a whole number; ``slope`` divides it.

    The least-squares line through the sums y of n weeks x = 0 .. n-1 rises by sum((x - mean x) y) / sum((x - mean x)^2) per
    week (N. R. Draper and H. Smith, Applied Regression Analysis, 1998, chapter 1). The weeks are evenly spaced, so with
    k = n-1-x, the number of weeks ago, this is 6 sum((n-1-2k) y) / (n (n^2-1)): one sum, whatever the number of weeks.
    """
    weeks = settings.measures.slope_weeks or 0
    names = [f"{name}_slope" for name in slope_measures(settings)]
    weight = F.lit(weeks - 1).cast("long") - 2 * F.floor(F.col("age") / WEEK_DAYS)
    within = F.col("age") < WEEK_DAYS * weeks
    return FeatureFamily(
        per_ring=[F.sum(F.when(within, weight * F.col(name))).alias(f"{name}_slope") for name in slope_measures(settings)],
        per_user=[F.sum(name).alias(name) for name in names],
        output=[F.coalesce(name, F.lit(0).cast("long")).alias(name) for name in names],
    )


def slope(name: str, weeks: int, possible_days: Column) -> Column:
    """Compute ``<measure>_slope`` per week from the sum of ``slopes``.

    Null unless ``possible_days`` hold all its weeks, because weeks before a user's first would count as weeks without use.
    """
    made = F.try_divide(6 * F.col(f"{name}_slope").cast("double"), F.lit(float(weeks * (weeks * weeks - 1))))
    return F.when(possible_days >= WEEK_DAYS * weeks, made)


def habit(settings: Settings) -> FeatureFamily:
    """Measure gaps, the days from one active day to the next within the longest window: ``longest_gap_days``,
    ``usual_gap_days`` (their mean), ``gap_ratio`` (days since the last active day / usual gap) and ``regularity``.

    ``regularity`` is (mean - deviation) / (mean + deviation) of the gaps, which is minus the burstiness of Goh and Barabasi
    (Burstiness and memory in complex systems, EPL 81, 2008): 1 when all gaps are equal, 0 for random gaps, towards -1 for
    bursts and long pauses. Null with fewer than two gaps; the other three are null without a gap.

    The active days are kept as a bit mask, one long per 64 days, because masks merge exactly in any order.
    """
    if not settings.measures.habit:
        return FeatureFamily()
    longest = settings.measures.longest_window
    masks = range(-(-longest // MASK_BITS))
    bit = F.when((F.col("age") < longest) & (F.col(ACTS) > 0), F.call_function("shiftleft", F.lit(1).cast("long"), F.col("age")))
    last, total, gaps = F.array_min("_ages"), F.col("_total"), F.size("_ages") - 1
    # with m gaps, S their sum and Q the sum of their squares, the deviation is sqrt(m Q - S^2) / m
    spread = F.sqrt((gaps * F.col("_squares") - total * total).cast("double"))
    return FeatureFamily(
        per_ring=[F.bit_or(F.when(F.floor(F.col("age") / MASK_BITS) == n, bit)).alias(f"_mask{n}") for n in masks],
        per_user=[F.bit_or(f"_mask{n}").alias(f"_mask{n}") for n in masks],
        intermediate=[
            ("_ages", F.concat(*(_ages(n, longest) for n in masks))),
            ("_gaps", F.zip_with("_ages", F.slice("_ages", 2, longest), lambda a, b: b - a)),
            ("_total", (F.array_max("_ages") - last).cast("long")),
            ("_squares", F.aggregate("_gaps", F.lit(0).cast("long"), lambda sum_, gap: sum_ + F.coalesce(gap * gap, F.lit(0)))),
        ],
        output=[
            F.array_max("_gaps").alias("longest_gap_days"),
            F.try_divide(total, gaps).alias("usual_gap_days"),
            F.try_divide(last * gaps, total).alias("gap_ratio"),
            F.when(gaps > 1, F.try_divide(total - spread, total + spread)).alias("regularity"),
        ],
    )


def _ages(mask: int, longest: int) -> Column:
    """Decode the bit mask into a sorted array of ages in days."""
    first = mask * MASK_BITS
    bits = F.sequence(F.lit(first), F.lit(min(first + MASK_BITS, longest) - 1))
    return F.filter(bits, lambda age: F.getbit(F.col(f"_mask{mask}"), age - first) == 1)


def hours(settings: Settings) -> FeatureFamily:
    """Count ``active_hours_<window>d``: local hours, 0 to 24, in which the user was active on any day of the window."""
    if not settings.measures.active_hours:
        return FeatureFamily()
    names = [window_column("active_hours", window) for window in settings.measures.windows_days]
    active = [window_column("active_days", window) for window in settings.measures.windows_days]
    return FeatureFamily(
        per_ring=[F.bit_or("hours").alias("hours")],
        per_user=[F.bit_or(F.when(F.col("ring") <= index, F.col("hours"))).alias(name) for index, name in enumerate(names)],
        # null when the user was active on days stored before hours were kept
        output=[
            F.when(F.col(days) == 0, F.lit(0)).otherwise(F.bit_count(name)).alias(name)
            for name, days in zip(names, active, strict=True)
        ],
    )
