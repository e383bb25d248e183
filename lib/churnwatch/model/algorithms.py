"""The algorithms behind one interface: search space, Spark estimator, and how a fitted model becomes text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyspark.ml.classification import (
    DecisionTreeClassifier,
    GBTClassifier,
    LinearSVC,
    LogisticRegression,
    RandomForestClassifier,
)
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.model import linear, trees, xgb
from churnwatch.settings import Settings

MAX_BINS = 32
NODE_MEMORY_MB = 512
START_LEAF_ROWS = 30  # of a search's first trial
LEAST_SHARE = 1e-3  # for the log loss, shares of a leaf stay this far from 0 and 1

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Fit:
    """A fitted model and what its text is made from: the features' ``names``, their ``means`` after imputation over the train
    span, and ``nodes``, which reads Spark's trees as dictionaries (port ``models``)."""

    model: Any
    names: Sequence[str]
    means: Sequence[float]
    nodes: Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Algorithm:
    """An algorithm as training uses it.

    ``space``: hyperopt's search space; ``whole``: its hyper-parameters that are whole numbers.
    ``start``: the point of the first trial, which is known to do well; without one it is drawn.
    ``estimator``: fitted on ``vector``, ``label``, ``weight``. In a search it is fitted on the rows outside the validation fold;
    one that reads the fold itself (``reads_fold``) gets all rows, with the column ``fold``.
    ``losses``: log loss of a fit on other rows after each iteration of boosting, so that the search keeps the best number of
    them, ``iterations``, the name of that hyper-parameter. Boosting that stops at the first tree that is no better, as Spark's
    does, keeps too few: the loss of the validation fold is noisy.
    ``text``: the model text of a fit. ``log_odds``: log-odds from Spark's output, for the log loss of a trial; None where the
    margin is no log-odds: trials are then compared by AUC.
    ``found``: hyper-parameters that fitting itself decided (trees kept). ``ready`` raises Refused where a package is missing.
    ``imputes_mean``: missing values are imputed with the training mean, so that they add nothing to a linear margin
    (``_days_since`` keeps its value beyond memory); trees use the schema's fills.
    """

    name: str
    space: Callable[[Settings], dict[str, Any]]
    whole: frozenset[str]
    estimator: Callable[[Mapping[str, Any], Settings, bool], Any]
    text: Callable[[Fit], str]
    log_odds: Callable[[], Column] | None
    found: Callable[[Any], Parameters] = lambda model: {}
    ready: Callable[[], object] = lambda: None
    start: Callable[[Settings], dict[str, float]] | None = None
    losses: Callable[[Any, DataFrame], list[float]] | None = None
    iterations: str | None = None
    reads_fold: bool = False
    imputes_mean: bool = False

    @property
    def boosts(self) -> bool:
        """Whether the fit of a trial decides a number of iterations."""
        return self.losses is not None or self.reads_fold

    def typed(self, point: Mapping[str, float]) -> Parameters:
        """A point of the search space as the estimator's parameters."""
        return {name: int(value) if name in self.whole else round(float(value), 6) for name, value in point.items()}


def algorithm(name: str) -> Algorithm:
    """The algorithm with that name in ``model.algorithms``."""
    return ALGORITHMS[name]


def _columns(settings: Settings) -> dict[str, Any]:
    return {"featuresCol": "vector", "labelCol": "label", "weightCol": "weight"}


def _tree_parameters(settings: Settings) -> dict[str, Any]:
    # at depth 5, walking each tree again costs a fifth less CPU than caching node ids
    more = {"cacheNodeIds": False, "checkpointInterval": -1, "maxMemoryInMB": NODE_MEMORY_MB, "maxBins": MAX_BINS}
    return {**_columns(settings), **more, "seed": settings.model.seed}


def _depth(settings: Settings) -> Any:
    return xgb.whole_number("maxDepth", min(2, settings.model.max_depth), settings.model.max_depth)


def _leaf_rows() -> Any:
    from hyperopt import hp

    return hp.qloguniform("minInstancesPerNode", 1.6, 5.0, 1)  # 5 .. 150 rows


def _share_log_odds() -> Column:
    share = F.element_at(vector_to_array(F.col("probability")), 2)
    bounded = F.least(F.greatest(share, F.lit(LEAST_SHARE)), F.lit(1 - LEAST_SHARE))
    return F.log(bounded / (1 - bounded))


def _raw(times: float) -> Column:
    return times * F.element_at(vector_to_array(F.col("rawPrediction")), 2)


def _tree_text(votes: bool, fit: Fit) -> str:
    return trees.to_text(fit.nodes(fit.model), fit.names, range(len(fit.names)), votes=votes)


def _linear_text(fit: Fit) -> str:
    """Text of a linear model; Spark's coefficients apply to the features as they are, not standardised."""
    return linear.to_text(fit.model.coefficients.toArray().tolist(), fit.model.intercept, fit.means)


