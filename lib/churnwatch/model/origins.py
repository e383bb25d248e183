"""Rolling origins: repeat the training procedure on earlier days; mean, spread and interval of its metrics."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark.sql import DataFrame

from churnwatch.core.intervals import DIGITS
from churnwatch.model import frame as fr
from churnwatch.model import recipe as rc
from churnwatch.model.algorithms import algorithm
from churnwatch.model.evaluation import evaluate
from churnwatch.model.schema import Schema
from churnwatch.model.selection import Moments, feature_moments
from churnwatch.model.spans import Spans
from churnwatch.model.tuning import Budget
from churnwatch.settings import Settings

SUMMARISED = (
    "auc",
    "average_precision",
    "average_precision_lift",
    "base_rate",
    "top_decile_lift",
    "precision_at_capacity",
    "recall_at_capacity",
    "lift_at_capacity",
    "empc_cents",
    "brier",
    "log_loss",
    "calibration_error",
)


@dataclass(frozen=True)
class Origin:
    """The metrics of the procedure on the test span of one origin, and the algorithm that it chose."""

    spans: Spans
    algorithm: str
    metrics: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """A JSON object: spans, algorithm and the metrics with their intervals."""
        ends = ("", "_low", "_high")
        metrics = {
            f"{name}{end}": self.metrics[f"{name}{end}"] for name in SUMMARISED for end in ends if f"{name}{end}" in self.metrics
        }
        return {"spans": self.spans.as_text(), "algorithm": self.algorithm, "metrics": metrics}


def evaluate_earlier_origins(
    frame: DataFrame,
    origins: Sequence[Spans],
    sizes: Sequence[Mapping[str, fr.Size]],
    whole: Schema,
    models: Any,
    settings: Settings,
) -> list[Origin]:
    """Test the procedure at the earlier origins, oldest first. ``frame``: the cached training frame; ``origins`` (with their
    ``sizes``): newest first, as ``rolling_origins`` gives them.

    No origin uses its own test span or later days: features and hyper-parameters are chosen on the oldest origin's train span,
    which every later origin may know. Models are fitted on the search sample of users and tested on all users. An
    origin with a span of one class alone is left out.
    """
    tested: list[Origin] = []
    recipe: rc.Recipe | None = None
    for number, spans in reversed(list(enumerate(origins))[1:]):
        if any(size.positives in (0, size.rows) for size in sizes[number].values()):
            continue
        with rc.cached_span(frame, spans, sizes[number], whole, settings, sampled=True) as span:
            moments: Moments | None = None
            if recipe is None:
                selection = rc.select(span, settings)
                moments = selection.moments
                budget = Budget.of(settings, settings.model.origin_evals)
                recipe = rc.tune(span, selection.kept, moments, budget, rc.Trials(models, f"origin{number}"), settings)
            elif any(algorithm(name).imputes_mean for name in recipe.tuned):
                moments = feature_moments(span.fit, whole)
            best = rc.fit_candidates(span, recipe, moments, models, settings)[0]
            test = fr.only_span(span.later, "test")
            capacity = capacity_share(sizes[number]["test"].weight, len(spans.test), settings)
            model, names = best.worker_model(whole), whole.features
            metrics = evaluate(test, [model], best.calibration, names, capacity, settings, compared=False).metrics
        tested.append(Origin(spans, best.algorithm, metrics))
    return tested


def capacity_share(weight: float, days: int, settings: Settings) -> float:
    """The share of a day's users that the team can work. ``weight``: the sum of the rows' weights over ``days`` days; weights,
    not rows, because held-out users represent treated ones, whom the team works too."""
    model = settings.model
    if model.capacity_users is None:
        return model.capacity_share
    return min(1.0, model.capacity_users * days / max(weight, 1.0))


def summary(origins: Sequence[Origin]) -> dict[str, float]:
    """``origins``: their number; for each metric ``origins_<name>``: the mean, its 95 % interval (Student's t; ``_low``,
    ``_high``) and the standard deviation (``_sd``).

    Test spans do not overlap, but train spans do: the interval assumes independent origins and is a little too narrow.
    """
    found: dict[str, float] = {"origins": float(len(origins))}
    for name in SUMMARISED:
        values = np.array([origin.metrics[name] for origin in origins if name in origin.metrics])
        if len(values):
            found |= {f"origins_{name}{end}": round(value, DIGITS) for end, value in _spread(values).items()}
    return found


def _spread(values: np.ndarray) -> dict[str, float]:
    from scipy.stats import t

    mean = float(values.mean())
    if len(values) < 2:
        return {"": mean}
    deviation = float(values.std(ddof=1))
    half = float(t.ppf(0.975, len(values) - 1)) * deviation / math.sqrt(len(values))
    return {"": mean, "_sd": deviation, "_low": mean - half, "_high": mean + half}
