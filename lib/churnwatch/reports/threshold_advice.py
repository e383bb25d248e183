"""Advice on the cut of a tier: whether it achieves its aim, from which probability it would, and whether the model needs a new
calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from churnwatch.core.intervals import wilson_interval
from churnwatch.reports.score_quality import BINS, Bin
from churnwatch.settings import Tier
from churnwatch.settings.tiers import Aim

DOUBT = 0.01  # a cut moves where the 99 % interval lies off its aim: it is looked at on every judged day
NEAR_SHARE = 0.05  # a number of users this close to the aim is kept
OFF_SHARE = 0.1  # observed and predicted rates further apart than this ask for a new calibration
STEP_SHARE = 0.25  # half width of the band around a cut, as a share of the cut, where the tier has no step of its own


@dataclass(frozen=True)
class Evidence:
    """Users with a known outcome who were not treated, with the weights of those for whom they stand.

    ``rate`` and ``predicted``: weighted share that churned, and mean probability; None without users. ``effective``: effective
    number of users.
    """

    users: int
    effective: float
    rate: float | None
    predicted: float | None

    @staticmethod
    def of(bins: Sequence[Bin]) -> "Evidence":
        """The evidence of the users in ``bins``."""
        weight, squares = sum(b.weight for b in bins), sum(b.weight_squares for b in bins)
        if not weight:
            return Evidence(0, 0.0, None, None)
        rate = min(1.0, sum(b.weight_churned for b in bins) / weight)  # weights leave a residue of 1e-16
        return Evidence(sum(b.users for b in bins), weight**2 / squares, rate, sum(b.predicted for b in bins) / weight)

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """The Wilson interval of ``rate`` on the effective number of users; (0, 1) without users."""
        return wilson_interval((self.rate or 0.0) * self.effective, self.effective, alpha)

    def excludes(self, rate: float, alpha: float = DOUBT) -> bool:
        """Whether ``rate`` lies outside of the interval."""
        low, high = self.interval(alpha)
        return not low <= rate <= high

    @property
    def miscalibrated(self) -> bool:
        """Whether fewer or more churned than predicted: shown by the interval, and by more than OFF_SHARE of the prediction."""
        if self.rate is None or not self.predicted:
            return False
        return self.excludes(self.predicted) and abs(self.rate / self.predicted - 1) > OFF_SHARE


@dataclass(frozen=True)
class Advice:
    """``old``: the probability at the cut; ``wanted``: the cut that achieves the aim, in the tier's unit (the cut itself where
    there is no reason to move); ``new``: the probability at ``wanted``. ``evidence``: of the users at or above the cut."""

    old: float | None
    new: float | None
    wanted: float
    reason: str
    evidence: Evidence


def advise_cut(tier: Tier, cut: float, bins: Sequence[Bin], users: int, least: int) -> Advice:
    """Advice on ``tier``, whose cut was ``cut``, from the ``bins`` of the model version that warned.

    ``users``: scored users of the day; ``least``: effective users below which nothing is advised. The aim is that of
    tiers.yaml, never what the model promised: a cut follows the churn that was seen until the aim is achieved, and rests there.
    Where the model's probabilities are off, its calibration is to be made anew; a cut does not make up for it.
    """
    above = bins_above(tier, cut, bins)
    old, seen = _lowest(above), Evidence.of(above)
    found = f"of {seen.users} untreated users at or above the cut {cut:.4g}"
    if seen.rate is not None and seen.predicted is not None:
        low, high = seen.interval()
        found += f", {seen.rate:.1%} churned (95 % interval {low:.1%} to {high:.1%}); the model had said {seen.predicted:.1%}"
    if seen.miscalibrated:
        found += ": its calibration is to be made anew"
    reason, wanted = _reason_and_cut(tier, cut, bins, seen, users, least)
    new = old if wanted == cut else _lowest(bins_above(tier, wanted, bins))
    return Advice(old, new, wanted, f"{reason}: {found}", seen)


def _reason_and_cut(tier: Tier, cut: float, bins: Sequence[Bin], seen: Evidence, users: int, least: int) -> tuple[str, float]:
    """What is advised and why, and the cut that achieves the aim; ``cut`` where it is kept."""
    aim = tier.aim
    if aim is None:
        return "kept, because tiers.yaml has no aim for it", cut
    if aim.users is not None:
        return _for_capacity(tier, aim.users, cut, bins, users)
    if lacking := max((b.lacking for b in bins_above(tier, cut, bins) if b.lacking), default=None):
        return f"kept, because {lacking}", cut
    looked_at = seen if aim.precision is not None else Evidence.of(_around(tier, cut, bins))
    if looked_at.effective < least:
        return f"kept, because {looked_at.effective:.1f} effective users are fewer than {least}", cut
    wanted_rate = aim.precision or aim.cost_ratio or 0.0
    aimed = f"precision {wanted_rate:.1%}" if aim.precision is not None else f"{wanted_rate:.1%} at the cut"
    low, high = looked_at.interval(DOUBT)
    if low <= wanted_rate <= high:
        return f"kept, because the aim ({aimed}) lies in the 99 % interval {low:.1%} to {high:.1%}", cut
    wanted = _cut_at_rate(tier, aim, wanted_rate, bins)
    if wanted is None:
        return f"kept, because no cut achieves the aim ({aimed}): change the aim in tiers.yaml, or the model", cut
    return f"{_direction(tier, wanted, cut)} towards the aim ({aimed}), the 99 % interval is {low:.1%} to {high:.1%}", wanted


def _for_capacity(tier: Tier, capacity: int, cut: float, bins: Sequence[Bin], users: int) -> tuple[str, float]:
    share = cut if tier.top_share is not None else share_above(tier, cut, bins)
    if not users or abs(share * users / capacity - 1) <= NEAR_SHARE:
        return f"kept, because {share * users:.0f} users are about the aim of {capacity}", cut
    wanted_share = min(1.0, capacity / users)
    wanted = wanted_share if tier.top_share is not None else _lowest([b for b in bins if b.bin >= _first_bin(wanted_share)])
    if wanted is None:
        return f"kept, because nobody is among the riskiest {wanted_share:.1%}", cut
    return f"{_direction(tier, wanted, cut)} towards the aim of {capacity} users from {share * users:.0f}", wanted


def _direction(tier: Tier, wanted: float, cut: float) -> str:
    fewer = wanted > cut if tier.min_probability is not None else wanted < cut
    return "fewer users" if fewer else "more users"


def _cut_at_rate(tier: Tier, aim: Aim, rate: float, bins: Sequence[Bin]) -> float | None:
    """The lowest cut at which users churn as the aim says; None where there is none.

    Observed rates by bin are made monotone first (isotonic regression, weighted), so that no lucky bin far down is taken.
    """
    from sklearn.isotonic import IsotonicRegression

    falling = sorted((b for b in bins if b.weight > 0), key=lambda b: -b.bin)
    weight = np.array([b.weight for b in falling])
    observed = np.array([b.weight_churned for b in falling]) / weight
    fitted = IsotonicRegression(increasing=False).fit_transform(np.arange(len(falling)), observed, sample_weight=weight)
    if aim.precision is not None:
        fitted = np.cumsum(fitted * weight) / np.cumsum(weight)
    enough = np.flatnonzero(fitted >= rate)
    if not len(enough):
        return None
    last = falling[enough[-1]]
    return 1 - last.bin / BINS if tier.top_share is not None else last.lowest


def bins_above(tier: Tier, cut: float, bins: Sequence[Bin]) -> list[Bin]:
    """The bins of the users whom the tier, and the tiers above it, take at the cut ``cut``; hysteresis does not count."""
    if tier.top_share is not None:
        return [b for b in bins if b.bin >= _first_bin(cut)]
    return [b for b in bins if b.lowest >= cut]


def _around(tier: Tier, cut: float, bins: Sequence[Bin]) -> list[Bin]:
    """The bins within one step of the cut on both sides: the users whom the next move would add or drop."""
    step = cut * (tier.adjust.step_share if tier.adjust else STEP_SHARE)
    one, other = (bins_above(tier, place, bins) for place in (max(0.0, cut - step), min(1.0, cut + step)))
    return [b for b in bins if (b in one) != (b in other)]


def share_above(tier: Tier, cut: float, bins: Sequence[Bin]) -> float:
    """Share of the day's users at or above the cut, to 1/1000, because bins are of equal rank."""
    return 1 - min((b.bin for b in bins_above(tier, cut, bins)), default=BINS) / BINS


def _first_bin(top_share: float) -> int:
    return round(BINS * (1 - top_share))


def _lowest(bins: Sequence[Bin]) -> float | None:
    return min((b.lowest for b in bins), default=None)
