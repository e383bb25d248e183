"""Read from a release's reference what is usual of a feature, and how far users usually differ in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from churnwatch.model.reference import usual_matrix
from churnwatch.scoring.worker_causes import Floats

MOSTLY = 0.5  # a feature that more rows than this lack is usually missing


def usual_features(reference: Mapping[str, Any] | None, features: Sequence[str]) -> Floats:
    """The usual value of each feature, see ``usual_matrix``: NaN also where most training rows lack the feature, so that "days
    since the last crash" of those who had one is not usual for everybody."""
    _, _, usual = usual_matrix(reference, features)
    bins = (reference or {}).get("bins", {})
    absent = np.array([bins.get(name, {}).get("missing", 0.0) > MOSTLY for name in features], dtype=bool)
    return np.where(absent, np.nan, usual)


def feature_spread(reference: Mapping[str, Any] | None, features: Sequence[str]) -> Floats:
    """The distance between the outer deciles of each feature in training; 1 where they are equal or not known."""
    bins = (reference or {}).get("bins", {})
    edges = [bins.get(name, {}).get("edges") or [0.0] for name in features]
    spread = np.array([of_feature[-1] - of_feature[0] for of_feature in edges], dtype=np.float64)
    return np.where(spread > 0, spread, 1.0)
