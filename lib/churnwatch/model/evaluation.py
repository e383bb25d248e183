"""What the model is worth on the test span, beside the best recency rule, the best column and the last release.

Two passes over the test rows: one counts every score by bin, one sums Poisson bootstrap weights by bin and replicate
(weights by user, since rows of one user on several days are not independent; Chamandy et al., Estimating uncertainty for
massive data streams, 2012). The driver sees bins, never users.
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
from churnwatch.model.calibration import calibrated
from churnwatch.model.profit import expected_maximum_profit
from churnwatch.model.shipped import mapped
from churnwatch.settings import Settings

MODEL, RELEASE, FIRST_COLUMN = 0, 1, 2  # scores: our margin, the last release's, then the columns
GROUPS = 1_000  # bins of a score in the bootstrap, of about equal size
COUNTED = "score int, code long, users double, churned double, total double, rows double, hits double"
RESAMPLED = "key long, sums array<double>"
COMPARED = ("auc", "average_precision")

Floats = NDArray[np.float64]
Packed = dict[str, Any]


@dataclass(frozen=True)
class Histogram:
    """Rows of a score by code, codes rising: weights of all and of the churned, ``total`` the sum of the margins by weight;
    plain counts: ``rows``, and ``hits``, those who churned."""

    codes: NDArray[np.int64]
    users: Floats
    churned: Floats
    total: Floats
    rows: Floats
    hits: Floats

    @property
    def others(self) -> Floats:
        """Rows that did not churn."""
        return self.users - self.churned

    def auc(self) -> float:
        """Area under the ROC curve of the score."""
        return float(m.auc(self.churned[None, :], self.others[None, :])[0])

    def edges(self, groups: int = GROUPS) -> list[int]:
        """Codes that begin a new group: at most ``groups`` groups, each code its own where there are no more."""
        group = np.arange(len(self.codes))
        if len(self.codes) > groups:
            group = np.asarray(m.decile_bins(self.users, groups))
        return [int(code) for code in self.codes[1:][np.diff(group) > 0]]


@dataclass(frozen=True)
class Contender:
    """A score that the model is compared with; ``falling``: low values are risky."""

    score: int
    falling: bool = False


@dataclass(frozen=True)
class Evaluation:
    """Metrics with intervals, the curves, and the names of the columns that the model was compared with."""

    metrics: dict[str, float]
    curves: dict[str, Any]
    rule: str
    column: str
    margins: Histogram


def calibration_of(rows: DataFrame, model: Packed, width: int, kind: str) -> tuple[dict[str, Any], float]:
    """The calibration of ``model`` on ``rows`` (``frame.for_evaluation`` of the calibration span), and its AUC there."""
    bins = histograms(rows, [model], [], width)[MODEL]
    fewest = float(min(bins.hits.sum(), (bins.rows - bins.hits).sum()))
    return calibrated(bins.total / bins.users, bins.users, bins.churned, fewest, kind), bins.auc()


def evaluated(
    rows: DataFrame,
    models: Sequence[Packed],
    calibration: dict[str, Any],
    names: Sequence[str],
    capacity: float,
    settings: Settings,
    compared: bool = True,
) -> Evaluation:
    """Metrics of ``models[0]`` on ``rows`` (``frame.for_evaluation`` of the test span); ``models[1]``: the last release.

    ``capacity``: share of the rows that the team can work. The recency rule is the best of the ``_days_since`` columns on
    these very rows (longer ago is riskier), the single column the best of all in its better direction: both are chosen
    after the fact, so the comparison favours them. Without ``compared`` no column is looked at.
    """
    counts = histograms(rows, models, range(len(names)) if compared else (), len(names))
    rivals, rule, column = _columns(counts, names) if compared else ({}, "", "")
    if len(models) > 1:
        rivals["release"] = Contender(RELEASE)
    edges = {score: counts[score].edges() for score in {MODEL, *(rival.score for rival in rivals.values())}}
    sums = _Sums(rows, models, calibration, edges, counts[MODEL], len(names), settings)
    return Evaluation(
        metrics=_with_intervals(sums, rivals, capacity, settings),
        curves={**m.curves(counts[MODEL].churned, counts[MODEL].others), "calibration": sums.calibration_bins()},
        rule=rule,
        column=column,
        margins=counts[MODEL],
    )


def _columns(counts: Mapping[int, Histogram], names: Sequence[str]) -> tuple[dict[str, Contender], str, str]:
    """The recency rule and the single column that the model is compared with, and their names."""
    aucs = [counts[FIRST_COLUMN + n].auc() for n in range(len(names))]
    column = max(range(len(names)), key=lambda n: (max(aucs[n], 1 - aucs[n]), -n))
    rule = max((n for n, name in enumerate(names) if name.endswith("_days_since")), key=lambda n: (aucs[n], -n))
    rivals = {
        "rule": Contender(FIRST_COLUMN + rule),
        "column": Contender(FIRST_COLUMN + column, falling=aucs[column] < 0.5),
    }
    return rivals, names[rule], names[column]


def _with_intervals(sums: "_Sums", rivals: Mapping[str, Contender], capacity: float, settings: Settings) -> dict[str, float]:
    churned, others = sums.ranked(Contender(MODEL))
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


def histograms(rows: DataFrame, models: Sequence[Packed], columns: Sequence[int], width: int) -> dict[int, Histogram]:
    """The histogram of each model's margin (scores 0, 1) and of each of the ``columns`` of ``values`` (2 + column)."""
    spec = {"models": list(models), "columns": list(columns), "width": width}
    counted = mapped(rows, worker_sums.counted, spec, COUNTED).groupBy("score", "code")
    parts = ("users", "churned", "total", "rows", "hits")
    table = counted.agg(*(F.sum(name).alias(name) for name in parts)).orderBy("score", "code").toArrow()
    score = table.column("score").to_numpy()
    found = {}
    for one in (*range(len(models)), *(FIRST_COLUMN + n for n in columns)):
        here = score == one
        found[one] = Histogram(*(table.column(name).to_numpy()[here] for name in ("code", *parts)))
    return found


