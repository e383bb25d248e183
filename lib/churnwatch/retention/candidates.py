"""Find the candidates of a day's campaigns: the cause of each, the offer for it, and reasons against contact."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import Campaign, Offer
from churnwatch.settings.terms import CONTACT, UNKNOWN

NO_OFFER = "no offer fits"
NO_CONSENT = "no consent to contact"
PAUSED = "assigned within the pause"

OFFER_TYPE = "struct<offer:string, channel:string, cost_cents:bigint, save_share:double>"


def per_candidate(scores: DataFrame, users: DataFrame, campaigns: Sequence[Campaign], day: date) -> DataFrame:
    """Return one row per scored user and campaign that takes the user's tier, with the score's cause, offer and expected value.

    ``expected_value_cents`` = round(probability x value x save_share) - cost; 0 without an offer that fits, and ``offer`` is
    then null. ``suppressed_because``: no offer fits, no consent to contact on the offer's channel (unknown counts as no), or
    assigned within the campaign's pause, in any arm, so that the arms stay comparable; else null. ``users``: per_user.
    """
    terms = F.array_compact(F.array(*[_terms(campaign) for campaign in campaigns]))
    kept = ("user_id", "cause", "tier", "probability", "value_cents", "channels", "assigned")
    candidates = (
        scores.join(users, "user_id", "left")  # both: one row per user
        .withColumn("cause", F.coalesce("cause", F.lit(UNKNOWN)))
        .select(*kept, F.explode(terms).alias("terms"))
        .select(*kept, "terms.*")
        .select("*", "chosen.*")
        .withColumn("cost_cents", F.coalesce("cost_cents", F.lit(0).cast("long")))
    )
    consented = F.coalesce(F.array_contains("channels", F.col("channel")), F.lit(False))
    paused = F.exists(
        "assigned",
        lambda one: (one["campaign"] == F.col("campaign")) & (F.datediff(F.lit(day), one["day"]) <= F.col("pause_days")),
    )
    reason = F.when(F.col("offer").isNull(), NO_OFFER).when(~consented, NO_CONSENT).when(paused, PAUSED)
    return (
        candidates.withColumn("expected_value_cents", _expected_value())
        .withColumn("suppressed_because", reason)
        .drop("chosen", "channels", "assigned", "pause_days")
    )


def per_user(consents: DataFrame, actions: DataFrame) -> DataFrame:
    """Return one row per user: ``channels`` with a consent to contact, and ``assigned``: campaign and day of the user's rows in
    ``actions`` that are in an arm."""
    consented = consents.where((F.col("purpose") == CONTACT) & F.col("granted")).select("user_id", "channel")
    assigned = actions.where(F.col("arm").isNotNull()).select("user_id", F.struct("campaign", "day").alias("assigned"))
    return (
        consented.unionByName(assigned, allowMissingColumns=True)
        .groupBy("user_id")
        .agg(F.collect_set("channel").alias("channels"), F.collect_list("assigned").alias("assigned"))
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
