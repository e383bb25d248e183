"""From a train span to calibrated models: select features, tune hyper-parameters, fit every algorithm, the best first."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame

from churnwatch.model import frame as fr
from churnwatch.model.algorithms import Algorithm, Fit, algorithm
from churnwatch.model.evaluation import calibration_of, count_margins
from churnwatch.model.margin_bins import margin_edges, with_edges
from churnwatch.model.schema import Schema, filled_values
from churnwatch.model.selection import Moments, SelectedFeatures, feature_moments, select_features
from churnwatch.model.shipping import worker_model_of
from churnwatch.model.spans import Spans
from churnwatch.model.tuning import Budget, SearchResult, TrialStore, count_iterations, search
from churnwatch.model.worker_model import WorkerModel
from churnwatch.settings import Settings

COUNT_AGAIN_BELOW = 0.5  # part of the users in the search sample, below which trees are counted again with all of them


@dataclass(frozen=True)
class Candidate:
    """A fitted and calibrated model; ``rank``: its AUC on the calibration span, by which algorithms are compared."""

    algorithm: str
    model: Any
    text: str
    schema: Schema
    calibration: dict[str, Any]
    rank: float
    tuned: SearchResult

    def worker_model(self, whole: Schema) -> WorkerModel:
        """The model as workers apply it to the raw array of ``whole``."""
        return worker_model_of(self.text, self.schema, whole.features)


@dataclass(frozen=True)
class Recipe:
    """What is fitted again on other days: the selected features and the hyper-parameters of each algorithm."""

    features: tuple[str, ...]
    tuned: Mapping[str, SearchResult] = field(default_factory=dict)


@dataclass(frozen=True)
class Trials:
    """Where the trials of one search are stored: ``port`` (``models``), under the name ``search``."""

    port: Any
    search: str


@dataclass(frozen=True)
class CachedSpan:
    """The rows of a cached training frame: ``fit`` of the train span, ``later`` of the spans after it; ``whole``: the schema of
    all features; ``sample_share``: the part of the users of ``fit`` on which hyper-parameters are searched."""

    fit: DataFrame
    later: DataFrame
    whole: Schema
    sample_share: float


@contextmanager
def cached_span(
    frame: DataFrame, spans: Spans, sizes: Mapping[str, fr.Size], whole: Schema, settings: Settings, sampled: bool = False
) -> Iterator[CachedSpan]:
    """The rows of ``spans`` in ``frame``, a cached ``training_frame``; ``sampled``: of the train span only the search sample.

    The sample and the rows of the later spans are cached again while the context is open, because they are small parts.
    """
    placed = fr.with_span(frame, spans)
    fit = fr.fit_rows(placed, spans, settings)
    share = fr.search_share(sizes["train"], settings)
    if sampled:
        fit = fr.only_sample(fit, share).cache()
    later = fr.evaluation_rows(placed, sizes, settings).cache()
    try:
        yield CachedSpan(fit, later, whole, 1.0 if sampled else share)
    finally:
        if sampled:
            fit.unpersist()
        later.unpersist()


def select(span: CachedSpan, settings: Settings) -> SelectedFeatures:
    """Select features on the train span."""
    return select_features(span.fit, fr.only_sample(span.fit, span.sample_share), span.whole, settings)


def tune(
    span: CachedSpan, features: tuple[str, ...], moments: Moments | None, budget: Budget, trials: Trials, settings: Settings
) -> Recipe:
    """Search the hyper-parameters of every algorithm of model.yaml, each with the same budget.

    Where the search saw a small sample, the number of iterations of boosting is found again with all users, because more rows
    carry more trees. The final fit, which has the users of the validation fold too, keeps that number: near the best number AUC
    hardly changes (on a simulated app 0.8647 with 75 trees, 0.8643 with 100, but 0.8572 with 20).
    """
    tuned: dict[str, SearchResult] = {}
    for name in settings.model.algorithms:
        one = algorithm(name)
        schema = _schema(one, features, moments, span.whole)
        store = TrialStore(trials.port, f"{trials.search}-{name}")
        with _trial_rows(span, schema, span.sample_share) as sample:
            tuned[name] = search(sample, one, budget, store, settings)
        if span.sample_share < COUNT_AGAIN_BELOW and one.boosts:
            with _trial_rows(span, schema, 1.0) as rows:
                tuned[name] = count_iterations(rows, one, tuned[name], settings)
    return Recipe(features, tuned)


@contextmanager
def _trial_rows(span: CachedSpan, schema: Schema, share: float) -> Iterator[DataFrame]:
    """``label, weight, vector, fold`` of a share of the users, cached while the context is open: the rows that trials are fitted
    on, and of the users of the validation fold those of the validation period."""
    rows = fr.only_sample(span.fit, share).where("late OR NOT fold")
    rows = _with_vector(rows, schema, span.whole).select("label", "weight", "vector", "fold").cache()
    try:
        yield rows
    finally:
        rows.unpersist()


def fit_candidates(span: CachedSpan, recipe: Recipe, moments: Moments | None, models: Any, settings: Settings) -> list[Candidate]:
    """A candidate for each algorithm of the recipe, fitted on all rows, calibrated on the calibration span, the best first."""
    candidates = [_candidate(span, recipe, name, moments, models, settings) for name in recipe.tuned]
    order = {name: n for n, name in enumerate(recipe.tuned)}
    return sorted(candidates, key=lambda one: (-one.rank, order[one.algorithm]))


def refit(span: CachedSpan, recipe: Recipe, name: str, models: Any, settings: Settings) -> Candidate:
    """Fit the recipe's algorithm ``name`` on another span."""
    moments = feature_moments(span.fit, span.whole) if algorithm(name).imputes_mean else None
    return _candidate(span, recipe, name, moments, models, settings)


