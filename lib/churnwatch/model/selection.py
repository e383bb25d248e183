"""Select features before a model is fitted: drop the constant, near-duplicate and unstable ones, each with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import Refused
from churnwatch.model import metrics as m
from churnwatch.model import worker_sums
from churnwatch.model.evaluation import Histogram, score_histograms
from churnwatch.model.schema import Schema
from churnwatch.model.shipping import map_batches
from churnwatch.model.worker_sums import COARSE_BITS, FIRST_COLUMN, Scores
from churnwatch.settings import Settings
from churnwatch.settings.model import Selection

MOMENTS = "key long, numbers array<double>"
PSI_BINS = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Moments of the features over the train span. ``missing``: missing values; ``present_mean``: mean of the values present;
    ``mean``, ``deviation`` (standard), ``varies``, ``correlation``: after imputation."""

    rows: float
    missing: Floats
    present_mean: Floats
    mean: Floats
    deviation: Floats
    varies: NDArray[np.bool_]
    correlation: Floats


@dataclass(frozen=True)
class SelectedFeatures:
    """The features ``kept``, in order, and why each of the others was left out."""

    kept: tuple[str, ...]
    left: dict[str, str]
    moments: Moments

    @property
    def missing_share(self) -> float:
        """Share of missing values among all values of the train span."""
        return float(self.moments.missing.mean() / max(self.moments.rows, 1.0))

    def to_json(self) -> dict[str, Any]:
        """A JSON object: the artifact selection.json."""
        return {"kept": list(self.kept), "left": self.left, "missing_share": round(self.missing_share, 6)}


def select_features(fit: DataFrame, sample: DataFrame, schema: Schema, settings: Settings) -> SelectedFeatures:
    """Select among the features of ``schema``. ``fit``: ``frame.fit_rows``; ``sample``: its sample, on which drift is measured.

    Raises Refused when no feature remains.
    """
    moments = feature_moments(fit, schema)
    conf = settings.model.selection
    psi = None
    if conf.max_psi is not None:
        width = len(moments.mean)
        parts = sample.withColumn("label", F.col("last_third").cast("double"))
        counts = score_histograms(parts, Scores([], width, range(width), bits=COARSE_BITS))
        psi = [drift_of_later_rows(counts[FIRST_COLUMN + n]) for n in range(width)]
    left = reasons_left_out(schema.features, moments, psi, conf)
    if not moments.varies.any():
        raise Refused(
            f"every one of the {len(left)} features is constant over the train span: nothing to learn from; look at "
            "measures.yaml and at user_features of these days"
        )
    kept = tuple(name for name in schema.features if name not in left)
    if not kept:
        raise Refused(f"no feature stays: {left}; loosen model.selection")
    return SelectedFeatures(kept, left, moments)


def feature_moments(fit: DataFrame, schema: Schema) -> Moments:
    """Compute the moments in one pass over all rows; the driver collects a table of features by features a partition."""
    found = map_batches(fit.select("values"), worker_sums.sum_moments, list(schema.fills), MOMENTS).toArrow()
    width = len(schema.features)
    keys = found["key"].to_numpy()
    ends = np.array([row for key, row in zip(keys, found["numbers"].to_pylist(), strict=True) if key < width])
    ends = ends.reshape(-1, width, 6)
    products = np.array([row for key, row in zip(keys, found["numbers"].to_pylist(), strict=True) if key >= width])
    products = products.reshape(-1, width, width).sum(axis=0)
    rows, missing, present, total = ends[:, :, :4].sum(axis=0).T
    mean = total / np.maximum(rows, 1.0)
    covariance = products / np.maximum(rows, 1.0) - np.outer(mean, mean)
    varies = ends[:, :, 4].min(axis=0) < ends[:, :, 5].max(axis=0)
    deviation = np.where(varies, np.sqrt(np.maximum(np.diag(covariance), 0.0)), 0.0)
    scale = np.outer(deviation, deviation)
    return Moments(
        rows=float(rows.max(initial=0.0)),
        missing=missing,
        present_mean=present / np.maximum(rows - missing, 1.0),
        mean=mean,
        deviation=deviation,
        varies=varies,
        correlation=np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0),
    )


def drift_of_later_rows(histogram: Histogram) -> float:
    """Population stability index (PSI) of a feature between later rows (``churned``) and earlier ones, in tenths of both."""
    tenth = np.asarray(m.equal_groups(histogram.users, PSI_BINS))
    later, earlier = (np.bincount(tenth, part, PSI_BINS).astype(float) for part in (histogram.churned, histogram.others))
    return m.stability_index(later, earlier)


def reasons_left_out(names: Sequence[str], moments: Moments, psi: Sequence[float] | None, conf: Selection) -> dict[str, str]:
    """Why features are left out, by name. Of near-duplicates the first one is kept, in the order of the features."""
    left: dict[str, str] = {}
    stay: list[int] = []
    for n, name in enumerate(names):
        if not moments.varies[n]:
            left[name] = "constant"
        elif psi is not None and conf.max_psi is not None and psi[n] > conf.max_psi:
            left[name] = f"unstable: psi {psi[n]:.3f} > {conf.max_psi}"
        else:
            twin = next((one for one in stay if _near_duplicates(moments, one, n, conf.max_correlation)), None)
            if twin is None:
                stay.append(n)
            else:
                left[name] = f"near-duplicate of {names[twin]}: correlation {moments.correlation[twin, n]:.5f}"
    return left


def _near_duplicates(moments: Moments, first: int, second: int, limit: float | None) -> bool:
    return limit is not None and abs(float(moments.correlation[first, second])) > limit
