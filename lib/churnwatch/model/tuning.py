"""Gradient-boosted trees of Spark ML, their hyper-parameters found by hyperopt."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyspark.ml.classification import GBTClassificationModel, GBTClassifier
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import JobFailed
from churnwatch.core.intervals import DIGITS
from churnwatch.settings import Settings

MAX_BINS = 32
VALIDATION_TOLERANCE = 1e-6  # the default of 0.01 keeps a single tree of fifteen
NODE_MEMORY_MB = 512

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """The best hyper-parameters, trees kept included, and what every trial gave."""

    parameters: dict[str, float | int]
    trials: list[dict[str, Any]]


def search_space(settings: Settings) -> dict[str, Any]:
    """Where hyperopt looks: depth, step, share of rows a tree, least rows a leaf."""
    from hyperopt import hp

    return {
        "maxDepth": hp.quniform("maxDepth", min(2, settings.model.max_depth), settings.model.max_depth, 1),
        "stepSize": hp.loguniform("stepSize", -2.3, -0.7),  # 0.10 .. 0.50: few trees must do
        "subsamplingRate": hp.uniform("subsamplingRate", 0.6, 1.0),
        "minInstancesPerNode": hp.qloguniform("minInstancesPerNode", 1.6, 5.0, 1),  # 5 .. 150 rows
    }


def searched(frame: DataFrame, users: int, settings: Settings) -> Tuned:
    """The best of ``max_evals`` trials (tree-structured Parzen estimators) by log loss on the later days of held-out users.

    ``frame``: ``frame.for_fit`` of the training span; a sample of ``search_users`` users by hash is searched on.
    Raises JobFailed with the first error when every trial failed.
    """
    import numpy as np
    from hyperopt import Trials, fmin, tpe

    share = min(1.0, settings.model.search_users / max(users, 1))
    sample = frame.where((F.col("sample_share") < share) & (~F.col("fold") | F.col("late"))).cache()
    kept: list[dict[str, Any]] = []
    try:
        fmin(
            fn=partial(_trial, sample, settings, kept),
            space=search_space(settings),
            # the default waits for 20 random trials before it learns from any
            algo=partial(tpe.suggest, n_startup_jobs=max(3, settings.model.max_evals // 3)),
            max_evals=settings.model.max_evals,
            timeout=settings.model.max_minutes * 60,
            trials=Trials(),
            rstate=np.random.default_rng(settings.model.seed),
            show_progressbar=False,
            verbose=False,
            catch_eval_exceptions=False,
        )
    except Exception as error:
        if not any("loss" in trial for trial in kept):
            first = next((trial["error"] for trial in kept if "error" in trial), str(error))
            raise JobFailed(f"all {len(kept)} trials of hyper-parameters failed; the first: {first}") from error
        raise
    finally:
        sample.unpersist()
    good = [trial for trial in kept if "loss" in trial]
    best = min(good, key=lambda trial: trial["loss"])
    return Tuned({**best["parameters"], "maxIter": best["trees"]}, kept)


def _trial(sample: DataFrame, settings: Settings, kept: list[dict[str, Any]], point: Mapping[str, float]) -> Any:
    from hyperopt import STATUS_FAIL, STATUS_OK

    parameters = _typed(point)
    try:
        estimator = _gbt({**parameters, "maxIter": settings.model.max_trees}, settings)
        model = estimator.setValidationIndicatorCol("fold").fit(sample)
        loss = log_loss(model, sample.where("fold"))
    except Exception as error:  # a search goes on without the point
        log.warning("a trial failed: %s", str(error).splitlines()[0])
        kept.append({"parameters": parameters, "error": str(error).splitlines()[0]})
        return {"status": STATUS_FAIL}
    trees = model.getNumTrees
    log.info("trial %d: log loss %.4f with %d trees, %s", len(kept) + 1, loss, trees, parameters)
    kept.append({"parameters": parameters, "loss": loss, "trees": trees})
    return {"status": STATUS_OK, "loss": loss}


def _typed(point: Mapping[str, float]) -> dict[str, float | int]:
    whole = {"maxDepth", "minInstancesPerNode"}
    return {name: int(value) if name in whole else round(float(value), 6) for name, value in point.items()}


def fitted(frame: DataFrame, parameters: Mapping[str, float | int], settings: Settings) -> GBTClassificationModel:
    """The trees of ``parameters`` on all rows of ``frame``; equal for equal rows and partitioning."""
    return _gbt(parameters, settings).fit(frame)


def _gbt(parameters: Mapping[str, float | int], settings: Settings) -> GBTClassifier:
    return GBTClassifier(
        featuresCol="vector",
        labelCol="label",
        seed=settings.model.seed,
        maxBins=MAX_BINS,
        validationTol=VALIDATION_TOLERANCE,
        cacheNodeIds=False,  # at depth 5 walking a tree again costs a fifth less than keeping node ids
        checkpointInterval=-1,
        maxMemoryInMB=NODE_MEMORY_MB,
        **parameters,  # type: ignore[arg-type]
    )


def log_loss(model: GBTClassificationModel, rows: DataFrame) -> float:
    """Mean log loss of the uncalibrated probabilities, rounded."""
    margin = 2.0 * F.element_at(vector_to_array(F.col("rawPrediction")), 2)
    # log(1 + exp(m)) - y m, without overflow
    loss = F.greatest(margin, F.lit(0.0)) + F.log1p(F.exp(-F.abs(margin))) - F.col("label") * margin
    value = model.transform(rows.select("label", "vector")).agg(F.avg(loss)).first()
    if value is None or value[0] is None:
        raise ValueError("no rows to judge hyper-parameters on")
    return round(float(value[0]), DIGITS)
