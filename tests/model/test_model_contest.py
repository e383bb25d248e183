"""What is released: the new model, the last release with other probabilities, the best single feature, or nothing."""

import json
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from modelworld import MODEL, TODAY, conf, world
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from churnwatch.io.models import Models
from churnwatch.model import contest, gate, rolling, rule_text, single_feature, train, worker
from churnwatch.model.schema import Schema
from churnwatch.model.shipping import worker_model_of
from churnwatch.model.spans import Spans
from churnwatch.scoring.score import apply_release
from churnwatch.tables import tables
from smallworld import rows, settings

SHOP_USERS = 2_000
QUICK = MODEL | {"algorithms": ["tree"], "max_evals": 1}
TEST = date(2025, 5, 26)  # the first test day


@pytest.fixture
def no_spark_model(monkeypatch):
    """The shop registers a real Spark model, which takes 7 s; these releases need none."""
    monkeypatch.setattr(Models, "_registered", lambda self, run, row, model: f"{row['algorithm']}-{row['run_id']}")
    monkeypatch.setattr(Models, "spark_model", lambda self, version: f"the Spark model of {version}")


@pytest.fixture(scope="module")
def shop(spark, tmp_path_factory):
    """A shop in which one feature knows all that can be known: its settings, inputs, port and rows of model_runs."""
    one = conf(
        tmp_path_factory.mktemp("shop"), model=QUICK | {"roll": True, "gate": MODEL["gate"] | {"min_margin_over_column": 0.0}}
    )
    inputs = world(spark, one, users=SHOP_USERS, single=True, earlier=2)
    models = Models(spark, one, "shop")
    return one, inputs, models, train(inputs, (TODAY,), models, settings=one)["model_runs"].collect()


def test_the_best_single_feature_is_released_where_no_model_is_shown_to_beat_it(shop):
    one, _, _, (released, refused) = shop
    assert (released.algorithm, released.outcome, released.features) == ("rule", "released", ["orders_4d"])
    assert released.parameters["feature"] == "orders_4d" and released.parameters["riskier"] == "low values"
    assert all(text.endswith(": ok") for text in released.conditions)
    assert (refused.algorithm, refused.outcome, refused.model_version) == ("tree", "refused", None)
    failed = [text for text in refused.conditions if text.endswith(": failed")]
    assert [text.split(":")[0] for text in failed] == ["auc over the best single feature orders_4d"]
    # both were tested on the same rows; the row's numbers are those of what is released
    assert released.metrics["auc"] == pytest.approx(refused.metrics["column_auc"]) and released.metrics["auc"] > 0.7
    assert refused.metrics["auc_minus_column_low"] <= 0 and refused.metrics["auc"] > 0.7
    assert abs(released.metrics["observed_over_expected"] - 1) <= one.model.gate.max_rate_error
    assert released.spans["released_calibration"] == "2025-05-26..2025-06-02", "it was fitted again on the newest days"
    assert json.loads(released.reference).keys() == {"orders_4d", "(margin)"}


def test_the_single_feature_scores_by_the_same_path_with_its_reason(spark, shop):
    one, inputs, models, (row, _) = shop
    day = date(2025, 6, 2)
    people = inputs["features"].where(F.col("day") == F.lit(day))
    values = people.select("orders_4d").toPandas()["orders_4d"].to_numpy(float)
    found = {}
    for where in ("the copy", "MLflow"):
        release = Models(spark, one, "x").load(row.model_version, row.mlflow_run_id, row.artifacts_hash)
        scored = apply_release(release, people, one.tiers.tiers, day, one).select(
            "user_id", "margin", "probability", "reasons", "cell"
        )
        found[where] = scored.orderBy("user_id").toPandas()
        for file in models.copies.folder(row.model_version).iterdir():
            file.unlink()  # the second time the release comes from MLflow
    assert found["the copy"].drop(columns="reasons").equals(found["MLflow"].drop(columns="reasons"))
    scored, given = found["the copy"], people.select("user_id", "orders_4d").toPandas().set_index("user_id")["orders_4d"]
    # the fewer orders, the riskier: users are ranked by the feature, and by nothing else
    assert np.corrcoef(scored["margin"].rank(), -given[scored["user_id"]].rank())[0, 1] > 0.999
    schema = Schema.from_json(release.schema)
    made = worker_model_of(release.text, schema, schema.features)
    margin = made.margin(np.atleast_2d(given[scored["user_id"]].to_numpy()))
    assert scored["margin"].to_numpy() == pytest.approx(margin, abs=1e-12)
    assert scored["probability"].to_numpy() == pytest.approx(worker.probabilities(margin, release.calibration), abs=1e-12)
    first, other, base = scored["reasons"][0]
    assert (first["measure"], first["value"]) == ("orders", given[scored["user_id"][0]])
    assert (other["measure"], other["contribution"], base["measure"]) == ("(other)", 0.0, "(base)")
    assert first["contribution"] + base["contribution"] == pytest.approx(scored["margin"][0])
    # and MLflow's Spark model says the same
    vector = people.select("orders_4d", array_to_vector(F.array(F.col("orders_4d"))).alias("vector"))
    by_spark = models.spark_model(row.model_version).transform(vector).select("prediction").toPandas()["prediction"].to_numpy()
    assert by_spark == pytest.approx(made.margin(np.atleast_2d(values)), abs=1e-9)


