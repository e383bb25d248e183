"""train_model from features and labels to a release, or to a refusal with its numbers."""

import json
from datetime import date, timedelta

import numpy as np
import pytest
from modelworld import MODEL, TODAY, conf, world
from pyspark.sql import functions as F
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from churnwatch.core import JobFailed, Refused
from churnwatch.io.models import Models
from churnwatch.model import applied, frame, recipe, train, training, worker, worker_sums
from churnwatch.model.schema import Schema
from churnwatch.model.shipped import packed
from churnwatch.settings import feature_names
from churnwatch.tables import tables
from smallworld import rows


@pytest.fixture(scope="module")
def trained(spark, tmp_path_factory):
    """Settings, inputs and the one row that training at D left."""
    one = conf(tmp_path_factory.mktemp("files"))
    inputs = world(spark, one)
    (row,) = train(inputs, (TODAY,), Models(spark, one, "run1"), settings=one)["model_runs"].collect()
    return one, inputs, row


def test_a_good_model_is_released(trained):
    one, _, row = trained
    assert (row.outcome, row.model_version, row.run_id, row.day, row.definition) == ("released", "1", "run1", TODAY, "silent")
    assert all(condition.endswith(": ok") for condition in row.conditions)
    assert row.spans == {
        "train": "2025-04-14..2025-05-05",
        "calibration": "2025-05-12..2025-05-19",
        "test": "2025-05-26..2025-06-02",
    }
    assert row.trials == 2 and 1 <= int(row.parameters["trees"]) <= 5
    # what never varies is no feature
    assert [name for name in feature_names(one) if name not in row.features] == ["tenure_days"]
    assert row.metrics["test_rows"] == 320.0 and row.metrics["train_users"] == 160.0


def test_the_metrics_are_scikit_learns_on_the_test_span(spark, trained):
    one, inputs, row = trained
    release = Models(spark, one, "x").load(row.model_version, row.mlflow_run_id)
    schema = Schema.from_json(release.schema)
    labelled = inputs["features"].join(inputs["labels"], ["day", "user_id"]).where(F.col("day") >= date(2025, 5, 26))
    found = labelled.withColumn("user_hash", F.xxhash64("user_id")).toPandas()
    label = found["churned"].astype(int).to_numpy()
    made = applied.opened(packed(release.text, schema, schema.features))
    margin = made.margin(made.columns(found[list(schema.features)].to_numpy(float)))
    probability = worker.probabilities(margin, release.calibration)
    metrics = row.metrics
    assert metrics["auc"] == pytest.approx(roc_auc_score(label, margin), abs=2e-3)
    assert metrics["average_precision"] == pytest.approx(average_precision_score(label, margin), abs=2e-3)
    assert metrics["brier"] == pytest.approx(brier_score_loss(label, probability), abs=1e-9)
    assert metrics["log_loss"] == pytest.approx(log_loss(label, probability), abs=1e-9)
    assert metrics["base_rate"] == pytest.approx(label.mean())
    rule = found[row.parameters["rule"]].fillna(np.inf)
    assert metrics["rule_auc"] == pytest.approx(roc_auc_score(label, rule.replace(np.inf, 1e9)), abs=1e-9)
    assert metrics["auc_minus_rule"] == pytest.approx(metrics["auc"] - metrics["rule_auc"])
    # the interval is that of the replicates' weights, user by user
    weights = worker_sums.poisson_weights(found["user_hash"].to_numpy(), one.model.bootstraps)[:, 1:]
    replicates = [roc_auc_score(label, margin, sample_weight=weights[:, n]) for n in range(weights.shape[1])]
    low, high = np.quantile(replicates, [0.025, 0.975])
    assert (metrics["auc_low"], metrics["auc_high"]) == pytest.approx((low, high), abs=2e-3)


def test_the_curves_are_points_of_the_test_span(trained):
    curves = json.loads(trained[2].curves)
    assert curves["roc"][0] == [0.0, 0.0] and curves["roc"][-1] == [1.0, 1.0]
    assert sum(bin["rows"] for bin in curves["calibration"]) == 320
    rates = [point[1] for point in curves["precision_recall"]]
    assert rates[-1] == pytest.approx(trained[2].metrics["base_rate"], abs=1e-6)


def test_quality_by_segment_stands_with_the_curves(trained):
    _, inputs, row = trained
    found = json.loads(row.curves)["segments"]
    assert [(one["segment"], one["value"], one["rows"]) for one in found] == [("plan", "basic", 160.0), ("plan", "gold", 80.0)]
    test = inputs["labels"].join(inputs["features"], ["day", "user_id"]).where(F.col("day") >= date(2025, 5, 26))
    churned = test.where("segment_plan = 'gold'").agg(F.avg(F.col("churned").cast("double"))).first()[0]
    assert found[1]["base_rate"] == pytest.approx(churned)
    assert all(0.5 < one["auc"] < 1 and 0 < one["brier"] < 0.25 for one in found)


