"""Quality by segment on the test span: which users the model predicts well, and which less well."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core.intervals import DIGITS
from churnwatch.model import metrics as m
from churnwatch.model import worker_sums
from churnwatch.model.evaluation import Histogram
from churnwatch.model.shipping import map_batches
from churnwatch.model.worker_model import WorkerModel
from churnwatch.settings import Settings

GROUPS = 200  # bins of the margin: AUC is within 0.001
VALUES = 12  # values of a segment, the largest
LEAST_CHURNED = 20  # unweighted churned rows, and others: with fewer there is no AUC
SUMS = ("users", "churned", "probability", "squared", "log_loss", "rows", "hits")
FOUND = f"segment string, value string, bin long, {', '.join(f'{name} double' for name in SUMS)}"


def quality_by_segment(
    rows: DataFrame,
    model: WorkerModel,
    calibration: dict[str, Any],
    margins: Histogram,
    names: Sequence[str],
    segments: Sequence[str],
    settings: Settings,
) -> list[dict[str, Any]]:
    """A dictionary for each segment and value: rows, base_rate, predicted, brier, log_loss, calibration_error, and auc where
    both classes have 20 rows. The largest values come first; values with fewer rows than privacy.min_group_size are left out.

    ``rows`` is unweighted, all else is weighted.
    """
    if not segments:
        return []
    scores = worker_sums.Scores([model], len(names))
    spec = worker_sums.Segments(scores, calibration, margins.edges(GROUPS), list(segments))
    sums = map_batches(rows, worker_sums.sum_by_segment, spec, FOUND).groupBy("segment", "value", "bin")
    table = sums.agg(*(F.sum(name).alias(name) for name in SUMS)).toArrow()
    table = table.sort_by([(key, "ascending") for key in ("segment", "value", "bin")])
    places: dict[tuple[str, str], list[int]] = {}
    for place, key in enumerate(zip(table["segment"].to_pylist(), table["value"].to_pylist(), strict=True)):
        places.setdefault(key, []).append(place)
    numbers = np.column_stack([table[name].to_numpy() for name in SUMS]) if len(table) else np.zeros((0, len(SUMS)))
    least = settings.privacy.min_group_size
    kept: list[dict[str, Any]] = []
    for segment in segments:
        parts: list[dict[str, Any]] = [
            {"segment": s.removeprefix("segment_"), "value": value, **_quality(numbers[own])}
            for (s, value), own in places.items()
            if s == segment
        ]
        large = sorted((one for one in parts if one["rows"] >= least), key=lambda one: (-one["rows"], one["value"]))
        kept += large[:VALUES]
    return kept


def _quality(bins: np.ndarray) -> dict[str, float]:
    users, churned, probability, squared, log_loss, rows, hits = bins.T
    total = users.sum()
    member = np.equal.outer(np.asarray(m.equal_groups(users)), np.arange(m.CALIBRATION_BINS)).astype(float)
    error = m.calibration_error((churned @ member)[None, :], (users @ member)[None, :], (probability @ member)[None, :])
    found = {
        "rows": rows.sum(),
        "base_rate": churned.sum() / total,
        "predicted": probability.sum() / total,
        "brier": squared.sum() / total,
        "log_loss": log_loss.sum() / total,
        "calibration_error": error[0],
    }
    if min(hits.sum(), (rows - hits).sum()) >= LEAST_CHURNED:
        found["auc"] = m.auc(churned[None, :], (users - churned)[None, :])[0]
    return {name: round(float(value), DIGITS) for name, value in found.items()}
