"""Spark's trees as LightGBM's text, and the text as numbers."""

from dataclasses import replace

import lightgbm
import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.classification import GBTClassifier
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F

from churnwatch.io.models import Models
from churnwatch.model import linear
from churnwatch.model.schema import filled_values, measure_of, raw_values, schema_of
from churnwatch.model.shipping import worker_model_of
from churnwatch.model.trees import base_value, bounds, parse, path_contributions, to_text
from smallworld import settings

NAMES = ["events_1d", "still_1d", "events_days_since", "cancel_rate_2d"]
STUMP = [
    {"id": 0, "prediction": 0.1, "count": 10, "gain": 0.5, "left": 1, "right": 2, "feature": 2, "threshold": 1.5},
    {"id": 1, "prediction": -0.4, "count": 6, "gain": 0.0, "left": -1, "right": -1, "feature": -1, "threshold": 0.0},
    {"id": 2, "prediction": 0.85, "count": 4, "gain": 0.0, "left": -1, "right": -1, "feature": -1, "threshold": 0.0},
]
LEAF = [{"id": 0, "prediction": 0.3, "count": 10, "gain": 0.0, "left": -1, "right": -1, "feature": -1, "threshold": 0.0}]


KEPT = [0, 2, 3]


@pytest.fixture(scope="module")
def data(spark):
    """Raw rows with nulls and NaN, the frame of their vectors, and the schema of the features that vary."""
    rng = np.random.default_rng(5)
    values = np.column_stack([rng.normal(size=600), np.ones(600), rng.integers(0, 5, 600), rng.random(600)])
    label = (values[:, 0] - 0.5 * values[:, 2] + rng.normal(size=600) > -0.8).astype(float)
    values[::7, 2] = values[::11, 3] = np.nan
    columns = {name: pa.array(values[:, n], from_pandas=name == "events_days_since") for n, name in enumerate(NAMES)}
    frame = spark.createDataFrame(pa.table({"label": label, **columns})).coalesce(1)
    schema = schema_of(NAMES, settings())
    vectors = frame.select("label", raw_values(schema).alias("values"))
    vectors = vectors.select("label", array_to_vector(filled_values(schema, schema)).alias("vector")).cache()
    return values, vectors, schema.only([NAMES[n] for n in KEPT])


@pytest.fixture(scope="module")
def models(spark, tmp_path_factory):
    """The port that reads Spark's trees."""
    return Models(spark, settings(storage={"files": str(tmp_path_factory.mktemp("files"))}), "r")


@pytest.fixture(scope="module")
def spark_trees(data, models):
    """Raw rows, Spark's margin on them, and the text and schema of its trees, each grown on a part of the rows."""
    rows, vectors, schema = data
    estimator = GBTClassifier(featuresCol="vector", labelCol="label", maxIter=5, maxDepth=4, seed=3, subsamplingRate=0.7)
    model = estimator.fit(vectors)
    value = vector_to_array(F.col("rawPrediction"))[1]
    margin = 2 * model.transform(vectors).select(value.alias("raw")).toArrow()["raw"].to_numpy()
    return rows, margin, to_text(models.trees(model), NAMES, KEPT), schema


def _margin(model, rows):
    return model.margin(model.features(rows))


def test_the_text_gives_sparks_margins_also_for_missing_values(spark_trees):
    rows, margin, text, schema = spark_trees
    made = worker_model_of(text, schema, NAMES)
    assert np.abs(_margin(made, rows) - margin).max() < 1e-12
    lightgbms = lightgbm.Booster(model_str=text).predict(made.features(rows).T, raw_score=True)
    assert np.abs(lightgbms - margin).max() < 1e-12
    assert margin.std() > 0.1
    # missing values matter: without the fills NaN goes right
    assert np.abs(_margin(replace(made, fills=[np.nan] * 3), rows) - margin).max() > 1e-3


def test_a_linear_text_needs_a_mean_for_each_coefficient():
    with pytest.raises(ValueError, match="2 coefficients, but 1 means"):
        linear.to_text([1.0, 2.0], 0.0, [1.0])


def test_contributions_add_up_to_the_margin_along_paths_and_exactly(spark_trees, monkeypatch):
    rows, margin, text, schema = spark_trees
    made = worker_model_of(text, schema, NAMES, reasons=True)
    monkeypatch.setattr("churnwatch.model.shap.MOST_BYTES", 10)
    deep = worker_model_of(text, schema, NAMES, reasons=True)
    features = made.features(rows)
    found, exact = made.shapley(features)
    along_margin, along = deep.along_paths(features)
    assert np.abs(found - margin).max() < 1e-12 and np.abs(along_margin - margin).max() < 1e-12
    assert np.abs(along.sum(axis=0) + deep.base - margin).max() < 1e-12
    assert np.abs(exact.sum(axis=0) + made.expected - margin).max() < 1e-12
    assert deep.base != deep.expected == made.expected and np.abs(exact - along).max() > 1e-3
    assert (np.abs(along).max(axis=1) > 0.01).all()
    low, high = bounds(parse(text))
    assert low <= margin.min() and margin.max() <= high


def test_sparks_row_counts_add_up_with_subsampling(spark_trees):
    _, _, text, _ = spark_trees
    trees = parse(text)
    for tree in trees:
        for node, whole in enumerate(tree.internal_count):
            children = (tree.left[node], tree.right[node])
            rows = [tree.internal_count[c] if c >= 0 else tree.leaf_count[-1 - c] for c in children]
            assert sum(rows) == whole and min(rows) > 0
    assert {300 < tree.internal_count[0] < 550 for tree in trees[1:]} == {True}  # about 0.7 x 600


def test_a_stump_by_hand():
    text = to_text([(1.0, STUMP), (0.5, LEAF)], NAMES, [0, 2])
    model = lightgbm.Booster(model_str=text)
    # 2 x weight x prediction: left -0.8, right 1.7; the single leaf 0.3; <= goes left
    margins = model.predict([[0.0, 1.5], [0.0, 1.6]], raw_score=True)
    assert margins == pytest.approx([-0.8 + 0.3, 1.7 + 0.3], abs=1e-15)
    first, second = parse(text)
    assert path_contributions(first, 2).tolist() == [[0.0, -1.0], [0.0, 1.5]]
    assert path_contributions(second, 2).tolist() == [[0.0, 0.0]]
    assert base_value([first, second]) == pytest.approx(0.5)
    assert bounds([first, second]) == pytest.approx((-0.5, 2.0))


def test_a_split_on_a_feature_outside_the_schema_is_an_error():
    with pytest.raises(ValueError, match="feature 2"):
        to_text([(1.0, STUMP)], NAMES, [0, 1])


@pytest.mark.parametrize(
    ("feature", "measure"),
    [
        ("orders_30d", "orders"),
        ("orders_trend", "orders"),
        ("orders_days_since", "orders"),
        ("active_days_7d", "active_days"),
        ("tenure_days", "tenure"),
        ("cancel_rate_14d", "cancel_rate"),
    ],
)
def test_the_measure_of_a_feature(feature, measure):
    assert measure_of(feature) == measure


def test_the_hash_of_a_schema_depends_on_names_order_and_fills():
    conf = settings()
    hashes = {
        schema_of(NAMES, conf).hash,
        schema_of(NAMES[::-1], conf).hash,
        schema_of(NAMES, settings(measures={"windows_days": [1, 2, 8], "population_days": 3})).hash,
    }
    assert len(hashes) == 3
