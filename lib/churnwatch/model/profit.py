"""The expected maximum profit measure for churn (EMPC): what a retention campaign that follows the score could earn."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from churnwatch.settings.model import CampaignProfit

Floats = NDArray[np.float64]


def expected_maximum_profit(churned: Floats, others: Floats, profit: CampaignProfit) -> dict[str, Floats]:
    """``empc_cents``: EMPC in cents per user of the base; ``empc_share``: share of the base contacted; one number a replicate.

    Verbraken, Verbeke and Baesens, A novel profit maximizing metric for measuring classification performance of customer
    churn prediction models, IEEE TKDE 25 (2013). With pi0, pi1 the shares of churners and others, F0(t), F1(t) the shares
    of them above the cut t, CLV = ``saved_cents``, d = ``offer_cents``, f = ``contact_cents`` and gamma the share of
    churners who take the offer, a campaign at t earns for each user of the base

        P(t; gamma) = (gamma (CLV - d) - f) pi0 F0(t) - (d + f) pi1 F1(t)

    (a churner who leaves anyway costs the contact only; every other user takes the offer). EMPC is the mean over
    gamma ~ Beta(alpha, beta) of the profit at the best cut; the best cuts are corners of the ROC curve's convex hull,
    so the mean is an exact sum of incomplete Beta functions. Matrices: (replicate, bin), lowest risk first.
    """
    found = [_of_replicate(one, other, profit) for one, other in zip(churned, others, strict=True)]
    return {"empc_cents": np.array([cents for cents, _ in found]), "empc_share": np.array([share for _, share in found])}


def _of_replicate(churned: Floats, others: Floats, profit: CampaignProfit) -> tuple[float, float]:
    positives, negatives = float(churned.sum()), float(others.sum())
    if not positives or not negatives:
        return 0.0, 0.0
    f1, f0 = _hull(np.cumsum(others[::-1]) / negatives, np.cumsum(churned[::-1]) / positives)
    pi0 = positives / (positives + negatives)
    gain, contact = float(profit.saved_cents - profit.offer_cents), float(profit.contact_cents)
    loss = float(profit.offer_cents + profit.contact_cents)
    # at edges[i] corners i and i + 1 earn the same: where the hull is steep, a small share of takers is enough
    edges = (loss * (1 - pi0) * np.diff(f1) + contact * pi0 * np.diff(f0)) / (gain * pi0 * np.diff(f0))
    ends = np.clip(np.concatenate([[0.0], edges, [1.0]]), 0.0, 1.0)
    mass, takers = _beta_parts(ends, profit.alpha, profit.beta)
    reached = pi0 * f0 + (1 - pi0) * f1
    earned = gain * pi0 * f0 * takers - (contact * pi0 * f0 + loss * (1 - pi0) * f1) * mass
    return float(earned.sum()), float((reached * mass).sum())


def _beta_parts(ends: Floats, alpha: float, beta: float) -> tuple[Floats, Floats]:
    """Probability of gamma between neighbouring ``ends``, and its mean there times that probability."""
    from scipy.special import betainc

    mass = np.diff(betainc(alpha, beta, ends))
    return mass, alpha / (alpha + beta) * np.diff(betainc(alpha + 1, beta, ends))


def _hull(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Corners of the upper convex hull of the ROC points from (0, 0) to (1, 1), strictly rising in y, slopes falling."""
    corners: list[Any] = [(0.0, 0.0)]
    for point in zip(x.tolist(), y.tolist(), strict=True):
        while len(corners) > 1 and _no_right_turn(corners[-2], corners[-1], point):
            corners.pop()
        if point != corners[-1]:
            corners.append(point)
    # the last piece may be level: contacting more users earns nothing for any gamma
    if len(corners) > 1 and corners[-1][1] <= corners[-2][1]:
        corners.pop()
    hull = np.array(corners)
    return hull[:, 0], hull[:, 1]


def _no_right_turn(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    across = (middle[0] - first[0]) * (last[1] - first[1]) - (middle[1] - first[1]) * (last[0] - first[0])
    return across >= 0.0
