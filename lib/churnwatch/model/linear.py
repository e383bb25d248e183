"""A linear model as text: the word ``linear``, then one JSON object."""

import json
from collections.abc import Sequence
from typing import Any

KIND = "linear"


def to_text(coefficients: Sequence[float], intercept: float, means: Sequence[float], low: float, high: float) -> str:
    """Text of a margin ``intercept + coefficients x filled features``: log-odds of a logistic regression, distance of an SVM.

    ``means``: of the filled features over the train span, from which contributions count: coefficient x (value - mean), the
    exact Shapley values where features are taken as independent. ``low``, ``high``: the least and the greatest margin of the
    train span; beyond them users are equals in rank. Raises ValueError where means are not as many as coefficients.
    """
    if len(coefficients) != len(means):
        raise ValueError(f"{len(coefficients)} coefficients, but {len(means)} means")
    parts = {
        "coefficients": [float(v) for v in coefficients],
        "intercept": float(intercept),
        "means": [float(v) for v in means],
        "low": float(low),
        "high": float(max(high, low + 1e-9)),
    }
    return f"{KIND}\n{json.dumps(parts)}\n"


def is_linear(text: str) -> bool:
    """Whether the text is that of a linear model."""
    return text.split("\n", 1)[0] == KIND


def parsed(text: str) -> dict[str, Any]:
    """The numbers of a text that ``to_text`` wrote."""
    return json.loads(text.split("\n", 1)[1])
