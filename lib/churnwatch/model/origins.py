"""The procedure judged where it would have stood earlier: rolling origins, with mean, spread and interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark.sql import DataFrame

from churnwatch.core.intervals import DIGITS
from churnwatch.model import frame as fr
from churnwatch.model import recipe as rc
from churnwatch.model.evaluation import evaluated
from churnwatch.model.schema import Schema
from churnwatch.model.spans import Spans
from churnwatch.model.tuning import Budget
from churnwatch.settings import Settings

SUMMED = (
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
    """What the procedure was worth on the test span of an origin."""

    spans: Spans
    algorithm: str
    metrics: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """A JSON object: spans, algorithm and the metrics with their intervals."""
        ends = ("", "_low", "_high")
        told = {f"{name}{end}": self.metrics[f"{name}{end}"] for name in SUMMED for end in ends if f"{name}{end}" in self.metrics}
        return {"spans": self.spans.as_text(), "algorithm": self.algorithm, "metrics": told}


def earlier(rows: DataFrame, origins: Sequence[Spans], whole: Schema, models: Any, settings: Settings) -> list[Origin]:
    """The earlier origins, oldest first; ``origins``: newest first, as ``spans.origins`` gives them.

    Nothing of an origin's test span, nor of days after it, is used for it: features and hyper-parameters are chosen by
    the oldest origin's train span, all were known at every later one. They are fitted on the sample of ``search_users``
    users and tested on everybody. An origin with a span of one class alone is left out.
    """
    judged: list[Origin] = []
    recipe: rc.Recipe | None = None
    for number, spans in reversed(list(enumerate(origins))[1:]):
        sizes = fr.sizes(fr.with_span(rows, spans))
        if any(size.positives in (0, size.rows) for size in sizes.values()):
            continue
        with rc.opened(rows, spans, sizes, whole, settings, sampled=True) as span:
            seen = None
            if recipe is None:
                selection = rc.chosen(span, settings)
                seen = selection.moments
                budget = Budget.of(settings, settings.model.origin_evals)
                trials = rc.Trials(models, f"origin{number}")
                recipe = rc.found(span, selection.kept, seen, budget, trials, settings)
            elif any(rc.algorithm(name).fills_mean for name in recipe.tuned):
                seen = rc.moments(span.fit, whole)
            best = rc.made(span, recipe, seen, models, settings)[0]
            test = fr.only_span(span.later, "test")
            capacity = capacity_of(sizes["test"].weight, len(spans.test), settings)
            packed, names = [best.packed(whole)], whole.features
            metrics = evaluated(test, packed, best.calibration, names, capacity, settings, compared=False).metrics
        judged.append(Origin(spans, best.algorithm, metrics))
    return judged


def capacity_of(weight: float, days: int, settings: Settings) -> float:
    """The share of a day's users that the team can work; ``weight``: of the rows of the ``days``, since metrics take a share
    of it (the held-out stand for the treated, whom the team works too)."""
    model = settings.model
    if model.capacity_users is None:
        return model.capacity_share
    return min(1.0, model.capacity_users * days / max(weight, 1.0))


def summary(origins: Sequence[Origin]) -> dict[str, float]:
    """``origins``: how many; of each metric ``origins_<name>``, the mean, its 95 % interval (Student's t, ``_low``, ``_high``)
    and ``origins_<name>_sd``, the spread.

    Test spans do not overlap, but train spans do: the interval takes the origins as independent and so is a little narrow.
    """
    found: dict[str, float] = {"origins": float(len(origins))}
    for name in SUMMED:
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
