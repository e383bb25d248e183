"""Metrics of a ranking from a histogram: churned and other rows of each bin, lowest risk first.

Every function takes matrices of (replicate, bin) and gives a number a replicate; rows of one bin are ties.
"""

import numpy as np
from numpy.typing import NDArray

from churnwatch.core.intervals import DIGITS

Floats = NDArray[np.float64]
CURVE_POINTS = 200
CALIBRATION_BINS = 10


def auc(churned: Floats, others: Floats) -> Floats:
    """Area under the ROC curve: the share of pairs in the right order, ties half (Mann-Whitney)."""
    below = np.cumsum(others, axis=1) - others
    right = (churned * (below + others / 2)).sum(axis=1)
    return ratio(right, churned.sum(axis=1) * others.sum(axis=1))


def average_precision(churned: Floats, others: Floats) -> Floats:
    """Sum of precision x growth of recall from the riskiest bin down, without interpolation (as in scikit-learn)."""
    hits = np.cumsum(churned[:, ::-1], axis=1)
    taken = hits + np.cumsum(others[:, ::-1], axis=1)
    precision = ratio(hits, taken)
    return ratio((precision * churned[:, ::-1]).sum(axis=1), churned.sum(axis=1))


def base_rate(churned: Floats, others: Floats) -> Floats:
    """Churned rows / rows."""
    return ratio(churned.sum(axis=1), (churned + others).sum(axis=1))


def top_decile_lift(churned: Floats, others: Floats) -> Floats:
    """Churn rate of the riskiest tenth / base rate; the bin at the edge counts by its share."""
    return at_capacity(churned, others, 0.1)["lift"]


def at_capacity(churned: Floats, others: Floats, share: float) -> dict[str, Floats]:
    """Precision, recall and lift of the riskiest ``share`` of rows; the bin at the edge counts by its share."""
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
    """Mean of |observed - predicted| over bins of equal size, weighted by rows; ``probability``: sums of the bins."""
    gap = np.abs(ratio(churned, rows) - ratio(probability, rows))
    return ratio((gap * rows).sum(axis=1), rows.sum(axis=1))


def ratio(over: Floats, under: Floats) -> Floats:
    """over / under, 0 where nothing is below."""
    return np.divide(over, under, out=np.zeros(np.broadcast(over, under).shape), where=under > 0)


def with_interval(name: str, values: Floats) -> dict[str, float]:
    """``name`` of replicate 0, the data, and ``name_low``, ``name_high``: the 2.5 and 97.5 % points of the others."""
    low, high = np.quantile(values[1:], [0.025, 0.975]) if len(values) > 1 else (np.nan, np.nan)
    ends = {name: values[0], f"{name}_low": low, f"{name}_high": high}
    return {key: round(float(value), DIGITS) for key, value in ends.items()}


def decile_bins(rows: Floats, bins: int = CALIBRATION_BINS) -> list[int]:
    """For each bin of a histogram, which of ``bins`` groups of about equal size it belongs to."""
    middle = np.cumsum(rows) - rows / 2
    return [int(place) for place in np.minimum(middle / max(rows.sum(), 1) * bins, bins - 1)]


def curves(churned: Floats, others: Floats) -> dict[str, list[list[float]]]:
    """Points at up to 200 cuts, riskiest first: ROC (false, true positive rate), precision-recall (recall, precision),
    lift (share of rows, churn rate among them / base rate)."""
    hits, false = np.cumsum(churned[::-1]), np.cumsum(others[::-1])
    chosen = np.unique(np.linspace(0, len(hits) - 1, min(CURVE_POINTS, len(hits))).astype(int))
    roc = [[0.0, 0.0]] + [[_point(false[i], false[-1]), _point(hits[i], hits[-1])] for i in chosen]
    recall = [[_point(hits[i], hits[-1]), _point(hits[i], hits[i] + false[i])] for i in chosen]
    rows = hits[-1] + false[-1]
    taken = [(hits[i], hits[i] + false[i]) for i in chosen]
    lift = [[_point(all_, rows), _point(hit * rows, all_ * hits[-1])] for hit, all_ in taken if all_]
    return {"roc": roc, "precision_recall": recall, "lift": lift}


def _point(over: float, under: float) -> float:
    return round(float(over / under), 6) if under else 0.0
