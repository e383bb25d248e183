"""Which labelled users were treated, and the weights of the untreated users who stand for them.

Training and judging use the same rules. A user is treated on the as-of day O when an offer could reach the user while the label
matured, or when somebody acted on a warning that was new or open on O.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.terms import CONTROL, OFFER

LOG = logging.getLogger(__name__)

LEAST_CHANCE = 0.01  # of being held out: no weight of a held-out user is above 100
LEAST_LEFT_ALONE = 30  # effective users of a level on whose warnings nobody acted; fewer stand for nobody


@dataclass(frozen=True)
class LeftAlone:
    """How many users with a warning of ``level`` were left alone, so that they stand for those on whose warnings somebody acted.

    ``users``: with a label and without an offer; ``acted``: users among them on whose warnings somebody acted. ``effective``:
    effective number of the users left alone. ``chance_held``, ``chance_others``: share left alone of the held-out users, and of
    the users whom no campaign assigned.
    """

    level: str
    users: int
    acted: int
    effective: float
    chance_held: float
    chance_others: float

    @property
    def lacking(self) -> str | None:
        """Why the users left alone stand for nobody; None where they do, or where nobody acted."""
        if not self.acted or self.effective >= LEAST_LEFT_ALONE:
            return None
        return (
            f"somebody acted on the warnings of {self.acted} of {self.users} users at level {self.level}, and the others count "
            f"as {self.effective:.1f} users, fewer than {LEAST_LEFT_ALONE}: no untreated users can represent them"
        )


def with_treatment(
    labelled: DataFrame, actions: DataFrame, cases: DataFrame, days: Sequence[date], settings: Settings
) -> DataFrame:
    """Add ``treated``, ``weight`` and ``lacking`` to ``labelled`` (one row per ``day`` of ``days`` and ``user_id``).

    ``actions``: rows of retention_actions from ``works_days`` before the first day on. ``cases``: ``judged_cases`` of ``days``.
    ``weight`` is 1 / (chance to be held out of all campaigns that assigned the user: ``per_assigned_user``) x 1 / (chance to be
    left alone by the people who act on warnings): inverse probability of censoring. The second chance is the share of the
    users left alone with a warning of the same level, apart for held-out users, who may be kept from people. ``lacking``: why
    no untreated users can represent the users of the level who were acted on, else null; the second factor is then 1.
    Collects one row per level.
    """
    arms = per_assigned_user(actions, days, settings)  # one row per day and user
    rank = _level_rank(settings)
    warned = cases.groupBy("day", "user_id").agg(
        F.bool_or("acted").alias("acted"), F.max(F.struct(rank.alias("rank"), F.element_at("warnings", -1)["level"])).alias("top")
    )
    both = labelled.join(arms, ["day", "user_id"], "left").join(warned, ["day", "user_id"], "left")
    known = both.select(
        *labelled.columns,
        F.coalesce("offered", F.lit(False)).alias("offered"),
        F.coalesce("acted", F.lit(False)).alias("acted"),
        F.col("weight").isNotNull().alias("held"),
        F.coalesce("weight", F.lit(1.0)).alias("weight"),
        F.col("top.level").alias("level"),
    )
    levels = left_alone(known)
    chance, lacking = F.lit(1.0), F.lit(None).cast("string")
    for one in levels:
        here = F.col("level") == one.level
        if one.lacking:
            LOG.warning("snapshots %s .. %s: %s", min(days), max(days), one.lacking)
            lacking = F.when(here, F.lit(one.lacking)).otherwise(lacking)
        elif one.acted:
            chance = F.when(here, F.when(F.col("held"), one.chance_held).otherwise(one.chance_others)).otherwise(chance)
    treated = F.col("offered") | F.col("acted")
    return known.select(
        *labelled.columns, treated.alias("treated"), (F.col("weight") / chance).alias("weight"), lacking.alias("lacking")
    )


def left_alone(known: DataFrame) -> list[LeftAlone]:
    """Count the users left alone by level of their warnings; users who got an offer do not count, the held-out stand for them.

    Held-out users and others have chances of their own where at least LEAST_LEFT_ALONE effective users of both were left alone,
    or only one of both kinds has users; else the share of both together.
    """
    alone, weight = ~F.col("acted"), F.col("weight")
    rows = (
        known.where(F.col("level").isNotNull() & ~F.col("offered"))
        .groupBy("level", "held")
        .agg(
            F.count("*").alias("users"),
            F.count_if("acted").alias("acted"),
            F.sum(weight).alias("weight"),
            F.coalesce(F.sum(F.when(alone, weight)), F.lit(0.0)).alias("alone"),
            F.coalesce(F.sum(F.when(alone, weight * weight)), F.lit(0.0)).alias("squares"),
        )
        .collect()
    )
    by_level: dict[str, dict[bool, Mapping[str, Any]]] = {}
    for row in rows:
        by_level.setdefault(row["level"], {})[row["held"]] = row.asDict()
    return [_level(level, kinds) for level, kinds in sorted(by_level.items())]


def _level(level: str, kinds: Mapping[bool, Mapping[str, Any]]) -> LeftAlone:
    together = sum(row["alone"] for row in kinds.values()) / sum(row["weight"] for row in kinds.values())
    apart = all(effective_users(row["alone"], row["squares"]) >= LEAST_LEFT_ALONE for row in kinds.values())
    chance = {held: row["alone"] / row["weight"] if apart else together for held, row in kinds.items()}
    # the weights with which the users left alone count: divided by their chance
    total = sum(row["alone"] / (chance[held] or 1.0) for held, row in kinds.items())
    squares = sum(row["squares"] / (chance[held] or 1.0) ** 2 for held, row in kinds.items())
    return LeftAlone(
        level,
        sum(row["users"] for row in kinds.values()),
        sum(row["acted"] for row in kinds.values()),
        effective_users(total, squares),
        chance.get(True, together),
        chance.get(False, together),
    )


def effective_users(weight: float, squares: float) -> float:
    """Effective number of users, (sum of w)^2 / sum of w^2 (L. Kish, Survey Sampling, 1965); 0 without users."""
    return weight * weight / squares if squares else 0.0


def _level_rank(settings: Settings) -> Column:
    """The place of the level of a case's newest warning, 0 for the mildest; -1 for a level that is not configured."""
    names = F.array(*(F.lit(level.name) for level in settings.tiers.levels)).cast("array<string>")
    return F.array_position(names, F.element_at("warnings", -1)["level"]) - 1


