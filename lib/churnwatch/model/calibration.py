"""Calibration: probabilities from margins, fitted on the calibration span, at natural rates."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from churnwatch.core.intervals import DIGITS

ENOUGH = 400  # churned rows, and others: isotonic regression needs more data than Platt's two parameters

Floats = NDArray[np.float64]


def fit_calibration(margin: Floats, users: Floats, churned: Floats, fewest: float, kind: str = "auto") -> dict[str, Any]:
    """Fit a calibration, a JSON object, on bins of margins: mean margin, weight of all rows and of the churned rows of each.

    ``kind``: ``isotonic`` regression (Zadrozny and Elkan, Transforming classifier scores into accurate multiclass
    probability estimates, KDD 2002), linear between its points; ``platt``: Platt's logistic (Probabilistic outputs for
    support vector machines, 1999), with his targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2); ``auto``: isotonic where
    ``fewest``, the unweighted rows of the smaller class, is at least 400. Isotonic probabilities stay 1 / (weight + 2) away
    from 0 and 1, because no user is certain to churn or to stay.
    """
    if kind == "auto":
        kind = "isotonic" if fewest >= ENOUGH else "platt"
    return _isotonic(margin, users, churned) if kind == "isotonic" else _platt(margin, users, churned)


def _isotonic(x: Floats, n: Floats, hits: Floats) -> dict[str, Any]:
    from sklearn.isotonic import IsotonicRegression

    least = 1.0 / (n.sum() + 2.0)
    fit = IsotonicRegression(y_min=least, y_max=1.0 - least, out_of_bounds="clip").fit(x, hits / n, sample_weight=n)
    return {
        "kind": "isotonic",
        "margins": [round(float(v), DIGITS) for v in fit.X_thresholds_],
        "probabilities": [round(float(v), DIGITS) for v in fit.y_thresholds_],
    }


def _platt(x: Floats, n: Floats, hits: Floats) -> dict[str, Any]:
    from scipy.optimize import minimize
    from scipy.special import expit

    positives, negatives = hits.sum(), (n - hits).sum()
    high, low = (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0)
    wanted = hits * high + (n - hits) * low

    def loss(ab: Floats) -> tuple[float, Floats]:
        z = ab[0] * x + ab[1]
        off = n * expit(z) - wanted
        return float((n * np.logaddexp(0.0, z) - wanted * z).sum()), np.array([(off * x).sum(), off.sum()])

    # a negative slope would reverse the ranking
    start = np.array([1.0, np.log((positives + 1.0) / (negatives + 1.0))])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(1e-6, None), (None, None)])
    return {
        "kind": "platt",
        "slope": round(float(found.x[0]), DIGITS),
        "intercept": round(float(found.x[1]), DIGITS),
    }
