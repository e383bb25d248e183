"""Categories as features: the most frequent values of training, ``other`` and ``unknown``, the same in training and scoring."""

import json
from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from modelworld import TODAY, conf, world
from pyspark.sql import functions as F

from churnwatch.io.models import Models
from churnwatch.model import train
from churnwatch.model.frame import category_values
from churnwatch.model.schema import Schema, category_features, feature_columns, raw_values, schema_of
from churnwatch.model.trees import to_text
from churnwatch.reports.drift import measure_drift
from churnwatch.scoring.score import apply_release
from churnwatch.settings import feature_names
from churnwatch.tables import tables
from smallworld import rows, settings

DAY = date(2025, 6, 2)
MAP = {name: name for name in ("user_id", "plan", "shop", "balance")}
CHANGES = {
    "sources": {"users": {"name": "u", "format": "parquet", "path": "unused", "map": MAP}},
    "measures": {
        "attributes": {"plan": {"kind": "category"}, "shop": {"kind": "category"}, "balance": {"kind": "number"}},
        "sensitive_allowed": [],
    },
    "privacy": {"min_group_size": 3},
}


@pytest.fixture(scope="module")
def one():
    """Settings with two categories and a number."""
    return settings(**CHANGES)


@pytest.fixture(scope="module")
def people(spark, one):
    """user_features of a day: 25 shops of 3 to 27 users, plans of 200, 100 and 2 users, one bot, and another day."""
    shops = [f"shop {n:02}" for n in range(25) for _ in range(n + 3)]
    plans = ["gold"] * 200 + ["family & friends"] * 100 + ["rare"] * 2 + ["other"] * 10
    given = [
        {"day": DAY, "user_id": f"u{n}", "attribute_plan": (plans[n : n + 1] or [None])[0], "attribute_shop": shop, "bot": False}
        for n, shop in enumerate(shops)
    ]
    given += [{"day": DAY, "user_id": f"bot{n}", "attribute_shop": "bots", "bot": True} for n in range(90)]
    given += [{"day": DAY - timedelta(days=1), "user_id": f"x{n}", "attribute_plan": "old", "bot": False} for n in range(9)]
    return rows(spark, tables(one).user_features, given)


def test_the_twenty_most_frequent_values_are_features(people, one):
    found = category_values(people, DAY, one)
    assert found["attribute_shop"] == [f"shop {n:02}" for n in range(24, 4, -1)]
    # 'rare' has fewer users than a group may have; a value that is called 'other' is one of the others
    assert found["attribute_plan"] == ["gold", "family & friends"]
    assert category_values(people, DAY, settings()) == {}


def test_every_user_has_one_value_of_each_category(spark, one):
    names, others = category_features({"attribute_plan": ["gold", "family & friends"]})
    schema = schema_of(names, one, others)
    texts = ["gold", "family & friends", "rare", "other", "unknown", None, "Gold"]
    frame = spark.createDataFrame([(text,) for text in texts], "attribute_plan string")
    found = [row["values"] for row in frame.select(raw_values(schema).alias("values")).collect()]
    gold, family, other, unknown = [[float(n == m) for m in range(4)] for n in range(4)]
    assert found == [gold, family, other, other, unknown, unknown, other]
    assert set(schema.measures) == {"attribute_plan"} and set(schema.fills) == {0.0}
    # which values were frequent belongs to the model, and survives its file
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    assert category_features({"attribute_plan": ["family & friends", "gold"]})[1] == others
    again = schema_of(names, one, {name: '["gold"]' for name in others})
    assert again.hash != schema.hash and schema.redefined(dict(zip(again.features, again.meanings, strict=True)))


@pytest.mark.case(27)
def test_a_number_that_is_not_known_is_no_zero(one):
    schema = schema_of(feature_names(one), one)
    fills = dict(zip(schema.features, schema.fills, strict=True))
    assert fills["attribute_balance"] < -1e8 and fills["orders_4d"] == 0.0


def node(at, feature, threshold):
    kids = {"left": 2 * at + 1, "right": 2 * at + 2}
    return {"id": at, "prediction": 0.0, "count": 10, "gain": 1.0, "feature": feature, "threshold": threshold, **kids}


