"""Evaluate the model on the test span, against the best recency rule, the best column and the last release.

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
from churnwatch.model.worker_sums import COARSE_BITS, FIRST_COLUMN, MODEL, RELEASE, Scores
from churnwatch.settings import Settings

GROUPS = 1_000  # bins of a score in the bootstrap, of about equal size
COUNTS = "score int, code long, users double, churned double, total double, rows double, hits double"
SUMS = "key long, sums array<double>"
COMPARED = ("auc", "average_precision")

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
class Rival:
    """A score that the model is compared with; ``falling``: low values are risky."""

    score: int
    falling: bool = False


@dataclass(frozen=True)
class Evaluation:
    """Metrics with intervals, the curves, the columns that the model was compared with, and the histogram of its margins."""

    metrics: dict[str, float]
    curves: dict[str, Any]
    rule: str
    column: str
    margins: Histogram


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
    models: Sequence[WorkerModel],
    calibration: dict[str, Any],
    names: Sequence[str],
    capacity: float,
    settings: Settings,
    compared: bool = True,
) -> Evaluation:
    """Metrics of ``models[0]`` on ``rows`` (``frame.evaluation_rows`` of the test span); ``models[1]``: the last release.

    ``capacity``: share of the rows that the team can work. The recency rule is the best ``_days_since`` column on these rows
    (longer ago is riskier), the single column the best of all in its better direction. Both are chosen on the test rows, so
    the comparison favours them. Columns are compared only where ``compared``.
    """
    width = len(names)
    scores = Scores(models, width, range(width) if compared else (), bits=COARSE_BITS)
    counts = score_histograms(rows, scores)
    rivals, rule, column = _columns(counts, names) if compared else ({}, "", "")
    if rivals:
        # chosen by coarse codes; compared by fine ones, because ties count half and would favour the model
        chosen = sorted({rival.score - FIRST_COLUMN for rival in rivals.values()})
        counts |= score_histograms(rows, Scores([], width, chosen))
    if len(models) > 1:
        rivals["release"] = Rival(RELEASE)
    edges = {score: counts[score].edges() for score in {MODEL, *(rival.score for rival in rivals.values())}}
    sums = _BootstrapSums(rows, scores, calibration, edges, counts[MODEL], settings)
    return Evaluation(
        metrics=_with_intervals(sums, rivals, capacity, settings),
        curves={**m.curves(counts[MODEL].churned, counts[MODEL].others), "calibration": sums.calibration_bins()},
        rule=rule,
        column=column,
        margins=counts[MODEL],
    )


def _columns(counts: Mapping[int, Histogram], names: Sequence[str]) -> tuple[dict[str, Rival], str, str]:
    """The recency rule and the single column that the model is compared with, and their names."""
    aucs = [counts[FIRST_COLUMN + n].auc() for n in range(len(names))]
    column = max(range(len(names)), key=lambda n: (max(aucs[n], 1 - aucs[n]), -n))
    rule = max((n for n, name in enumerate(names) if name.endswith("_days_since")), key=lambda n: (aucs[n], -n))
    rivals = {
        "rule": Rival(FIRST_COLUMN + rule),
        "column": Rival(FIRST_COLUMN + column, falling=aucs[column] < 0.5),
    }
    return rivals, names[rule], names[column]


def _with_intervals(sums: "_BootstrapSums", rivals: Mapping[str, Rival], capacity: float, settings: Settings) -> dict[str, float]:
    churned, others = sums.ranked(Rival(MODEL))
    ours = {"auc": m.auc(churned, others), "average_precision": m.average_precision(churned, others)}
    base = m.base_rate(churned, others)
    at_capacity = m.at_capacity(churned, others, capacity)
    found = {
        **ours,
        "base_rate": base,
        "average_precision_lift": m.ratio(ours["average_precision"], base),
        "top_decile_lift": m.top_decile_lift(churned, others),
        **{f"{name}_at_capacity": values for name, values in at_capacity.items()},
        **expected_maximum_profit(churned, others, settings.model.profit),
        **sums.losses(),
    }
    for name, rival in rivals.items():
        ranked = sums.ranked(rival)
        theirs = {"auc": m.auc(*ranked), "average_precision": m.average_precision(*ranked)}
        for metric in COMPARED:
            found[f"{name}_{metric}"] = theirs[metric]
            found[f"{metric}_minus_{name}"] = ours[metric] - theirs[metric]
    intervals: dict[str, float] = {"capacity_share": round(capacity, DIGITS)}
    for name, values in found.items():
        intervals |= m.with_interval(name, values)
    return intervals


def score_histograms(rows: DataFrame, scores: Scores) -> dict[int, Histogram]:
    """The histogram of each score: margins of the models (MODEL, RELEASE) and columns (FIRST_COLUMN + column)."""
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
        calibration: dict[str, Any],
        edges: Mapping[int, list[int]],
        margin: Histogram,
        settings: Settings,
    ) -> None:
        group = np.searchsorted(edges[MODEL], margin.codes, side="right")
        sizes = np.bincount(group, weights=margin.users).astype(np.float64)
        self._bin_of_group = m.equal_groups(sizes)
        self._groups = {score: len(cuts) + 1 for score, cuts in edges.items()}
        self._replicates = settings.model.bootstraps
        spec = worker_sums.Bootstrap(scores, calibration, dict(edges), self._bin_of_group, self._replicates)
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

    def ranked(self, rival: Rival) -> tuple[Floats, Floats]:
        """Weights of the churned and of the other rows by group, lowest risk first."""
        groups = self._groups[rival.score]
        churned, others = (self._of(rival.score, groups, label) for label in (1, 0))
        return (churned[:, ::-1], others[:, ::-1]) if rival.falling else (churned, others)

    def _calibration_sums(self) -> tuple[Floats, Floats, Floats]:
        churned, others = self.ranked(Rival(MODEL))
        member = np.equal.outer(np.asarray(self._bin_of_group), np.arange(m.CALIBRATION_BINS)).astype(float)
        probability = self._of(worker_sums.PROBABILITY_SUMS, m.CALIBRATION_BINS, 0)
        return churned @ member, (churned + others) @ member, probability

    def losses(self) -> dict[str, Floats]:
        """Brier score, log loss and calibration error; one number a replicate."""
        churned, rows, probability = self._calibration_sums()
        total = rows.sum(axis=1)
        brier, log_loss = (self._of(worker_sums.LOSSES, 2, 0) / total[:, None]).T
        return {
            "brier": brier,
            "log_loss": log_loss,
            "calibration_error": m.calibration_error(churned, rows, probability),
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
