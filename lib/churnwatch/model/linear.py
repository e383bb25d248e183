"""A linear model as text: the word ``linear``, then one JSON object."""

import json
from collections.abc import Sequence
from typing import Any

KIND = "linear"


def to_text(coefficients: Sequence[float], intercept: float, means: Sequence[float]) -> str:
    """Text of the margin ``intercept + coefficients x imputed features``: log-odds of a logistic regression, distance of an SVM.

    ``means``: of the imputed features over the train span; contributions are coefficient x (value - mean). Raises ValueError
    when the numbers of coefficients and means differ.
    """
    if len(coefficients) != len(means):
        raise ValueError(f"{len(coefficients)} coefficients, but {len(means)} means: give one mean for each coefficient")
    parts = {
        "coefficients": [float(v) for v in coefficients],
        "intercept": float(intercept),
        "means": [float(v) for v in means],
    }
    return f"{KIND}\n{json.dumps(parts)}\n"


def is_linear(text: str) -> bool:
    """Whether the text holds a linear model."""
    return text.split("\n", 1)[0] == KIND


def parse(text: str) -> dict[str, Any]:
    """The numbers of a text that ``to_text`` wrote, by name."""
    return json.loads(text.split("\n", 1)[1])
