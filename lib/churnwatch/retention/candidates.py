"""Find the candidates of a day's campaigns: the cause of each, the offer for it, and reasons against contact."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.scoring import first_cause
from churnwatch.settings import Campaign, Offer
from churnwatch.settings.terms import CONTACT, LEVELS, MODEL, UNKNOWN

NO_OFFER = "no offer fits"
NO_CONSENT = "no consent to contact"
PAUSED = "assigned within the pause"

MODEL_STRENGTH = 5  # the model's own warning speaks before any rule's
OFFER_TYPE = "struct<offer:string, channel:string, cost_cents:bigint, save_share:double>"


def per_candidate(scores: DataFrame, alerts: DataFrame, campaigns: Sequence[Campaign]) -> DataFrame:
    """Return one row per scored user and campaign that takes the user's tier, with cause, offer and expected value.

    ``expected_value_cents`` = round(probability x value x save_share) - cost; 0 without an offer that fits, and ``offer`` is
    then null. ``pause_days`` is the campaign's.
    """
    # one row a user on both sides: the join keeps the grain
    warned = scores.join(_warned_causes(alerts), "user_id", "left").withColumn(
        "cause", F.coalesce("warned_cause", first_cause(), F.lit(UNKNOWN))
    )
    terms = F.array_compact(F.array(*[_terms(campaign) for campaign in campaigns]))
    return (
        warned.select("user_id", "cause", "tier", "probability", "value_cents", F.explode(terms).alias("terms"))
        .select("user_id", "cause", "tier", "probability", "value_cents", "terms.*")
        .select("*", "chosen.*")
        .drop("chosen")
        .withColumn("cost_cents", F.coalesce("cost_cents", F.lit(0).cast("long")))
        .withColumn("expected_value_cents", _expected_value())
    )


def with_suppression(candidates: DataFrame, consents: DataFrame, assigned: DataFrame, day: date) -> DataFrame:
    """Add ``suppressed_because``: no offer fits, no consent (unknown counts as no), or assigned within the pause; else null.

    ``assigned``: earlier rows of retention_actions. An assignment to any arm pauses, so that the arms stay comparable.
    """
    consented = consents.where((F.col("purpose") == CONTACT) & F.col("granted")).select(
        "user_id", "channel", F.lit(True).alias("consented")
    )
    last = assigned.where(F.col("arm").isNotNull()).groupBy("user_id", "campaign").agg(F.max("day").alias("last_day"))
    paused = F.datediff(F.lit(day), "last_day") <= F.col("pause_days")
    reason = F.when(F.col("offer").isNull(), NO_OFFER).when(F.col("consented").isNull(), NO_CONSENT).when(paused, PAUSED)
    # consents hold one row a user, channel and purpose; ``last`` one a user and campaign: both joins keep the grain
    return (
        candidates.join(consented, ["user_id", "channel"], "left")
        .join(last, ["user_id", "campaign"], "left")
        .withColumn("suppressed_because", reason)
        .drop("consented", "last_day", "pause_days")
    )


def _warned_causes(alerts: DataFrame) -> DataFrame:
    strength = F.when(F.col("rule_id") == MODEL, MODEL_STRENGTH)
    for rank, level in enumerate(LEVELS, 1):
        strength = strength.when(F.col("level") == level, rank)
    return (
        alerts.where((F.col("scope") == "user") & F.col("cause").isNotNull())
        .groupBy("user_id")
        .agg(F.max_by("cause", F.struct(strength, "rule_id")).alias("warned_cause"))
    )


def _terms(campaign: Campaign) -> Column:
    """Return the campaign and its first offer that fits the row; null if the campaign does not take the user's tier."""
    fits = [F.when(_fits(offer), _offer(offer)) for offer in campaign.offers]
    chosen = F.coalesce(*fits, F.lit(None).cast(OFFER_TYPE))
    return F.when(
        F.col("tier").isin(campaign.tiers),
        F.struct(
            F.lit(campaign.name).alias("campaign"),
            F.lit(campaign.contact_pause_days).alias("pause_days"),
            chosen.alias("chosen"),
        ),
    )


def _fits(offer: Offer) -> Column:
    enough_value = F.col("value_cents") >= offer.min_value_cents
    return enough_value & F.col("cause").isin(offer.causes) if offer.causes else enough_value


def _offer(offer: Offer) -> Column:
    return F.struct(
        F.lit(offer.name).alias("offer"),
        F.lit(offer.channel).alias("channel"),
        F.lit(offer.cost_cents).cast("long").alias("cost_cents"),
        F.lit(offer.save_share).alias("save_share"),
    ).cast(OFFER_TYPE)


def _expected_value() -> Column:
    saved = F.round(F.col("probability") * F.col("value_cents") * F.col("save_share")).cast("long")
    return F.coalesce(saved - F.col("cost_cents"), F.lit(0).cast("long"))