def _candidate(
    span: CachedSpan, recipe: Recipe, name: str, moments: Moments | None, models: Any, settings: Settings
) -> Candidate:
    one, tuned = algorithm(name), recipe.tuned[name]
    schema = _schema(one, recipe.features, moments, span.whole)
    rows = _with_vector(span.fit, schema, span.whole).select("label", "weight", "vector")
    model = one.estimator(tuned.parameters, settings, False).fit(rows)
    text = one.text(Fit(model, schema.features, _means(schema, moments, span.whole), models.trees))
    made = worker_model_of(text, schema, span.whole.features)
    margins = count_margins(fr.only_span(span.later, "calibration"), made, len(span.whole.features))
    text = with_edges(text, margin_edges(margins.mean, margins.rows))
    return Candidate(name, model, text, schema, calibration_of(margins, settings.model.calibration), margins.auc(), tuned)


def _schema(one: Algorithm, features: tuple[str, ...], moments: Moments | None, whole: Schema) -> Schema:
    schema = whole.only(features)
    if not one.imputes_mean:
        return schema
    if moments is None:
        raise ValueError(f"{one.name} imputes means: give the moments of the train span")
    # days since an event longer ago than memory stay beyond it: the mean would make these users look average
    means = dict(zip(whole.features, moments.present_mean, strict=True))
    return schema.with_fills({name: float(means[name]) for name in features if not name.endswith("_days_since")})


def _means(schema: Schema, moments: Moments | None, whole: Schema) -> list[float]:
    """Feature means after imputation. Mean-imputed features keep the mean of their observed values."""
    if moments is None:
        return []
    means = dict(zip(whole.features, zip(moments.mean, moments.present_mean, strict=True), strict=True))
    return [float(means[n][0] if n.endswith("_days_since") else means[n][1]) for n in schema.features]


def _with_vector(fit: DataFrame, schema: Schema, whole: Schema) -> DataFrame:
    return fit.withColumn("vector", array_to_vector(filled_values(schema, whole)))