# --- gbt ------------------------------------------------------------------------------------------------------------


def _gbt_space(settings: Settings) -> dict[str, Any]:
    from hyperopt import hp

    return {
        "maxDepth": _depth(settings),
        "stepSize": hp.loguniform("stepSize", -3.5, -1.2),  # 0.03 .. 0.30
        "subsamplingRate": hp.uniform("subsamplingRate", 0.5, 1.0),
        "minInstancesPerNode": _leaf_rows(),
    }


def _gbt(parameters: Mapping[str, Any], settings: Settings, searching: bool) -> GBTClassifier:
    given = {"maxIter": settings.model.max_trees, **parameters}
    return GBTClassifier(**_tree_parameters(settings), **given)


def _gbt_start(settings: Settings) -> dict[str, float]:
    depth = min(5, settings.model.max_depth)
    step = xgb.start_step(settings.model.max_trees)
    return {"maxDepth": depth, "stepSize": step, "subsamplingRate": 0.8, "minInstancesPerNode": START_LEAF_ROWS}


def _gbt_losses(model: Any, rows: DataFrame) -> list[float]:
    # Spark's loss is 2 log(1 + exp(-2 y margin)) with y = -1, 1: twice the log loss
    return [loss / 2 for loss in model.evaluateEachIteration(rows)]


# --- tree, forest ---------------------------------------------------------------------------------------------------


def _tree_space(settings: Settings) -> dict[str, Any]:
    return {"maxDepth": _depth(settings), "minInstancesPerNode": _leaf_rows()}


def _tree(parameters: Mapping[str, Any], settings: Settings, searching: bool) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(**_tree_parameters(settings), **parameters)


def _forest_space(settings: Settings) -> dict[str, Any]:
    from hyperopt import hp

    most = settings.model.max_trees
    return {
        **_tree_space(settings),
        "numTrees": hp.quniform("numTrees", max(1, most // 2), most, 1),
        "feature_share": hp.uniform("feature_share", 0.1, 0.7),
    }


def _forest(parameters: Mapping[str, Any], settings: Settings, searching: bool) -> RandomForestClassifier:
    share = str(parameters["feature_share"])
    others = {name: value for name, value in parameters.items() if name != "feature_share"}
    return RandomForestClassifier(**_tree_parameters(settings), featureSubsetStrategy=share, **others)


# --- logistic, svm --------------------------------------------------------------------------------------------------


def _logistic_space(settings: Settings) -> dict[str, Any]:
    from hyperopt import hp

    return {
        "regParam": hp.loguniform("regParam", -9.2, -1.0),  # 0.0001 .. 0.37
        "elasticNetParam": hp.uniform("elasticNetParam", 0.0, 1.0),
    }


def _logistic(parameters: Mapping[str, Any], settings: Settings, searching: bool) -> LogisticRegression:
    # the penalty applies to standardised features; the coefficients come back on the features' own scales
    return LogisticRegression(**_columns(settings), maxIter=100, standardization=True, **parameters)


def _svm_space(settings: Settings) -> dict[str, Any]:
    from hyperopt import hp

    return {"regParam": hp.loguniform("regParam", -9.2, 0.0)}


def _svm(parameters: Mapping[str, Any], settings: Settings, searching: bool) -> LinearSVC:
    return LinearSVC(**_columns(settings), maxIter=100, standardization=True, **parameters)


WHOLE = frozenset({"maxDepth", "minInstancesPerNode", "numTrees"})
ALGORITHMS = {
    one.name: one
    for one in (
        Algorithm(
            name="gbt",
            space=_gbt_space,
            whole=WHOLE,
            estimator=_gbt,
            text=partial(_tree_text, False),
            log_odds=partial(_raw, 2.0),  # Spark's probability is the logistic of twice its margin
            start=_gbt_start,
            losses=_gbt_losses,
            iterations="maxIter",
        ),
        Algorithm("tree", _tree_space, WHOLE, _tree, partial(_tree_text, True), _share_log_odds),
        Algorithm("forest", _forest_space, WHOLE, _forest, partial(_tree_text, True), _share_log_odds),
        Algorithm("logistic", _logistic_space, frozenset(), _logistic, _linear_text, partial(_raw, 1.0), imputes_mean=True),
        Algorithm("svm", _svm_space, frozenset(), _svm, _linear_text, None, imputes_mean=True),
        Algorithm(
            name="xgboost",
            space=xgb.space,
            whole=xgb.WHOLE,
            estimator=xgb.estimator,
            text=lambda fit: xgb.text(fit.model.get_booster(), fit.names),
            log_odds=partial(_raw, 1.0),
            found=xgb.found,
            ready=xgb.estimator_class,
            start=xgb.start,
            reads_fold=True,
        ),
    )
}
