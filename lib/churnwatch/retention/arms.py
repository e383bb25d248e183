"""Assign arms by hash, as the last step of planning; planned shares of the arms."""

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.core.chance import share_of
from churnwatch.settings import Campaign, Offers
from churnwatch.settings.terms import CONTROL, GLOBAL_CONTROL, OFFER


def arm_of(user: Column, campaign: Column, campaigns: Sequence[Campaign], offers: Offers) -> Column:
    """Return global_control, control or offer, by a hash of user and salt alone: the same on every day of a campaign."""
    held_out = share_of(user, offers.global_salt) < offers.global_holdout_share
    controls = [F.when((campaign == c.name) & (share_of(user, c.arm_salt) < c.holdout_share), CONTROL) for c in campaigns]
    return F.when(held_out, GLOBAL_CONTROL).otherwise(F.coalesce(*controls, F.lit(OFFER)))


def planned_shares(campaign: Campaign, offers: Offers) -> dict[str, float]:
    """Return the planned share of each arm among a campaign's assigned users; they add up to 1."""
    split = 1 - offers.global_holdout_share
    return {
        GLOBAL_CONTROL: offers.global_holdout_share,
        CONTROL: split * campaign.holdout_share,
        OFFER: split * (1 - campaign.holdout_share),
    }
