"""Which users were treated during a label window, and the weights of the held-out users who replace them."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.terms import CONTROL, OFFER

LEAST_CHANCE = 0.01  # of being held out: no weight is above 100


def per_assigned_user(actions: DataFrame, days: Sequence[date], settings: Settings) -> DataFrame:
    """``day, user_id, offered, weight``: one row per snapshot O of ``days`` and user who was assigned to an arm in O - n ..
    O + lead + horizon - 1, both included; n = ``works_days``, the days for which an offer works. An offer is decided at the end
    of its day and reaches the user on the next day.

    Arms are drawn by hash after eligibility was decided blind to them, so a held-out user represents all users assigned like
    them: weight 1 / P(held out in all their campaigns) (D. Horvitz and D. Thompson, A generalization of sampling without
    replacement from a finite universe, JASA 47 (1952)), with P = g + (1 - g) x product of the campaigns' h. g: the planned
    share of the global hold-out, one draw for all campaigns; h: the campaign's share of controls among its assignments outside
    the global hold-out, as observed in ``actions``. P is at least 0.01, so that no user represents more than a hundred.
    """
    assigned = actions.where("arm IS NOT NULL")
    own = F.col("arm").isin(OFFER, CONTROL)
    shares = assigned.groupBy("campaign").agg(F.avg(F.when(own, (F.col("arm") == CONTROL).cast("double"))).alias("share"))
    # an assignment counts for each snapshot whose label it may change
    last, works_days = settings.primary.ahead_days - 1, settings.offers.works_days
    snapshots = F.array(*[F.lit(day) for day in days])
    touched = F.filter(snapshots, lambda o: F.col("day").between(F.date_sub(o, works_days), F.date_add(o, last)))
    per_campaign = (
        assigned.select("user_id", "campaign", (F.col("arm") == OFFER).alias("offered"), F.explode(touched).alias("day"))
        .groupBy("day", "user_id", "campaign")
        .agg(F.bool_or("offered").alias("offered"))
        .join(F.broadcast(shares), "campaign")  # one row a campaign
    )
    planned = F.lit(settings.offers.global_holdout_share)
    chance = planned + (1 - planned) * F.product(F.coalesce("share", F.lit(1.0)))
    return per_campaign.groupBy("day", "user_id").agg(
        F.bool_or("offered").alias("offered"), (1 / F.greatest(chance, F.lit(LEAST_CHANCE))).alias("weight")
    )
