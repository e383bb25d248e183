"""Advice on thresholds: whether the users at or above a level's threshold churned as often as the model predicted."""

from collections.abc import Mapping, Sequence

from churnwatch.core.intervals import wilson_interval
from churnwatch.reports.score_quality import Bin


def expected_rate(old: float, bins: Sequence[Bin]) -> float | None:
    """Mean probability of the matured users at or above ``old``: the churn rate that the model promised; None without users."""
    warned = [b for b in bins if b.lowest >= old]
    users = sum(b.users for b in warned)
    return sum(b.probability for b in warned) / users if users else None


def objection_to_move(promised: float, warned: int, churned: int, falls: bool, smallest_group: int) -> str | None:
    """Reason not to move the threshold, from this level's past warnings; None if there is none.

    ``warned``, ``churned``: matured warnings of the model at the level (alert_quality), and hits among them. A move to fewer
    warnings (``falls``) needs an observed rate below the promised one, a move to more warnings one above it, by more than the
    95 % interval. Fewer than ``smallest_group`` warnings are no objection.
    """
    if warned < smallest_group:
        return None
    low, high = wilson_interval(churned, warned)
    if (high < promised) if falls else (low > promised):
        return None
    return (
        f"of {warned} matured warnings of the level, {churned / warned:.1%} churned (95 % interval {low:.1%} to {high:.1%}), "
        f"which is not shown to be {'less' if falls else 'more'} than the promised {promised:.1%}"
    )


def advise_threshold(old: float, bins: Sequence[Bin], smallest_group: int, earlier: Mapping[str, int]) -> tuple[float, str]:
    """The probability from which a level should warn, and the reason; ``old`` where the day's labels are no reason to move.

    ``bins``: matured users of the model version that warned. The model promised the mean probability of the users at or
    above ``old``. Where the observed rate's 95 % interval does not contain it, the advice is the lowest probability at or above
    which users churned as often as promised. ``earlier``: how often 'up' and 'down' were advised on earlier days.
    """
    warned = [b for b in bins if b.lowest >= old]
    users, churned = sum(b.users for b in warned), sum(b.churned for b in warned)
    if users < smallest_group:
        return old, f"kept: only {users} untreated users at or above it have a label, fewer than {smallest_group}"
    promised = expected_rate(old, warned) or 0.0
    low, high = wilson_interval(churned, users)
    found = (
        f"of {users} untreated users at or above {old:.3f}, {churned / users:.1%} churned "
        f"(95 % interval {low:.1%} to {high:.1%}); the model had said {promised:.1%}"
    )
    if low <= promised <= high:
        return old, f"kept: {found}"
    new = _lowest_with_rate(promised, bins, smallest_group)
    if new is None:
        return old, f"kept: {found}, a rate that no probability reached: look at the model's calibration"
    direction = "up" if new > old else "down"
    again = f"; advised {direction} {earlier[direction]} times in the weeks before" if earlier.get(direction) else ""
    warns = sum(b.users for b in bins if b.lowest >= new)
    return new, f"{direction}: {found}; from {new:.3f} on that rate holds, for {warns} users instead of {users}{again}"


def _lowest_with_rate(rate: float, bins: Sequence[Bin], smallest_group: int) -> float | None:
    users = churned = 0
    lowest = None
    for b in sorted(bins, key=lambda b: -b.bin):
        users, churned = users + b.users, churned + b.churned
        if users >= smallest_group and churned / users >= rate:
            lowest = b.lowest
    return lowest
