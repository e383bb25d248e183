"""Metrics of a ranking from a histogram: weights of the churned and of the other rows of each bin, lowest risk first.

Most functions take matrices of (replicate, bin) and return one number a replicate; scikit-learn takes one set of weights at a
time, and a bootstrap has 200. Rows of one bin are ties.
"""

import numpy as np
from numpy.typing import NDArray

from churnwatch.core.intervals import DIGITS

Floats = NDArray[np.float64]
CURVE_POINTS = 200
CALIBRATION_BINS = 10


def auc(churned: Floats, others: Floats) -> Floats:
    """Area under the ROC curve: the share of (churned, other) pairs in the right order, a tie counts half (Mann-Whitney)."""
    below = np.cumsum(others, axis=1) - others
    right = (churned * (below + others / 2)).sum(axis=1)
    return ratio(right, churned.sum(axis=1) * others.sum(axis=1))


def average_precision(churned: Floats, others: Floats) -> Floats:
    """Sum of precision x gain in recall from the riskiest bin down, without interpolation (as in scikit-learn)."""
    hits = np.cumsum(churned[:, ::-1], axis=1)
    taken = hits + np.cumsum(others[:, ::-1], axis=1)
    precision = ratio(hits, taken)
    return ratio((precision * churned[:, ::-1]).sum(axis=1), churned.sum(axis=1))


def base_rate(churned: Floats, others: Floats) -> Floats:
    """Churned rows / rows."""
    return ratio(churned.sum(axis=1), (churned + others).sum(axis=1))


def top_decile_lift(churned: Floats, others: Floats) -> Floats:
    """Churn rate of the riskiest tenth / base rate; the bin at the edge counts in proportion."""
    return at_capacity(churned, others, 0.1)["lift"]


def at_capacity(churned: Floats, others: Floats, share: float) -> dict[str, Floats]:
    """Precision, recall and lift of the riskiest ``share`` of rows; the bin at the edge counts in proportion."""
    rows = (churned + others)[:, ::-1]
    before = np.cumsum(rows, axis=1) - rows
    room = np.clip(rows.sum(axis=1, keepdims=True) * share - before, 0, rows)
    hits = (churned[:, ::-1] * ratio(room, rows)).sum(axis=1)
    precision = ratio(hits, room.sum(axis=1))
    return {
        "precision": precision,
        "recall": ratio(hits, churned.sum(axis=1)),
        "lift": ratio(precision, base_rate(churned, others)),
    }


def calibration_error(churned: Floats, rows: Floats, probability: Floats) -> Floats:
    """Mean of |observed - predicted| over the bins, weighted by rows; ``probability``: the sum of each bin's probabilities."""
    gap = np.abs(ratio(churned, rows) - ratio(probability, rows))
    return ratio((gap * rows).sum(axis=1), rows.sum(axis=1))


def ratio(over: Floats, under: Floats) -> Floats:
    """over / under, 0 where ``under`` is not positive."""
    return np.divide(over, under, out=np.zeros(np.broadcast(over, under).shape), where=under > 0)


def stability_index(first: Floats, second: Floats) -> float:
    """Population stability index of two samples, from their rows by bin: the sum of (p - q) ln(p / q), where p and q are the
    shares of the bins (Siddiqi, Credit Risk Scorecards, 2006). Below 0.1 little has changed, above 0.25 much.

    Each count is half a row larger, so that the index is finite where a bin is empty, and small where few rows were expected
    there. Bins that are empty in both samples are left out. 0 where a sample has no rows.
    """
    if not (first.sum() and second.sum()):
        return 0.0
    used = (first + second) > 0
    p, q = ((rows[used] + 0.5) / (rows[used] + 0.5).sum() for rows in (first, second))
    return float(((p - q) * np.log(p / q)).sum())


def usual_stability_index(bins: int, first: float, second: float) -> float:
    """Mean of the stability index when nothing has changed, for samples of ``first`` and ``second`` rows: (bins - 1) (1/first +
    1/second) (Yurdakul, Statistical properties of population stability index, 2018)."""
    return (bins - 1) * (1.0 / first + 1.0 / second)


def with_interval(name: str, values: Floats) -> dict[str, float]:
    """``name``: the value of replicate 0, the data; ``name_low``, ``name_high``: 2.5 and 97.5 % points of the others."""
    low, high = np.quantile(values[1:], [0.025, 0.975]) if len(values) > 1 else (np.nan, np.nan)
    ends = {name: values[0], f"{name}_low": low, f"{name}_high": high}
    return {key: round(float(value), DIGITS) for key, value in ends.items()}


def equal_groups(rows: Floats, groups: int = CALIBRATION_BINS) -> list[int]:
    """The group, 0 .. ``groups`` - 1, of each bin of a histogram; groups hold about equally many rows."""
    middle = np.cumsum(rows) - rows / 2
    return [int(place) for place in np.minimum(middle / max(rows.sum(), 1) * groups, groups - 1)]


def curves(churned: Floats, others: Floats) -> dict[str, list[list[float]]]:
    """Points at up to 200 cuts, riskiest first: ``roc`` (false, true positive rate), ``precision_recall`` (recall, precision),
    ``lift`` (share of rows, their churn rate / base rate)."""
    hits, false = np.cumsum(churned[::-1]), np.cumsum(others[::-1])
    chosen = np.unique(np.linspace(0, len(hits) - 1, min(CURVE_POINTS, len(hits))).astype(int))
    roc = [[0.0, 0.0]] + [[_point(false[i], false[-1]), _point(hits[i], hits[-1])] for i in chosen]
    recall = [[_point(hits[i], hits[-1]), _point(hits[i], hits[i] + false[i])] for i in chosen]
    rows = hits[-1] + false[-1]
    above = [(hits[i], hits[i] + false[i]) for i in chosen]
    lift = [[_point(count, rows), _point(hit * rows, count * hits[-1])] for hit, count in above if count]
    return {"roc": roc, "precision_recall": recall, "lift": lift}


def _point(over: float, under: float) -> float:
    return round(float(over / under), 6) if under else 0.0
