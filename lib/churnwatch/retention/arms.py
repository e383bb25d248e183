"""Arms by hash, drawn last, and the shares that they were planned to have."""

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.core.chance import share_of
from churnwatch.settings import Campaign, Offers
from churnwatch.settings.terms import CONTROL, GLOBAL_CONTROL, OFFER


def arm_of(user: Column, campaign: Column, campaigns: Sequence[Campaign], offers: Offers) -> Column:
    """global_control, control or offer, by hash of user and salt alone: the same on every day of a campaign."""
    held_out = share_of(user, offers.global_salt) < offers.global_holdout_share
    controls = [F.when((campaign == c.name) & (share_of(user, c.arm_salt) < c.holdout_share), CONTROL) for c in campaigns]
    return F.when(held_out, GLOBAL_CONTROL).otherwise(F.coalesce(*controls, F.lit(OFFER)))


def planned_shares(campaign: Campaign, offers: Offers) -> dict[str, float]:
    """Share of each arm among a campaign's assigned users, by plan; they add up to 1."""
    split = 1 - offers.global_holdout_share
    return {
        GLOBAL_CONTROL: offers.global_holdout_share,
        CONTROL: split * campaign.holdout_share,
        OFFER: split * (1 - campaign.holdout_share),
    }
