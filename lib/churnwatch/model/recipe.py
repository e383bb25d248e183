"""From a train span to calibrated models: features chosen, hyper-parameters found, everything fitted, the best first."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame

from churnwatch.model import frame as fr
from churnwatch.model import shipped
from churnwatch.model.algorithms import Algorithm, Fit, algorithm
from churnwatch.model.evaluation import calibration_of
from churnwatch.model.schema import Schema, filled_values
from churnwatch.model.selection import Selected, moments, selected
from churnwatch.model.spans import Spans
from churnwatch.model.tuning import Budget, Kept, Tuned, searched
from churnwatch.settings import Settings


@dataclass(frozen=True)
class Candidate:
    """A fitted and calibrated model; ``rank``: its AUC on the calibration span, by which algorithms are compared."""

    algorithm: str
    model: Any
    text: str
    schema: Schema
    calibration: dict[str, Any]
    rank: float
    tuned: Tuned

    def packed(self, whole: Schema) -> dict[str, Any]:
        """The model as workers take it, over the raw array of ``whole``."""
        return shipped.packed(self.text, self.schema, whole.features)


@dataclass(frozen=True)
class Recipe:
    """What is fitted again on other days: the features that stay and each algorithm's hyper-parameters."""

    features: tuple[str, ...]
    tuned: Mapping[str, Tuned] = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """The rows of a train span in memory, and the rows of the spans after it; ``whole``: all features."""

    fit: DataFrame
    later: DataFrame
    whole: Schema
    users: int


@contextmanager
def opened(
    rows: DataFrame, spans: Spans, sizes: Mapping[str, fr.Size], whole: Schema, settings: Settings, sampled: bool = False
) -> Iterator[Span]:
    """The rows of ``spans`` in memory as long as they are needed; ``sampled``: the sample of the train span alone."""
    placed = fr.with_span(rows, spans)
    fit = fr.for_fit(placed, whole, spans, settings)
    users = sizes["train"].users
    fit = (fr.only_sample(fit, users, settings) if sampled else fit).cache()
    later = fr.for_evaluation(placed, whole, sizes, settings).cache()
    try:
        yield Span(fit, later, whole, min(users, settings.model.search_users) if sampled else users)
    finally:
        fit.unpersist()
        later.unpersist()


def chosen(span: Span, settings: Settings) -> Selected:
    """The features that stay, by the train span."""
    return selected(span.fit, fr.only_sample(span.fit, span.users, settings), span.whole, settings)


def found(span: Span, features: tuple[str, ...], seen: Any, budget: Budget, trials: Any, settings: Settings) -> Recipe:
    """The recipe: hyper-parameters of every algorithm of model.yaml, on equal budgets.

    ``seen``: moments of the features; ``trials``: where ended trials are kept (port ``models``), by name of the search.
    """
    tuned: dict[str, Tuned] = {}
    for name in settings.model.algorithms:
        one = algorithm(name)
        schema = _schema(one, features, seen, span.whole)
        sample = fr.only_sample(span.fit, span.users, settings).where("late OR NOT fold")
        sample = _with_vector(sample, schema, span.whole).select("label", "weight", "vector", "fold").cache()
        try:
            tuned[name] = searched(sample, one, budget, Kept(trials.of, f"{trials.search}-{name}"), settings)
        finally:
            sample.unpersist()
    return Recipe(features, tuned)


@dataclass(frozen=True)
class Trials:
    """Where the trials of a ``search`` are kept: ``of`` (port ``models``)."""

    of: Any
    search: str


def made(span: Span, recipe: Recipe, seen: Any, models: Any, settings: Settings) -> list[Candidate]:
    """A candidate for each algorithm of the recipe, fitted on all rows, calibrated on the later span, the best first."""
    candidates = [_candidate(span, recipe, name, seen, models, settings) for name in recipe.tuned]
    order = {name: n for n, name in enumerate(recipe.tuned)}
    return sorted(candidates, key=lambda one: (-one.rank, order[one.algorithm]))


def _candidate(span: Span, recipe: Recipe, name: str, seen: Any, models: Any, settings: Settings) -> Candidate:
    one, tuned = algorithm(name), recipe.tuned[name]
    schema = _schema(one, recipe.features, seen, span.whole)
    rows = _with_vector(span.fit, schema, span.whole).select("label", "weight", "vector")
    model = one.estimator(tuned.parameters, settings, False).fit(rows)
    text = one.text(Fit(model, schema.features, _means(schema, seen, span.whole), rows, models.trees))
    packed = shipped.packed(text, schema, span.whole.features)
    kind = settings.model.calibration
    later = fr.only_span(span.later, "calibration")
    calibration, rank = calibration_of(later, packed, len(span.whole.features), kind)
    return Candidate(name, model, text, schema, calibration, rank, tuned)


def again(span: Span, recipe: Recipe, name: str, models: Any, settings: Settings) -> Candidate:
    """The recipe's algorithm ``name`` on the rows of another span."""
    seen = moments(span.fit, span.whole) if algorithm(name).fills_mean else None
    return _candidate(span, recipe, name, seen, models, settings)


def _schema(one: Algorithm, features: tuple[str, ...], seen: Any, whole: Schema) -> Schema:
    schema = whole.only(features)
    if not one.fills_mean:
        return schema
    # days since something that memory does not reach stay beyond it: the mean would call these users usual
    means = dict(zip(whole.features, seen.present_mean, strict=True))
    return schema.with_fills({name: float(means[name]) for name in features if not name.endswith("_days_since")})


def _means(schema: Schema, seen: Any, whole: Schema) -> list[float]:
    """Of the filled features: what was filled with the mean has the mean of the values that are there."""
    if seen is None:
        return []
    filled = dict(zip(whole.features, zip(seen.mean, seen.present_mean, strict=True), strict=True))
    return [float(filled[n][0] if n.endswith("_days_since") else filled[n][1]) for n in schema.features]


def _with_vector(fit: DataFrame, schema: Schema, whole: Schema) -> DataFrame:
    return fit.withColumn("vector", array_to_vector(filled_values(schema, whole)))
