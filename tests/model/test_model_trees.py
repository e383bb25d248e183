"""Spark's trees as LightGBM's text, and the text as numbers."""

import lightgbm
import numpy as np
import pytest
from pyspark.ml.classification import GBTClassifier
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F

from churnwatch.io.models import Models
from churnwatch.model import worker
from churnwatch.model.schema import filled_values, measure_of, raw_values, schema_of
from churnwatch.model.shipped import forest
from churnwatch.model.trees import base_value, bounds, contributions, parsed, to_text
from smallworld import settings

NAMES = ["events_1d", "still_1d", "events_days_since", "cancel_rate_2d"]
STUMP = [
    {"id": 0, "prediction": 0.1, "count": 10, "gain": 0.5, "left": 1, "right": 2, "feature": 2, "threshold": 1.5},
    {"id": 1, "prediction": -0.4, "count": 6, "gain": 0.0, "left": -1, "right": -1, "feature": -1, "threshold": 0.0},
    {"id": 2, "prediction": 0.85, "count": 4, "gain": 0.0, "left": -1, "right": -1, "feature": -1, "threshold": 0.0},
]
LEAF = [{"id": 0, "prediction": 0.3, "count": 10, "gain": 0.0, "left": -1, "right": -1, "feature": -1, "threshold": 0.0}]


@pytest.fixture(scope="module")
def spark_trees(spark, tmp_path_factory):
    """Raw rows with nulls and NaN, Spark's margin on them, and the text of its trees."""
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
    model = GBTClassifier(featuresCol="vector", labelCol="label", maxIter=5, maxDepth=3, seed=3).fit(vectors)
    raw = vector_to_array(F.col("rawPrediction"))[1]
    margin = np.array([2 * row[0] for row in model.transform(vectors).select(raw).collect()])
    conf = settings(storage={"files": str(tmp_path_factory.mktemp("files"))})
    kept = [0, 2, 3]
    text = to_text(Models(spark, conf, "r").trees(model), NAMES, kept)
    rows = np.array([[np.nan if v is None else v for v in row] for row in given])
    return rows, margin, text, schema.only([NAMES[n] for n in kept])


def test_the_text_gives_sparks_margins_also_for_missing_values(spark_trees):
    rows, margin, text, schema = spark_trees
    made = forest(text, schema, tuple(NAMES))
    ours = worker.margins(worker.booster(text), made, rows)
    assert np.abs(ours - margin).max() < 1e-12
    assert margin.std() > 0.1
    # missing values matter: without the fills NaN goes right
    bare = worker.margins(worker.booster(text), {**made, "fills": [np.nan] * 3}, rows)
    assert np.abs(bare - margin).max() > 1e-3


def test_contributions_and_base_add_up_to_the_margin(spark_trees):
    rows, margin, text, schema = spark_trees
    model, trees = worker.booster(text), parsed(text)
    filled = worker.filled(rows[:, [0, 2, 3]], schema.fills)
    leaves = model.predict(filled, pred_leaf=True).astype(int)
    added = sum(contributions(tree, 3)[leaves[:, n]] for n, tree in enumerate(trees))
    assert np.abs(added.sum(axis=1) + base_value(trees) - margin).max() < 1e-12
    assert (np.abs(added).max(axis=0) > 0.01).all()
    low, high = bounds(trees)
    assert low <= margin.min() and margin.max() <= high


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