def leaf(at, prediction):
    return {"id": at, "prediction": prediction, "count": 5, "gain": 0.0, "left": -1, "right": -1, "feature": -1, "threshold": 0.0}


def test_a_release_scores_users_by_their_category_and_names_it(spark, one):
    names, others = category_features({"attribute_plan": ["gold", "family & friends"]})
    schema = schema_of(names, one, others)
    # family & friends raise the risk, other plans lower it
    trees = [(1.0, [node(0, 1, 0.5), leaf(1, 0.0), leaf(2, 1.0)]), (1.0, [node(0, 2, 0.5), leaf(1, 0.0), leaf(2, -0.5)])]
    release = SimpleNamespace(
        version="7",
        text=to_text(trees, names, range(len(names))),
        calibration={"kind": "isotonic", "margins": [-3.0, 3.0], "probabilities": [0.0, 1.0]},
        schema=json.loads(json.dumps(schema.to_json())),
        reference=None,
    )
    plans = ["gold", "family & friends", "rare", None]
    given = [{"day": DAY, "user_id": f"u{n}", "attribute_plan": plan, "bot": False} for n, plan in enumerate(plans)]
    scored = apply_release(release, rows(spark, tables(one).user_features, given), [], DAY, one)
    found = {row["user_id"]: row for row in scored.collect()}
    assert [round(found[f"u{n}"]["margin"], 9) for n in range(4)] == [0.0, 2.0, -1.0, 0.0]
    first = found["u1"]["reasons"][0]
    assert (first["measure"], first["feature"]) == ("attribute_plan", "attribute_plan_is_family%20%26%20friends")
    assert first["value"] == 1.0
    assert first["contribution"] > 0
    # the contributions of all values of a category are one reason
    assert [reason["measure"] for reason in found["u1"]["reasons"]][1:] == ["(other)", "(base)"]
    assert sum(reason["contribution"] for reason in found["u2"]["reasons"]) == pytest.approx(-1.0)


def test_columns_of_features_are_those_of_the_table(spark, one, people):
    names = [*feature_names(one), *category_features(category_values(people, DAY, one))[0]]
    others = category_features(category_values(people, DAY, one))[1]
    columns = feature_columns(schema_of(names, one, others))
    sums = people.where("day = DATE'2025-06-02' AND NOT bot").agg(
        *(F.sum(columns[name]).alias(f"c{n}") for n, name in enumerate(names) if "_shop_is_" in name)
    )
    assert sum(sums.first()) == 375.0  # every user once


def test_a_model_learns_from_a_category_from_training_to_drift(spark, tmp_path):
    changes = {"sources": CHANGES["sources"], "measures": {"attributes": {"plan": {"kind": "category"}}}}
    small = conf(tmp_path, **changes)
    inputs = world(spark, small)
    plan = F.when(F.col("events_days_since") > 0, "free plan").when(F.col("orders_2d") > 1.5, F.lit(None)).otherwise("pro")
    inputs["features"] = inputs["features"].withColumn("attribute_plan", plan)
    models = Models(spark, small, "categories")
    runs = train(inputs, (TODAY,), models, settings=small)["model_runs"]
    row = runs.first()
    names = [name for name in row["features"] if name.startswith("attribute_plan")]
    # "free plan" is what events_days_since says already
    assert row["outcome"] == "released" and names == ["attribute_plan_is_pro", "attribute_plan_is_unknown"]
    release = models.load(row["model_version"], row["mlflow_run_id"], row["artifacts_hash"])
    day = inputs["features"].where(F.col("day") == F.lit(date(2025, 6, 2)))
    scored = apply_release(release, day, [], TODAY, small).drop("reasons").withColumn("day", F.lit(date(2025, 6, 2))).cache()
    assert scored.count() == day.count()
    drift = measure_drift({"model_runs": runs, "scores": scored, "features": day}, day.count(), TODAY, small)
    # the same values, so that only the distribution differs between the day and training
    assert set(names) <= set(drift.features) and drift.skew_share == 0.0
    assert all(drift.features[name][0] < 0.25 for name in names)
