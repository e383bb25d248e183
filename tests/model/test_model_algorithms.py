"""Each algorithm's text gives Spark's own numbers on raw rows with missing values."""

import json

import numpy as np
import pyarrow as pa
import pytest
from modelworld import conf
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F

from churnwatch.io.models import Models
from churnwatch.model import linear
from churnwatch.model.algorithms import ALGORITHMS, Fit, algorithm
from churnwatch.model.schema import filled_values, schema_of
from churnwatch.model.selection import feature_moments
from churnwatch.model.shipping import worker_model_of
from churnwatch.model.tuning import loss_of
from churnwatch.settings import feature_names

POINTS = {
    "gbt": {"maxDepth": 3, "stepSize": 0.3, "subsamplingRate": 0.8, "minInstancesPerNode": 5, "maxIter": 2},
    "tree": {"maxDepth": 3, "minInstancesPerNode": 10},
    "forest": {"maxDepth": 3, "minInstancesPerNode": 5, "numTrees": 2, "feature_share": 0.6},
    "logistic": {"regParam": 0.1, "elasticNetParam": 0.0},
    "svm": {"regParam": 1.0},
    "xgboost": {"max_depth": 3, "learning_rate": 0.3, "subsample": 1.0, "min_child_weight": 2, "n_estimators": 2},
}


@pytest.fixture(scope="module")
def frame_(spark, tmp_path_factory):
    one = conf(tmp_path_factory.mktemp("files"))
    whole = schema_of(feature_names(one), one)
    rng = np.random.default_rng(8)
    raw = rng.normal(size=(500, len(whole.features))) * 3
    raw[::7] = np.nan
    raw[1::5, 0] = np.nan
    label = (np.nan_to_num(raw[:, 0]) - np.nan_to_num(raw[:, 1]) + rng.normal(size=500) > 0).astype(float)
    values = pa.array([[None if np.isnan(v) else v for v in row] for row in raw.tolist()], pa.list_(pa.float64()))
    table = pa.table({"label": label, "weight": np.where(rng.random(500) < 0.1, 5.0, 1.0), "values": values})
    given = spark.createDataFrame(table).repartition(1).cache()  # xgboost takes no coalesced rows
    return one, whole, raw, given, feature_moments(given, whole)


@pytest.mark.parametrize("name", list(POINTS))
def test_the_text_gives_sparks_numbers(spark, frame_, name):
    from churnwatch.model.recipe import _means, _schema

    one, whole, raw, given, seen = frame_
    kind = algorithm(name)
    schema = _schema(kind, whole.features[:6], seen, whole)
    rows = given.withColumn("vector", array_to_vector(filled_values(schema, whole))).select("label", "weight", "vector")
    estimator = kind.estimator(POINTS[name], one, False)
    assert estimator.getOrDefault("weightCol") == "weight"  # held-out users represent treated ones
    model = estimator.fit(rows)
    means = _means(schema, seen, whole)
    text = kind.text(Fit(model, schema.features, means, Models(spark, one, "r").trees))
    made = worker_model_of(text, schema, whole.features, reasons=True)
    ours = made.margin(made.features(raw))
    column = "probability" if name in ("tree", "forest") else "rawPrediction"
    theirs = model.transform(rows).select(vector_to_array(F.col(column))[1].alias("theirs")).toArrow()["theirs"].to_numpy()
    # xgboost adds up in float32
    assert np.abs(ours - theirs * (2.0 if name == "gbt" else 1.0)).max() < (1e-5 if name == "xgboost" else 1e-12)
    assert ours.std() > 0.01
    margin, added = made.shapley(made.features(raw))
    assert np.array_equal(margin, ours) and np.abs(added.sum(axis=0) + made.expected - ours).max() < 1e-9
    assert 0 < loss_of(model, kind, rows) < 0.7
    if kind.losses is not None:
        # the loss after all trees is the log loss of the model
        assert kind.losses(model, rows)[-1] == pytest.approx(loss_of(model, kind, rows), abs=1e-9)
    if kind.imputes_mean:
        # a missing value adds nothing: it is filled with the mean, unless it lies beyond memory
        parts = json.loads(text.split("\n", 1)[1])
        assert linear.is_linear(text) and made.expected == pytest.approx(ours.mean())
        coefficients, means = (np.array(parts[name])[:, None] for name in ("coefficients", "means"))
        by_feature = coefficients * (made.features(raw) - means)
        own = [n for n, measure in enumerate(schema.measures) if measure == schema.measures[0]]
        assert added[0] == pytest.approx(by_feature[own].sum(axis=0))
        assert parts["means"] == pytest.approx(np.where(np.isnan(raw[:, :6]), schema.fills, raw[:, :6]).mean(axis=0), abs=1e-9)


def test_a_trial_grows_all_trees_and_the_final_fit_as_many_as_the_search_kept(frame_):
    one, *_ = frame_
    searched = {name: value for name, value in POINTS["gbt"].items() if name != "maxIter"}
    trial, final = (algorithm("gbt").estimator(point, one, False) for point in (searched, POINTS["gbt"]))
    assert (trial.getMaxIter(), final.getMaxIter()) == (one.model.max_trees, 2)
    assert not trial.isDefined("validationIndicatorCol"), "Spark would stop at the first tree that is no better"


def test_every_configurable_algorithm_exists():
    from typing import get_args

    from churnwatch.settings.model import Algorithm

    assert set(ALGORITHMS) == set(get_args(Algorithm))