def earlier_release(spark, one, inputs, today, run):
    """The stored row of a release that was trained on ``today``, from what was known then."""
    known = {name: inputs[name].where(F.col("day") <= F.lit(today - timedelta(days=5))) for name in ("features", "labels")}
    first, *_ = train({**inputs, **known}, (today,), Models(spark, one, run), settings=one)["model_runs"].collect()
    assert first.outcome == "released"
    return rows(spark, tables(one).model_runs, [first.asDict() | {"at": datetime(2025, 5, 1)}])


def test_after_the_churn_doubled_the_probabilities_are_renewed_at_equal_ranking(spark, tmp_path, no_spark_model):
    one = conf(tmp_path, model=QUICK)
    inputs = world(spark, one, earlier=6, users=1_000, doubled_from=date(2025, 5, 10))
    inputs["model_runs"] = earlier_release(spark, one, inputs, TODAY - timedelta(days=28), "before")
    (before,) = inputs["model_runs"].collect()
    # a model is never shown to be better here, so that what is left is the release in use with new probabilities
    never = one.model.gate.model_copy(update={"min_margin_over_release": 1.0, "min_margin_over_column": 1.0})
    strict = one.model_copy(update={"model": one.model.model_copy(update={"gate": never})})
    after, *others = train(inputs, (TODAY,), Models(spark, strict, "after"), settings=strict)["model_runs"].collect()
    assert after.outcome == "released", after.conditions
    (refused,) = others
    assert (after.algorithm, after.parameters["ranked_by"], after.parameters["release"]) == (
        "recalibrated",
        "tree",
        before.model_version,
    )
    assert after.metrics["auc_minus_release"] == 0.0 and after.metrics["log_loss_minus_release_high"] < 0
    assert abs(after.metrics["observed_over_expected"] - 1) <= 0.25
    assert after.spans["released_train"] == before.spans["train"]
    assert after.features == before.features and after.reference == before.reference
    old, new = (Models(spark, one, "x").load(row.model_version, row.mlflow_run_id) for row in (before, after))
    assert old.text == new.text and old.calibration != new.calibration
    assert refused.algorithm == "tree" and any(text.startswith("auc over the best single") for text in refused.conditions)
    # with the shipped margins the new model itself may take its place: it ranks as well, and its probabilities are better
    (model,) = train(inputs, (TODAY,), Models(spark, one, "model"), settings=one)["model_runs"].collect()[:1]
    assert model.outcome == "released" and model.metrics["log_loss_minus_release_high"] < 0


def test_a_base_with_signal_gets_scores_although_churn_doubled_in_the_test_span(spark, tmp_path, no_spark_model):
    one = conf(tmp_path, model=QUICK | {"gate": MODEL["gate"] | {"max_rate_error": 0.25}})
    inputs = world(spark, one, users=600, doubled_from=TEST)
    row, *_ = train(inputs, (TODAY,), Models(spark, one, "first"), settings=one)["model_runs"].collect()
    assert row.outcome == "released", row.conditions
    assert row.metrics["observed_over_expected"] > 1.25
    (told,) = [text for text in row.conditions if text.startswith("observed / expected")]
    assert told.endswith("there is no release in use, so it goes out, calibrated on the newest days: ok")
    assert row.spans["released_calibration"] == row.spans["test"]
    release = Models(spark, one, "x").load(row.model_version, row.mlflow_run_id)
    scored = apply_release(release, inputs["features"].where(F.col("day") >= F.lit(TEST)), one.tiers.tiers, TODAY, one)
    churned = inputs["labels"].where(F.col("day") >= F.lit(TEST)).agg(F.avg(F.col("churned").cast("double"))).first()[0]
    assert scored.agg(F.avg("probability")).first()[0] == pytest.approx(churned, rel=0.02)
    # where a release is in use, it goes on: nothing new is released with probabilities that failed
    inputs["model_runs"] = rows(
        spark, tables(one).model_runs, [row.asDict() | {"spans": {**row.spans, "released_calibration": "2025-05-12..2025-05-19"}}]
    )
    (again, *_) = train(inputs, (TODAY,), Models(spark, one, "second"), settings=one)["model_runs"].collect()
    assert again.outcome == "refused"
    assert any(text.startswith("observed / expected") and text.endswith(": failed") for text in again.conditions)