def test_the_same_run_returns_its_release_without_fitting(spark, trained, monkeypatch):
    one, inputs, row = trained

    def never(*_):
        raise AssertionError("it was fitted again")

    monkeypatch.setattr(recipe, "searched", never)
    (again,) = train(inputs, (TODAY,), Models(spark, one, "run1"), settings=one)["model_runs"].collect()
    assert again == row
    with pytest.raises(AssertionError, match="fitted again"):
        train(inputs, (TODAY,), Models(spark, one, "run2"), settings=one)


def test_shuffled_labels_are_refused_and_the_release_stays(spark, trained):
    one, _, released = trained
    inputs = world(spark, one, shuffled=True)
    earlier = released.asDict() | {"day": TODAY - timedelta(days=7)}
    inputs["model_runs"] = rows(spark, tables(one).model_runs, [earlier])
    models = Models(spark, one, "shuffled")
    (row,) = train(inputs, (TODAY,), models, settings=one)["model_runs"].collect()
    assert (row.outcome, row.model_version) == ("refused", None)
    # 99.9 %, so that the test fails for faults and not for luck
    wide = 3.29 / 1.96 * (row.metrics["auc_high"] - row.metrics["auc_low"]) / 2
    assert abs(row.metrics["auc"] - 0.5) < wide
    failed = [condition for condition in row.conditions if condition.endswith(": failed")]
    assert any(condition.startswith("auc, lower end") for condition in failed)
    # the last release was judged on the same test span
    assert row.metrics["auc_minus_release"] == pytest.approx(row.metrics["auc"] - row.metrics["release_auc"])
    assert sum("the last release" in condition for condition in row.conditions) == 1
    assert models.champion() == released.model_version


def test_users_who_got_an_offer_in_time_and_bots_leave_and_the_held_out_stay(spark, trained):
    one, inputs, _ = trained
    day = date(2025, 5, 12)
    base = {"campaign": "c", "cost_cents": 0, "expected_value_cents": 0, "arm": "offer", "day": day + timedelta(days=3)}
    actions = [
        {"user_id": "user1", **base, "day": day + timedelta(days=2)},  # it reaches them on the last day that the label looks at
        {"user_id": "user2", **base, "arm": "control"},
        {"user_id": "user3", **base, "day": day},  # decided at the end of the day: it works in the label's days
        {"user_id": "user4", **base},  # decided on the last day: it reaches them on the next
        {"user_id": "user5", **base, "day": day - timedelta(days=1)},  # features may show it
    ]
    given = {**inputs, "actions": rows(spark, tables(one).retention_actions, actions)}
    given["features"] = inputs["features"].withColumn("bot", F.col("user_id") == "user6")
    kept = frame.labelled_rows(given, [day], one).select("user_id").collect()
    assert len(kept) == 157 and {row.user_id for row in kept}.isdisjoint({"user1", "user3", "user6"})


def area_on(inputs, first, last, candidate):
    """AUC of a candidate's margin over the labelled rows of ``first`` .. ``last``, by scikit-learn."""
    labelled = inputs["features"].join(inputs["labels"], ["day", "user_id"]).where(F.col("day").between(first, last)).toPandas()
    names = candidate.schema.features
    made = applied.opened(packed(candidate.text, candidate.schema, names))
    return roc_auc_score(labelled["churned"], made.margin(made.columns(labelled[list(names)].to_numpy(float))))


