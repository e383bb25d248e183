"""Spark's trees as LightGBM's text, and the text as numbers."""

import lightgbm
import numpy as np
import pytest
from pyspark.ml.classification import (
    DecisionTreeClassifier,
    GBTClassifier,
    LinearSVC,
    LogisticRegression,
    RandomForestClassifier,
)
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F

from churnwatch.io.models import Models
from churnwatch.model import linear
from churnwatch.model.applied import opened
from churnwatch.model.schema import filled_values, measure_of, raw_values, schema_of
from churnwatch.model.shipped import packed
from churnwatch.model.trees import base_value, bounds, contributions, parsed, to_text
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
    given = [[float(v) for v in row] for row in values]
    for n, row in enumerate(given):
        if n % 7 == 0:
            row[2] = None
        if n % 11 == 0:
            row[3] = float("nan")
    frame = spark.createDataFrame(
        [(float(y), *row) for y, row in zip(label, given, strict=True)],
        "label double, " + ", ".join(f"{name} double" for name in NAMES),
    ).coalesce(1)
    schema = schema_of(NAMES, settings())
    vectors = frame.select("label", raw_values(schema).alias("values"))
    vectors = vectors.select("label", array_to_vector(filled_values(schema, schema)).alias("vector")).cache()
    rows = np.array([[np.nan if v is None else v for v in row] for row in given])
    return rows, vectors, schema.only([NAMES[n] for n in KEPT])


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
    margin = 2 * _raw(model, vectors)
    return rows, margin, to_text(models.trees(model), NAMES, KEPT), schema


def _raw(model, vectors, column="rawPrediction"):
    value = vector_to_array(F.col(column))[1]
    return np.array([row[0] for row in model.transform(vectors).select(value).collect()])


def _margin(made, rows):
    model = opened(made)
    return model.margin(model.columns(rows))


def test_the_text_gives_sparks_margins_also_for_missing_values(spark_trees):
    rows, margin, text, schema = spark_trees
    made = packed(text, schema, NAMES)
    assert np.abs(_margin(made, rows) - margin).max() < 1e-12
    lightgbms = lightgbm.Booster(model_str=text).predict(opened(made).columns(rows).T, raw_score=True)
    assert np.abs(lightgbms - margin).max() < 1e-12
    assert margin.std() > 0.1
    # missing values matter: without the fills NaN goes right
    assert np.abs(_margin({**made, "fills": [np.nan] * 3}, rows) - margin).max() > 1e-3


@pytest.mark.parametrize(
    ("kind", "given"),
    [(RandomForestClassifier, {"numTrees": 7, "maxDepth": 4, "seed": 3}), (DecisionTreeClassifier, {"maxDepth": 4, "seed": 3})],
)
def test_trees_that_vote_give_sparks_probability_as_margin(data, models, kind, given):
    rows, vectors, schema = data
    model = kind(featuresCol="vector", labelCol="label", **given).fit(vectors)
    text = to_text(models.trees(model), NAMES, KEPT, votes=True)
    made = packed(text, schema, NAMES, reasons=True)
    probability = _raw(model, vectors, "probability")
    margin, added = opened(made).explained(opened(made).columns(rows))
    assert np.abs(_margin(made, rows) - probability).max() < 1e-12 and probability.std() > 0.1
    assert np.abs(margin - probability).max() < 1e-12
    assert np.abs(added.sum(axis=0) + base_value(parsed(text)) - probability).max() < 1e-12


@pytest.mark.parametrize(
    ("kind", "given"),
    [(LogisticRegression, {"regParam": 0.01, "elasticNetParam": 0.3}), (LinearSVC, {"maxIter": 20})],
)
def test_linear_models_give_sparks_margin_and_exact_contributions(data, kind, given):
    rows, vectors, schema = data
    model = kind(featuresCol="vector", labelCol="label", **given).fit(vectors)
    margin = _raw(model, vectors)
    means = np.where(np.isnan(rows[:, KEPT]), schema.fills, rows[:, KEPT]).mean(axis=0)
    coefficients = [model.coefficients[n] for n in KEPT]
    # the feature that does not vary has no coefficient of its own in the text
    text = linear.to_text(coefficients, model.intercept + model.coefficients[1], means, margin.min(), margin.max())
    assert text.splitlines()[0] == "linear" and linear.is_linear(text)
    made = packed(text, schema, NAMES, reasons=True)
    columns = opened(made).columns(rows)
    found, added = opened(made).explained(columns)
    assert np.abs(found - margin).max() < 1e-12 and margin.std() > 0.1
    assert np.abs(added.sum(axis=0) + made["base"] - margin).max() < 1e-12
    assert made["base"] == made["expected"] == pytest.approx(margin.mean())
    assert added[0] == pytest.approx(coefficients[0] * (rows[:, 0] - rows[:, 0].mean()))
    assert np.array_equal(opened(made).exact(columns)[1], added)


def test_a_linear_text_wants_a_mean_for_each_coefficient():
    with pytest.raises(ValueError, match="2 coefficients, but 1 means"):
        linear.to_text([1.0, 2.0], 0.0, [1.0], 0.0, 1.0)


def test_contributions_and_base_add_up_to_the_margin_along_paths_and_exactly(spark_trees):
    rows, margin, text, schema = spark_trees
    made = packed(text, schema, NAMES, reasons=True)
    columns = opened(made).columns(rows)
    found, added = opened(made).explained(columns)
    _, exact = opened(made).exact(columns)
    assert np.abs(found - margin).max() < 1e-12
    assert np.abs(added.sum(axis=0) + made["base"] - margin).max() < 1e-12
    assert np.abs(exact.sum(axis=0) + made["expected"] - margin).max() < 1e-12
    assert made["base"] != made["expected"] and np.abs(exact - added).max() > 1e-3
    assert (np.abs(added).max(axis=1) > 0.01).all()
    low, high = bounds(parsed(text))
    assert low <= margin.min() and margin.max() <= high


def test_counts_of_spark_add_up_also_where_trees_see_a_part_of_the_rows(spark_trees):
    _, _, text, _ = spark_trees
    trees = parsed(text)
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
    first, second = parsed(text)
    assert contributions(first, 2).tolist() == [[0.0, -1.0], [0.0, 1.5]]
    assert contributions(second, 2).tolist() == [[0.0, 0.0]]
    assert base_value([first, second]) == pytest.approx(0.5)
    assert bounds([first, second]) == pytest.approx((-0.5, 2.0))


def test_a_split_on_a_feature_that_the_schema_lacks_is_no_model():
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


def test_the_hash_of_a_schema_knows_names_order_and_fills():
    conf = settings()
    hashes = {
        schema_of(NAMES, conf).hash,
        schema_of(NAMES[::-1], conf).hash,
        schema_of(NAMES, settings(measures={"windows_days": [1, 2, 8], "population_days": 3})).hash,
    }
    assert len(hashes) == 3
