"""Evaluate a model on the test span, against rivals on the same rows.

Two passes over the test rows: one counts every score by bin, one sums Poisson bootstrap weights by bin and replicate. The
weights are drawn by user, because a user's rows of several days are not independent (Chamandy et al., Estimating uncertainty
for massive data streams, 2012). The driver sees bins, never users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core.intervals import DIGITS
from churnwatch.model import metrics as m
from churnwatch.model import worker, worker_sums
from churnwatch.model.calibration import fit_calibration
from churnwatch.model.profit import expected_maximum_profit
from churnwatch.model.shipping import map_batches
from churnwatch.model.worker_model import WorkerModel
from churnwatch.model.worker_sums import FIRST_COLUMN, MODEL, Scores
from churnwatch.settings import Settings

GROUPS = 1_000  # bins of a score in the bootstrap, of about equal size
COUNTS = "score int, code long, users double, churned double, total double, rows double, hits double"
SUMS = "key long, sums array<double>"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """Histogram of one score, sorted by code. Weighted: ``users``, ``churned``, ``total`` (sum of margins). Unweighted: ``rows``,
    ``hits`` (churned rows)."""

    codes: NDArray[np.int64]
    users: Floats
    churned: Floats
    total: Floats
    rows: Floats
    hits: Floats

    @property
    def others(self) -> Floats:
        """Weight of the rows that did not churn."""
        return self.users - self.churned

    @property
    def mean(self) -> Floats:
        """Weighted mean of the margins of each code."""
        return self.total / self.users

    def auc(self) -> float:
        """Area under the ROC curve of the score."""
        return float(m.auc(self.churned[None, :], self.others[None, :])[0])

    def edges(self, groups: int = GROUPS) -> list[int]:
        """Codes that begin a new group: at most ``groups`` groups; each code is a group where there are no more codes."""
        group = np.arange(len(self.codes))
        if len(self.codes) > groups:
            group = np.asarray(m.equal_groups(self.users, groups))
        return [int(code) for code in self.codes[1:][np.diff(group) > 0]]


@dataclass(frozen=True)
class Judged:
    """A model as workers apply it, with its calibration."""

    model: WorkerModel
    calibration: dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """Metrics with intervals, the curves, the histogram of the model's margins, and ``replicates``: bootstrap values by metric,
    the data first."""

    metrics: dict[str, float]
    curves: dict[str, Any]
    margins: Histogram
    replicates: Mapping[str, Floats]


def count_margins(rows: DataFrame, model: WorkerModel, width: int) -> Histogram:
    """The histogram of the margins by order code of 24 bits, finer than any bins; ``rows``: ``frame.evaluation_rows``."""
    return score_histograms(rows, Scores([model], width, by_bin=False))[MODEL]


def calibrate(rows: DataFrame, model: WorkerModel, width: int, kind: str) -> tuple[dict[str, Any], float]:
    """Fit the calibration of ``model`` on ``rows`` (``frame.evaluation_rows`` of the calibration span); also its AUC there."""
    margins = count_margins(rows, model, width)
    return calibration_of(margins, kind), margins.auc()


def calibration_of(margins: Histogram, kind: str) -> dict[str, Any]:
    """Fit the calibration on the histogram of the margins over the calibration span (``count_margins``)."""
    fewest = float(min(margins.hits.sum(), (margins.rows - margins.hits).sum()))
    return fit_calibration(margins.mean, margins.users, margins.churned, fewest, kind)


def evaluate(
    rows: DataFrame,
    judged: Judged,
    rivals: Mapping[str, Judged],
    columns: Mapping[str, int],
    width: int,
    capacity: float,
    settings: Settings,
) -> Evaluation:
    """Metrics of ``judged`` on ``rows`` (``frame.evaluation_rows`` of the test span), and its differences from its rivals on the
    same rows.

    ``rivals``: other models by name, compared by AUC, average precision and log loss. ``columns``: places among the ``width``
    values by name; a column ranks high values, and missing ones above all, as risky, and is compared by AUC and average
    precision. ``capacity``: share of the rows that the team can work.
    """
    models = [judged, *rivals.values()]
    scores = Scores([one.model for one in models], width, sorted(set(columns.values())))
    counts = score_histograms(rows, scores)
    places = {name: n for n, name in enumerate(rivals, start=1)}
    compared = places | {name: FIRST_COLUMN + column for name, column in columns.items()}
    edges = {score: counts[score].edges() for score in {MODEL, *compared.values()}}
    sums = _BootstrapSums(rows, scores, [one.calibration for one in models], edges, counts[MODEL], settings)
    found = _metrics(sums, capacity, settings)
    for name, score in compared.items():
        found |= _differences(sums, found, name, score)
    intervals: dict[str, float] = {"capacity_share": round(capacity, DIGITS)}
    for name, values in found.items():
        intervals |= m.with_interval(name, values)
    return Evaluation(
        metrics=intervals,
        curves={**m.curves(counts[MODEL].churned, counts[MODEL].others), "calibration": sums.calibration_bins()},
        margins=counts[MODEL],
        replicates=found,
    )


def _metrics(sums: "_BootstrapSums", capacity: float, settings: Settings) -> dict[str, Floats]:
    churned, others = sums.ranked(MODEL)
    precision, base = m.average_precision(churned, others), m.base_rate(churned, others)
    at_capacity = m.at_capacity(churned, others, capacity)
    return {
        "auc": m.auc(churned, others),
        "average_precision": precision,
        "base_rate": base,
        "average_precision_lift": m.ratio(precision, base),
        "top_decile_lift": m.top_decile_lift(churned, others),
        **{f"{name}_at_capacity": values for name, values in at_capacity.items()},
        **expected_maximum_profit(churned, others, settings.model.profit),
        **sums.losses(MODEL),
        **sums.calibration(),
    }


def _differences(sums: "_BootstrapSums", ours: Mapping[str, Floats], name: str, score: int) -> dict[str, Floats]:
    """The rival's metrics, and ours minus the rival's in each replicate: both have the same rows and weights."""
    ranked = sums.ranked(score)
    theirs = {"auc": m.auc(*ranked), "average_precision": m.average_precision(*ranked)}
    if score < FIRST_COLUMN:
        theirs["log_loss"] = sums.losses(score)["log_loss"]
    found: dict[str, Floats] = {}
    for metric, values in theirs.items():
        found |= {f"{name}_{metric}": values, f"{metric}_minus_{name}": ours[metric] - values}
    return found


def score_histograms(rows: DataFrame, scores: Scores) -> dict[int, Histogram]:
    """The histogram of each score: margins of the models (0, 1, ...) and columns (FIRST_COLUMN + column)."""
    counted = map_batches(rows, worker_sums.count_scores, scores, COUNTS).groupBy("score", "code")
    parts = ("users", "churned", "total", "rows", "hits")
    table = (
        counted.agg(*(F.sum(name).alias(name) for name in parts))
        .toArrow()
        .sort_by([("score", "ascending"), ("code", "ascending")])
    )
    score = table.column("score").to_numpy()
    found = {}
    for one in (*range(len(scores.models)), *(FIRST_COLUMN + n for n in scores.columns)):
        here = score == one
        found[one] = Histogram(*(table.column(name).to_numpy()[here] for name in ("code", *parts)))
    return found


class _BootstrapSums:
    """The bootstrap's sums: matrices of (replicate, group) by score and label, losses, probabilities by calibration bin."""

    def __init__(
        self,
        rows: DataFrame,
        scores: Scores,
        calibrations: Sequence[dict[str, Any]],
        edges: Mapping[int, list[int]],
        margin: Histogram,
        settings: Settings,
    ) -> None:
        group = np.searchsorted(edges[MODEL], margin.codes, side="right")
        sizes = np.bincount(group, weights=margin.users).astype(np.float64)
        self._bin_of_group = m.equal_groups(sizes)
        self._groups = {score: len(cuts) + 1 for score, cuts in edges.items()}
        self._replicates = settings.model.bootstraps
        spec = worker_sums.Bootstrap(scores, calibrations, dict(edges), self._bin_of_group, self._replicates)
        partial = map_batches(rows, worker_sums.resample, spec, SUMS)
        # the second step adds up by key wherever the rows lie, so that the driver gets each key once
        by_key = partial.repartition(settings.model.partitions, "key")
        table = map_batches(by_key, worker_sums.add_by_key, None, SUMS).toArrow()
        matrix = worker.matrix(table.column("sums"), self._replicates + 1)
        self._sums = dict(zip(table.column("key").to_pylist(), matrix, strict=True))

    def _of(self, score: int, groups: int, label: int) -> Floats:
        nothing = np.zeros(self._replicates + 1)
        rows = [self._sums.get(worker_sums.key_of(score, group, label), nothing) for group in range(groups)]
        return np.column_stack(rows)

    def ranked(self, score: int) -> tuple[Floats, Floats]:
        """Weights of the churned and of the other rows by group, lowest value of the score first."""
        groups = self._groups[score]
        churned, others = (self._of(score, groups, label) for label in (1, 0))
        return churned, others

    def _calibration_sums(self) -> tuple[Floats, Floats, Floats]:
        churned, others = self.ranked(MODEL)
        member = np.equal.outer(np.asarray(self._bin_of_group), np.arange(m.CALIBRATION_BINS)).astype(float)
        probability = self._of(worker_sums.PROBABILITY_SUMS, m.CALIBRATION_BINS, 0)
        return churned @ member, (churned + others) @ member, probability

    def losses(self, score: int) -> dict[str, Floats]:
        """Brier score and log loss of the calibrated model ``score``; one number a replicate."""
        churned, others = self.ranked(MODEL)
        sums = self._of(worker_sums.LOSSES, 2 * score + 2, 0)[:, 2 * score :]
        brier, log_loss = (sums / (churned + others).sum(axis=1)[:, None]).T
        return {"brier": brier, "log_loss": log_loss}

    def calibration(self) -> dict[str, Floats]:
        """Calibration error, and observed / expected: churned users / sum of probabilities; one number a replicate."""
        churned, rows, probability = self._calibration_sums()
        return {
            "calibration_error": m.calibration_error(churned, rows, probability),
            "observed_over_expected": m.ratio(churned.sum(axis=1), probability.sum(axis=1)),
        }

    def calibration_bins(self) -> list[dict[str, float]]:
        """For each tenth of the rows, lowest risk first: rows, mean predicted rate, observed rate with its 95 % interval."""
        churned, rows, probability = self._calibration_sums()
        bins = []
        for n in range(m.CALIBRATION_BINS):
            if rows[0, n] > 0:
                observed = churned[:, n] / np.maximum(rows[:, n], 1.0)
                predicted = round(float(probability[0, n] / rows[0, n]), DIGITS)
                bins.append({"rows": float(rows[0, n]), "predicted": predicted, **m.with_interval("observed", observed)})
        return bins