def per_assigned_user(actions: DataFrame, days: Sequence[date], settings: Settings) -> DataFrame:
    """``day, user_id, offered, weight``: one row per snapshot O of ``days`` and user who was assigned to an arm in O - n ..
    O + lead + horizon - 1, both included; n = ``works_days``, the days for which an offer works. An offer is decided at the end
    of its day and reaches the user on the next day.

    Arms are drawn by hash after eligibility was decided blind to them, so a held-out user represents all users assigned like
    them: weight 1 / P(held out in all their campaigns) (D. Horvitz and D. Thompson, A generalization of sampling without
    replacement from a finite universe, JASA 47 (1952)), with P = g + (1 - g) x product of the campaigns' h. g: the planned
    share of the global hold-out, one draw for all campaigns; h: the campaign's planned ``holdout_share``. Where offers.yaml
    has a campaign no more, h is the share of controls among its users in ``actions``, each counted once. P is at least 0.01,
    so that no user represents more than a hundred.
    """
    assigned = actions.where("arm IS NOT NULL")
    # an assignment counts for each snapshot whose label it may change
    last, works_days = settings.primary.ahead_days - 1, settings.offers.works_days
    snapshots = F.array(*[F.lit(day) for day in days])
    touched = F.filter(snapshots, lambda o: F.col("day").between(F.date_sub(o, works_days), F.date_add(o, last)))
    per_campaign = (
        assigned.select("user_id", "campaign", (F.col("arm") == OFFER).alias("offered"), F.explode(touched).alias("day"))
        .groupBy("day", "user_id", "campaign")
        .agg(F.bool_or("offered").alias("offered"))
        .join(F.broadcast(_seen_shares(assigned)), "campaign", "left")  # one row a campaign
    )
    share = F.coalesce("seen_share", F.lit(1.0))
    for campaign in settings.offers.campaigns:
        share = F.when(F.col("campaign") == campaign.name, F.lit(campaign.holdout_share)).otherwise(share)
    planned = F.lit(settings.offers.global_holdout_share)
    chance = planned + (1 - planned) * F.product(share)
    return per_campaign.groupBy("day", "user_id").agg(
        F.bool_or("offered").alias("offered"), (1 / F.greatest(chance, F.lit(LEAST_CHANCE))).alias("weight")
    )


def _seen_shares(assigned: DataFrame) -> DataFrame:
    """One row per campaign: ``seen_share`` of controls among its users outside the global hold-out, each user counted once."""
    users = assigned.where(F.col("arm").isin(OFFER, CONTROL)).groupBy("campaign", "user_id")
    return (
        users.agg(F.bool_or(F.col("arm") == CONTROL).cast("double").alias("control"))
        .groupBy("campaign")
        .agg(F.avg("control").alias("seen_share"))
    )
