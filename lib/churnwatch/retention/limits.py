"""Limit a day's candidates by budget and capacity, best expected value first, without sorting all candidates in one task."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.core.chance import share_of
from churnwatch.settings import Campaign

OVER_CAPACITY = "over capacity"
OVER_BUDGET = "budget exhausted"

DIGITS = 8  # leading binary digits of an amount that its bin keeps, so bins are narrower than 1/128 of the amount
SLICES = 32  # parts of a bin, by hash, so one task sorts at most the fullest bin / 32


def with_limits(frame: DataFrame, campaigns: Sequence[Campaign], day: date) -> DataFrame:
    """Suppress the rows of each campaign beyond its users and cents per day, best expected value first.

    ``frame``: one row per user and campaign with ``expected_value_cents``, ``cost_cents``, ``suppressed_because``. Amounts are
    compared in bins (under 0.8 % wide, exact below 256 cents); within a bin a hash of user and day gives the order. Everybody
    who is not suppressed counts, whatever the arm will be, so that the limits cannot differ between arms.
    """
    if all(c.max_users_a_day is None and c.daily_budget_cents is None for c in campaigns):
        return frame
    wanted = F.col("suppressed_because").isNull()
    placed = (
        frame.withColumn("_bin", _bin(F.col("expected_value_cents")))
        .withColumn("_tie", _tie(campaigns, day))
        .withColumn("_slice", F.floor(F.col("_tie") * SLICES).cast("int"))
        .withColumn("_users", wanted.cast("long"))
        .withColumn("_cents", F.when(wanted, F.col("cost_cents")).otherwise(0))
    )
    cell = ["campaign", "_bin", "_slice"]
    # at most 2 x 7,300 bins x 32 slices per campaign, for any number of users
    counts = placed.groupBy(*cell).agg(F.sum("_users").alias("_n"), F.sum("_cents").alias("_c"))
    better = Window.partitionBy("campaign").orderBy(F.desc("_bin"), "_slice").rowsBetween(Window.unboundedPreceding, -1)
    ahead = counts.select(
        *cell,
        F.coalesce(F.sum("_n").over(better), F.lit(0)).alias("_users_ahead"),
        F.coalesce(F.sum("_c").over(better), F.lit(0)).alias("_cents_ahead"),
    )
    within = Window.partitionBy(*cell).orderBy("_tie", "user_id").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    place = F.col("_users_ahead") + F.sum("_users").over(within)
    spent = F.col("_cents_ahead") + F.sum("_cents").over(within)
    # ahead: one row per cell, so the join keeps the grain
    return (
        placed.join(ahead, cell, "inner")
        .withColumn("_place", place)
        .withColumn("_spent", spent)
        .withColumn("suppressed_because", F.coalesce("suppressed_because", _beyond(campaigns)))
        .select(*frame.columns)
    )


def _bin(cents: Column) -> Column:
    """Return the amount's bin, a whole number that rises with it: its first DIGITS binary digits and how many follow."""
    size = F.abs(cents)
    length = F.length(F.bin(size))
    cut = F.greatest(length - DIGITS, F.lit(0))
    half = 1 << (DIGITS - 1)
    # an amount with more digits has first DIGITS of half .. 2 x half - 1, so each further digit adds half
    kept = F.floor(size / F.pow(F.lit(2.0), cut)).cast("int")
    return (F.signum(cents.cast("double")).cast("int") * (cut * half + kept)).cast("int")


def _tie(campaigns: Sequence[Campaign], day: date) -> Column:
    # its own salt, because with the arms' salt the last places of a budget would all go to one arm
    salted = [F.when(F.col("campaign") == c.name, share_of(F.col("user_id"), f"rank:{c.name}:{day}")) for c in campaigns]
    return F.coalesce(*salted)


def _beyond(campaigns: Sequence[Campaign]) -> Column:
    reasons = [F.lit(None).cast("string")]
    for campaign in campaigns:
        here = F.col("campaign") == campaign.name
        if campaign.max_users_a_day is not None:
            reasons.append(F.when(here & (F.col("_place") > campaign.max_users_a_day), OVER_CAPACITY))
        if campaign.daily_budget_cents is not None:
            reasons.append(F.when(here & (F.col("_spent") > campaign.daily_budget_cents), OVER_BUDGET))
    return F.coalesce(*reasons)
