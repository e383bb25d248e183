"""Rolling origins: the training procedure on several days, with equal means; mean, spread and interval of its metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from churnwatch.core.intervals import DIGITS
from churnwatch.model import frame as fr
from churnwatch.model import metrics as m
from churnwatch.model import recipe as rc
from churnwatch.model.algorithms import algorithm
from churnwatch.model.evaluation import Judged, evaluate
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
    "observed_over_expected",
)


Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Origin:
    """The metrics of the procedure on the test span of one origin, their bootstrap values (``replicates``, the data first), and
    the algorithm that it chose."""

    spans: Spans
    algorithm: str
    metrics: Mapping[str, float]
    replicates: Mapping[str, Floats]

    def to_json(self) -> dict[str, Any]:
        """A JSON object: spans, algorithm and the metrics with their intervals."""
        ends = ("", "_low", "_high")
        metrics = {
            f"{name}{end}": self.metrics[f"{name}{end}"] for name in SUMMARISED for end in ends if f"{name}{end}" in self.metrics
        }
        return {"spans": self.spans.as_text(), "algorithm": self.algorithm, "metrics": metrics}


def evaluate_origins(
    frame: DataFrame,
    origins: Sequence[Spans],
    sizes: Sequence[Mapping[str, fr.Size]],
    whole: Schema,
    models: Any,
    settings: Settings,
) -> list[Origin]:
    """Test the procedure at each origin, oldest first. ``frame``: the cached training frame; ``origins`` (with their ``sizes``):
    newest first, as ``rolling_origins`` gives them.

    All origins have equal means, so that only the days differ: features and hyper-parameters are chosen on the oldest origin's
    train span, which every later origin may know, with ``origin_evals`` trials; models are fitted on the search sample of users
    and tested on all users. An origin with a span of one class alone is left out.
    """
    tested: list[Origin] = []
    recipe: rc.Recipe | None = None
    for number, spans in reversed(list(enumerate(origins))):
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
            judged = Judged(best.worker_model(whole), best.calibration)
            found = evaluate(test, judged, {}, {}, len(whole.features), capacity, settings)
        tested.append(Origin(spans, best.algorithm, found.metrics, found.replicates))
    return tested


def capacity_share(weight: float, days: int, settings: Settings) -> float:
    """The share of a day's users that the team can work. ``weight``: the sum of the rows' weights over ``days`` days; weights,
    not rows, because held-out users represent treated ones, whom the team works too."""
    model = settings.model
    if model.capacity_users is None:
        return model.capacity_share
    return min(1.0, model.capacity_users * days / max(weight, 1.0))


def summary(origins: Sequence[Origin]) -> dict[str, float]:
    """``origins``: their number; for each metric ``origins_<name>``: the mean, its 95 % interval (``_low``, ``_high``) and, of
    several origins, the standard deviation (``_sd``).

    The interval is over users: each user has the same bootstrap weight at all origins, because rows of a user are not
    independent. How much quality changes from time to time is in the spread; three origins are too few for an interval of that
    (Bengio and Grandvalet, JMLR 5 (2004)).
    """
    found: dict[str, float] = {"origins": float(len(origins))}
    for name in SUMMARISED:
        values = [origin.replicates[name] for origin in origins if name in origin.replicates]
        if values:
            found |= m.with_interval(f"origins_{name}", np.mean(values, axis=0))
        if len(values) > 1:
            found[f"origins_{name}_sd"] = round(float(np.std([each[0] for each in values], ddof=1)), DIGITS)
    return found