def test_the_curve_keeps_the_order_of_the_feature():
    rng = np.random.default_rng(3)
    value = np.round(rng.exponential(20.0, 5_000), 1)
    for rising in (True, False):
        risk = value / 40 if rising else 1 - value / 40
        label = (rng.random(5_000) < np.clip(risk, 0.02, 0.9)).astype(float)
        knots, margins = single_feature._curve(value, label, np.ones(5_000), rising)
        assert 100 < len(knots) <= 200 and (np.diff(margins) * (1 if rising else -1) > 0).all()
        assert np.abs(margins).max() < 7.1, "no user is certain to churn or to stay"
        text = rule_text.to_text(knots.tolist(), margins.tolist(), 0.5)
        schema = single_feature._schema(Schema(("a", "x"), (0.0, 0.0), ("a", "x")), "x", np.array([1.0, np.nan, 9.0]))
        assert schema.fills == (10.0,), "a missing value counts as the greatest"
        made = worker_model_of(text, schema, ("a", "x"))
        margin, added = made.shapley(made.features(np.array([[0.0, knots[3]], [0.0, -5.0], [0.0, 1e9], [0.0, np.nan]])))
        assert margin == pytest.approx([margins[3], margins[0], margins[-1], np.interp(10.0, knots, margins)])
        assert added.tolist() == [(margin - 0.5).tolist()]
    with pytest.raises(ValueError, match="2 knots, but 1 margins"):
        rule_text.to_text([1.0, 2.0], [0.5], 0.5)


@pytest.mark.case(32)
@pytest.mark.parametrize(("high", "goes_out"), [(0.0, "new fit"), (-0.001, "tested")])
def test_a_new_fit_that_ranks_the_newest_days_worse_does_not_go_out(monkeypatch, high, goes_out):
    days = [date(2025, 6, n) for n in range(1, 7)]
    spans, newest = Spans((days[0],), (days[1],), (days[2],)), Spans((days[3],), (days[4],), ())

    @contextmanager
    def cached(*_):
        yield SimpleNamespace(later=None)

    numbers = {"auc": 0.7, "tested_auc": 0.8, "auc_minus_tested": -0.1, "auc_minus_tested_high": high, "brier": 0.1}
    monkeypatch.setattr(rolling.rc, "cached_span", cached)
    monkeypatch.setattr(rolling.rc, "refit", lambda *_: "new fit")
    monkeypatch.setattr(rolling.fr, "only_span", lambda *_: None)
    monkeypatch.setattr(rolling, "_compared", lambda *_: SimpleNamespace(metrics=numbers))
    sizes = {name: SimpleNamespace(positives=5, rows=9) for name in ("train", "calibration")}
    attempt = SimpleNamespace(spans=spans, newest=newest, newest_sizes=sizes, frame=None, whole=None)
    candidate = SimpleNamespace(algorithm="gbt")
    option = contest.Option("the new model", candidate, None, gate.Verdict(()))
    tested = SimpleNamespace(recipe=None, in_use=None)
    final = rolling.final_release(attempt, tested, option, None, settings())
    told = f"auc there: 0.7000 - 0.8000 of what was tested, upper end {high:.4f} >= 0"
    assert told in final.checks[0] and final.checks[0].endswith(": ok")
    assert final.metrics["rolled_auc_minus_tested"] == -0.1 and "rolled_brier" not in final.metrics
    if goes_out == "new fit":
        assert (final.model, final.spans) == ("new fit", newest)
    else:
        assert final.model is candidate and final.spans is spans and "what was tested goes out" in final.checks[0]
