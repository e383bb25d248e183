"""Ranks and tiers of all users from a histogram: no global sort, and no user reaches the driver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.scoring.worker import ExactBounds
from churnwatch.settings import Tier
from churnwatch.settings.tiers import Tiers

EPSILON = 1e-9  # 0.29 x 100 is 28.999999999999996
EVERYBODY = ""  # the group of all users; where tiers are cut by a segment, of the users without a value
ABOVE_ALL = 2.0  # a percentile that no user has


@dataclass(frozen=True)
class Ranks:
    """Cells in rising order of risk, the percentile and the position (1 = riskiest) of their users; ``users`` in all cells."""

    cells: NDArray[np.int64]
    percentile: NDArray[np.float64]
    position: NDArray[np.int64]
    users: int


def rank_cells(cells: NDArray[np.int64], users: NDArray[np.int64]) -> Ranks:
    """Rank users by cell (margin bin, then part of a hash); users of one cell have the same rank.

    ``percentile``: share of users in lower cells. ``position``: users in the cell and above, so that a cut at position n takes
    at most n users and a capacity is never exceeded.
    """
    taken, place = np.unique(cells, return_inverse=True)
    sizes = np.bincount(place, weights=users).astype(np.int64)
    total = int(sizes.sum())
    below = np.cumsum(sizes) - sizes
    return Ranks(taken, below / max(total, 1), total - below, total)


def rank_within_groups(groups: Sequence[str], cells: NDArray[np.int64], users: NDArray[np.int64]) -> dict[str, Ranks]:
    """Rank users within each group: ``position`` and ``users`` count the group, ``percentile`` counts all users."""
    whole = rank_cells(cells, users)
    names = np.asarray(groups, dtype=object)
    found = {}
    for group in sorted(set(groups)):
        own = rank_cells(cells[names == group], users[names == group])
        everywhere = whole.percentile[np.searchsorted(whole.cells, own.cells)]
        found[group] = Ranks(own.cells, everywhere, own.position, own.users)
    return found


def exact_bounds(settings: Tiers, tiers: Sequence[Tier], ranks: Ranks) -> ExactBounds:
    """The bounds of the users who may be in a tier with a level, whatever tier they were in before.

    All users, where tiers are cut within groups or by profit.
    """
    acting = [tier for tier in tiers if tier.level is not None]
    if settings.by or any(tier.profit for tier in acting):
        return ExactBounds(cell=0, probability=None)
    last = max((_last(tier, ranks.users, 1 + settings.stay_share) for tier in acting), default=0)
    taken = ranks.cells[ranks.position <= last]
    least = [tier.min_probability * (1 - settings.stay_share) for tier in acting if tier.min_probability is not None]
    return ExactBounds(int(taken[0]) if len(taken) else None, min(least, default=None))


def tier_of(settings: Tiers, tiers: Sequence[Tier], groups: Mapping[str, Ranks]) -> Column:
    """The row's tier: the first of ``tiers`` that takes it, from its ``percentile``, ``probability``, ``value_cents``,
    ``previous_tier`` and, where tiers are cut by a segment, its ``user_group``.

    ``top_share`` and ``top_users`` count from the riskiest user: after ``critical: 0.05``, ``high: 0.15`` takes the next
    10 %. A user who was in a tier, or in a riskier one, stays in it as long as the risk is below its cut by less than
    ``stay_share`` of the cut, so that no user flickers between two tiers. For ``top_users`` new users enter above a narrower
    cut instead, so that a capacity is never exceeded.
    """
    chosen = F.lit(tiers[-1].name)
    for place, tier in reversed(list(enumerate(tiers[:-1]))):
        enters, stays = _holds(tier, settings.stay_share, groups)
        was_there = F.coalesce(F.col("previous_tier").isin(*(t.name for t in tiers[: place + 1])), F.lit(False))
        chosen = F.when(enters | (was_there & stays), F.lit(tier.name)).otherwise(chosen)
    return chosen


def _holds(tier: Tier, stay: float, groups: Mapping[str, Ranks]) -> tuple[Column, Column]:
    """Whether the tier takes the row, and whether it keeps a row that was in it."""
    probability = F.col("probability")
    if tier.profit is not None:
        gain = probability * tier.profit.save_share * F.col("value_cents") - tier.profit.cost_cents
        spare = stay * (tier.profit.cost_cents + tier.profit.least_cents)
        return gain > tier.profit.least_cents, gain > tier.profit.least_cents - spare
    if tier.min_probability is not None:
        return probability >= tier.min_probability, probability >= tier.min_probability * (1 - stay)
    wider, narrower = (stay, 0.0) if tier.top_share is not None else (0.0, stay)
    return _among_first(tier, 1 - narrower, groups), _among_first(tier, 1 + wider, groups)


def _among_first(tier: Tier, factor: float, groups: Mapping[str, Ranks]) -> Column:
    """Whether the row is among the riskiest users of its group, up to the tier's cut times ``factor``."""
    least = {name: _least_percentile(ranks, _last(tier, ranks.users, factor)) for name, ranks in groups.items()}
    if set(least) <= {EVERYBODY}:
        return F.col("percentile") >= least.get(EVERYBODY, ABOVE_ALL)
    pairs = [F.lit(value) for pair in sorted(least.items()) for value in pair]
    return F.col("percentile") >= F.coalesce(F.create_map(*pairs)[F.col("user_group")], F.lit(ABOVE_ALL))


def _least_percentile(ranks: Ranks, last: int) -> float:
    taken = ranks.percentile[ranks.position <= last]
    return float(taken.min()) if len(taken) else ABOVE_ALL


def _last(tier: Tier, users: int, factor: float = 1.0) -> int:
    """Position of the last of ``users`` users that the tier takes; 0 for a tier without a cut by rank."""
    if tier.top_share is not None:
        return int(min(1.0, tier.top_share * factor) * users + EPSILON)
    return int((tier.top_users or 0) * factor + EPSILON)