def test_algorithms_are_compared_the_procedure_is_judged_earlier_and_what_passes_is_rolled_on(spark, tmp_path, monkeypatch):
    logged, fitted, kept = {}, {}, []
    monkeypatch.setattr(Models, "_registered", lambda self, run, row, model: "7")
    real, real_keep, real_fit = Models._logged, Models.keep_trial, recipe._candidate

    def seen(self, mlflow, files, pictures):
        logged.update(files | pictures)
        real(self, mlflow, files, pictures)

    def keep(self, name, trial):
        kept.append(name)
        real_keep(self, name, trial)
        assert self.kept_trial(name) == trial

    def fit(*given):
        made = real_fit(*given)
        fitted.setdefault(made.algorithm, []).append(made)  # the newest origin's first
        return made

    monkeypatch.setattr(Models, "_logged", seen)
    monkeypatch.setattr(Models, "keep_trial", keep)
    monkeypatch.setattr(recipe, "_candidate", fit)
    more = {"algorithms": ["tree", "logistic"], "origins": 2, "gate": MODEL["gate"] | {"min_origins": 2}}
    one = conf(tmp_path, model=MODEL | more | {"origin_evals": 1, "roll": True})
    inputs = world(spark, one, earlier=1)
    models = Models(spark, one, "several")
    best, other = train(inputs, (TODAY,), models, settings=one)["model_runs"].collect()
    assert (best.outcome, best.model_version, best.trials) == ("released", "7", 2)
    assert (other.outcome, other.model_version, other.trials) == ("refused", None, 2)
    assert {best.algorithm, other.algorithm} == {"tree", "logistic"}
    ours, theirs = best.metrics["calibration_auc"], other.metrics["calibration_auc"]
    areas = {name: area_on(inputs, date(2025, 5, 12), date(2025, 5, 19), models[0]) for name, models in fitted.items()}
    assert (ours, theirs) == pytest.approx((areas[best.algorithm], areas[other.algorithm]), abs=2e-3)
    assert areas[best.algorithm] > areas[other.algorithm] + 0.004, "the world tells the two apart"
    assert "auc" not in other.metrics, "the test span belongs to the one that went to the gate"
    told = f"auc on the calibration span: {theirs:.4f} >= {ours:.4f} of {best.algorithm}, which went to the gate: failed"
    assert other.conditions == [told]

    earlier, newest = json.loads(best.origins)
    assert (earlier["spans"]["test"], newest["spans"]["test"]) == ("2025-05-12..2025-05-19", best.spans["test"])
    assert earlier["spans"]["train"] == "2025-03-31..2025-04-21"
    assert best.metrics["origins_auc"] == pytest.approx((earlier["metrics"]["auc"] + best.metrics["auc"]) / 2, abs=1e-6)
    assert earlier["metrics"]["auc_low"] > 0.6 and "rolling origins: 2 >= 2: ok" in best.conditions

    assert best.spans["released_calibration"] == "2025-05-26..2025-06-02"
    assert json.loads(logged["schema.json"])["spans"] == {
        "train": best.spans["released_train"],
        "calibration": best.spans["released_calibration"],
    }
    assert logged["model.txt"] != logged["tested/model.txt"]
    assert "fitted again on the newest settled days" in logged["card.md"] and logged["roc.png"].startswith(b"\x89PNG")
    assert best.left_out["tenure_days"] == "constant" and "tenure_days" in logged["selection.json"]
    assert {name.rsplit("-", 1)[0] for name in kept} == {f"{s}-{a}" for s in ("newest", "origin1") for a in ("tree", "logistic")}
    assert [models.kept_trial(name) for name in kept] == [None] * len(kept), "trials of a complete attempt"
    assert models.load("7", best.mlflow_run_id).text == logged["model.txt"]


def test_too_few_churned_users_end_before_anything_is_fitted(spark, trained, monkeypatch):
    one, inputs, _ = trained
    monkeypatch.setattr(recipe, "searched", lambda *_: pytest.fail("it was fitted"))
    labels = inputs["labels"].withColumn("churned", F.col("user_id") == "user2")
    (row,) = train({**inputs, "labels": labels}, (TODAY,), Models(spark, one, "few"), settings=one)["model_runs"].collect()
    assert (row.outcome, row.model_version, row.trials) == ("refused", None, 0)
    failed = [text for text in row.conditions if text.endswith(": failed")]
    assert "test churned: 2 >= 20: failed" in failed
    assert row.metrics["test_positives"] == 2.0 and "auc" not in row.metrics
    # it is an attempt like others: the same run finds it
    assert train(inputs, (TODAY,), Models(spark, one, "few"), settings=one)["model_runs"].collect() == [row]


def test_a_span_of_one_class_is_refused(spark, trained):
    one, inputs, _ = trained
    labels = inputs["labels"].withColumn("churned", F.col("churned") & (F.col("day") < date(2025, 5, 26)))
    with pytest.raises(Refused, match=r"the test span 2025-05-26..2025-06-02 holds one class alone: 0 of 320"):
        train({**inputs, "labels": labels}, (TODAY,), Models(spark, one, "one class"), settings=one)


def test_a_tracking_server_that_is_down_stops_before_anything_is_fitted(spark, trained, monkeypatch):
    _, inputs, _ = trained
    down = conf("unused", mlflow={"tracking_uri": "http://127.0.0.1:9"})
    monkeypatch.setattr(training.fr, "snapshots_of", lambda *_: pytest.fail("it went on"))
    with pytest.raises(JobFailed, match=r"MLflow at http://127.0.0.1:9 failed to look for an earlier attempt"):
        train(inputs, (TODAY,), Models(spark, down, "r"), settings=down)
