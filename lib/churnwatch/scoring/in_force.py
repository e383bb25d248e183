"""Tiers in force: the configured tiers with their adjusted cuts, and the groups within which they are cut."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.scoring.cuts import EVERYBODY
from churnwatch.settings import Settings, Tier


def tiers_in_force(thresholds: DataFrame | None, settings: Settings) -> list[Tier]:
    """The configured tiers, the adjusted ones with the newest cut of ``thresholds``, limited to the bounds configured today.

    ``thresholds``: rows known on the day, None where no tier is adjusted. Collects one row a tier.
    """
    tiers = settings.tiers.tiers
    if thresholds is None or not any(tier.adjust for tier in tiers):
        return list(tiers)
    newest = thresholds.where(F.col("cut").isNotNull()).groupBy("tier").agg(F.max_by("cut", "day").alias("cut"))
    moved = {row["tier"]: row["cut"] for row in newest.collect()}
    return [with_cut(tier, moved.get(tier.name)) for tier in tiers]


def with_cut(tier: Tier, cut: float | None) -> Tier:
    """The tier with its cut at ``cut``, limited to its bounds; unchanged where it is not adjusted or ``cut`` is None."""
    if tier.adjust is None or cut is None:
        return tier
    within = min(tier.adjust.highest, max(tier.adjust.lowest, cut))
    return tier.model_copy(update={"top_share" if tier.top_share is not None else "min_probability": within})


def user_group(settings: Settings) -> list[Column]:
    """``user_group`` of a row of user_features: its value of the segment that tiers are cut by; no column without a segment."""
    by = settings.tiers.by
    return [F.coalesce(F.col(f"segment_{by}"), F.lit(EVERYBODY)).alias("user_group")] if by else []