class _Sums:
    """The bootstrap's sums: matrices of (replicate, group) by score and label, losses, probabilities by decile."""

    def __init__(
        self,
        rows: DataFrame,
        models: Sequence[Packed],
        calibration: dict[str, Any],
        edges: Mapping[int, list[int]],
        margin: Histogram,
        width: int,
        settings: Settings,
    ) -> None:
        group = np.searchsorted(edges[MODEL], margin.codes, side="right")
        sizes = np.bincount(group, weights=margin.users).astype(np.float64)
        self._bin_of_group = m.decile_bins(sizes)
        self._groups = {score: len(cuts) + 1 for score, cuts in edges.items()}
        self._replicates = settings.model.bootstraps
        spec = {
            "models": list(models),
            "calibration": calibration,
            "edges": dict(edges),
            "bin_of_group": self._bin_of_group,
            "replicates": self._replicates,
            "width": width,
        }
        partial = mapped(rows, worker_sums.resampled, spec, RESAMPLED)
        # the second step adds up by key wherever the rows lie, so that the driver gets each key once
        table = mapped(partial.repartition(settings.model.partitions, "key"), worker_sums.added_up, None, RESAMPLED).toArrow()
        matrix = worker.matrix(table.column("sums"), self._replicates + 1)
        self._sums = dict(zip(table.column("key").to_pylist(), matrix, strict=True))

    def _of(self, score: int, groups: int, label: int) -> Floats:
        nothing = np.zeros(self._replicates + 1)
        rows = [self._sums.get(worker_sums.key_of(score, group, label), nothing) for group in range(groups)]
        return np.column_stack(rows)

    def ranked(self, contender: Contender) -> tuple[Floats, Floats]:
        """Churned and other rows, lowest risk first."""
        groups = self._groups[contender.score]
        churned, others = (self._of(contender.score, groups, label) for label in (1, 0))
        return (churned[:, ::-1], others[:, ::-1]) if contender.falling else (churned, others)

    def _deciles(self) -> tuple[Floats, Floats, Floats]:
        churned, others = self.ranked(Contender(MODEL))
        member = np.equal.outer(np.asarray(self._bin_of_group), np.arange(m.CALIBRATION_BINS)).astype(float)
        probability = self._of(worker_sums.PROBABILITY_SUMS, m.CALIBRATION_BINS, 0)
        return churned @ member, (churned + others) @ member, probability

    def losses(self) -> dict[str, Floats]:
        """Brier score, log loss and calibration error, a number a replicate."""
        churned, rows, probability = self._deciles()
        total = rows.sum(axis=1)
        brier, log_loss = (self._of(worker_sums.LOSSES, 2, 0) / total[:, None]).T
        return {
            "brier": brier,
            "log_loss": log_loss,
            "calibration_error": m.calibration_error(churned, rows, probability),
        }

    def calibration_bins(self) -> list[dict[str, float]]:
        """Rows, mean predicted and observed rate with 95 % interval of each tenth, lowest risk first."""
        churned, rows, probability = self._deciles()
        bins = []
        for n in range(m.CALIBRATION_BINS):
            if rows[0, n] > 0:
                observed = churned[:, n] / np.maximum(rows[:, n], 1.0)
                predicted = round(float(probability[0, n] / rows[0, n]), DIGITS)
                bins.append({"rows": float(rows[0, n]), "predicted": predicted, **m.with_interval("observed", observed)})
        return bins
