"""Tiers as they are in force: with the cuts that were moved since, and the groups within which they are cut."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.scoring.cuts import EVERYBODY
from churnwatch.settings import Settings, Tier


def tiers_in_force(thresholds: DataFrame | None, settings: Settings) -> list[Tier]:
    """The configured tiers, each that is adjusted with the newest cut of ``thresholds``, within its bounds of today.

    ``thresholds``: rows known on the day, None where no tier is adjusted. Collects one row a level.
    """
    tiers = settings.tiers.tiers
    if thresholds is None or not any(tier.adjust for tier in tiers):
        return list(tiers)
    newest = thresholds.where(F.col("cut").isNotNull()).groupBy("tier").agg(F.max_by("cut", "day").alias("cut"))
    moved = {row["tier"]: row["cut"] for row in newest.collect()}
    return [with_cut(tier, moved.get(tier.name)) for tier in tiers]


def with_cut(tier: Tier, cut: float | None) -> Tier:
    """The tier with its cut at ``cut``, within its bounds; as it is where it is not adjusted."""
    if tier.adjust is None or cut is None:
        return tier
    within = min(tier.adjust.highest, max(tier.adjust.lowest, cut))
    return tier.model_copy(update={"top_share" if tier.top_share is not None else "min_probability": within})


def user_group(settings: Settings) -> list[Column]:
    """``user_group`` of a row of features: the value of the segment by which tiers are cut; no column where they are not."""
    by = settings.tiers.by
    return [F.coalesce(F.col(f"segment_{by}"), F.lit(EVERYBODY)).alias("user_group")] if by else []
