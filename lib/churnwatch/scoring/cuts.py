"""Ranks and tiers of the whole base from a histogram: no global sort, and no user reaches the driver."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churnwatch.settings import Tier

EPSILON = 1e-9  # 0.29 x 100 is 28.999999999999996


@dataclass(frozen=True)
class Ranks:
    """Cells in order of risk, rising, with the position of their users from the riskiest."""

    cells: NDArray[np.int64]
    position: NDArray[np.int64]
    users: int


def ranked(cells: NDArray[np.int64], users: NDArray[np.int64]) -> Ranks:
    """Ranks of users by cell (margin bin, then part of a hash); users of one cell are equal.

    ``position``: users in the cell and above, so that a cut at position n takes n users at the most: a capacity is never
    exceeded; the others are the share of users in lower cells, the percentile.
    """
    order = np.argsort(cells, kind="stable")
    sizes = users[order]
    total = int(sizes.sum())
    below = np.cumsum(sizes) - sizes
    return Ranks(cells[order], total - below, total)


def cuts(tiers: list[Tier], users: int) -> list[dict[str, Any]]:
    """What each tier asks of a user: ``least`` probability or ``last`` position counted from the riskiest.

    ``top_share`` and ``top_users`` count from the riskiest user of the base: after ``critical: 0.05``, ``high: 0.15`` takes
    the next 10 %. Tiers are tried in order, a user belongs to the first that takes it.
    """
    return [{"least": tier.min_probability, "last": _last(tier, users)} for tier in tiers]


def _last(tier: Tier, users: int) -> int | None:
    if tier.top_share is not None:
        return int(tier.top_share * users + EPSILON)
    return tier.top_users
