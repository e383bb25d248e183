"""train_model from features and labels to a release, or to a refusal with its numbers."""

import json
from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from modelworld import MODEL, TODAY, USERS, conf, world
from pyspark.sql import functions as F
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from churnwatch.core import JobFailed, Refused
from churnwatch.io.models import Models
from churnwatch.model import frame, recipe, train, training, trees, worker, worker_sums
from churnwatch.model.calibration import fit_calibration
from churnwatch.model.release_in_use import release_in_use
from churnwatch.model.schema import Schema, schema_of
from churnwatch.model.shipping import worker_model_of
from churnwatch.settings import feature_names
from churnwatch.tables import tables
from smallworld import rows


@pytest.fixture(scope="module")
def trained(spark, tmp_path_factory):
    """Settings, inputs and the one row that training on run day D left."""
    one = conf(tmp_path_factory.mktemp("files"))
    inputs = world(spark, one)
    (row,) = train(inputs, (TODAY,), Models(spark, one, "run1"), settings=one)["model_runs"].collect()
    return one, inputs, row


def labelled_of(inputs):
    """Features and labels of all snapshots, with the hash of the user, on the driver."""
    both = inputs["features"].join(inputs["labels"], ["day", "user_id"])
    return both.withColumn("user_hash", F.xxhash64("user_id")).toPandas()


@pytest.fixture(scope="module")
def labelled(trained):
    return labelled_of(trained[1])


def test_a_good_model_is_released(trained):
    one, _, row = trained
    assert (row.outcome, row.model_version, row.run_id, row.day, row.definition) == ("released", "1", "run1", TODAY, "silent")
    assert all(condition.endswith(": ok") for condition in row.conditions)
    assert row.spans == {
        "train": "2025-04-14..2025-05-05",
        "calibration": "2025-05-12..2025-05-19",
        "test": "2025-05-26..2025-06-02",
    }
    assert row.trials == 2 and 1 <= int(row.parameters["trees"]) <= 3
    # what never varies is no feature
    assert [name for name in feature_names(one) if name not in row.features] == ["tenure_days"]
    assert row.metrics["test_rows"] == 320.0 and row.metrics["train_users"] == 160.0


def test_the_metrics_are_scikit_learns_on_the_test_span(spark, trained, labelled):
    one, _, row = trained
    release = Models(spark, one, "x").load(row.model_version, row.mlflow_run_id)
    schema = Schema.from_json(release.schema)
    found = labelled[labelled["day"] >= date(2025, 5, 26)]
    label = found["churned"].astype(int).to_numpy()
    made = worker_model_of(release.text, schema, schema.features)
    margin = made.margin(made.features(found[list(schema.features)].to_numpy(float)))
    probability = worker.probabilities(margin, release.calibration)
    metrics = row.metrics
    assert metrics["auc"] == pytest.approx(roc_auc_score(label, margin), abs=2e-3)
    assert metrics["average_precision"] == pytest.approx(average_precision_score(label, margin), abs=2e-3)
    assert metrics["brier"] == pytest.approx(brier_score_loss(label, probability), abs=1e-9)
    assert metrics["log_loss"] == pytest.approx(log_loss(label, probability), abs=1e-9)
    assert metrics["base_rate"] == pytest.approx(label.mean())
    assert metrics["average_precision_lift"] == pytest.approx(metrics["average_precision"] / label.mean(), abs=1e-5)
    # the tenths are of the rows and probabilities that are judged, and the error is their mean gap
    tenths = json.loads(row.curves)["calibration"]
    rows_, said, seen = (np.array([tenth[name] for tenth in tenths]) for name in ("rows", "predicted", "observed"))
    assert ((rows_ * said).sum(), (rows_ * seen).sum()) == pytest.approx((probability.sum(), label.sum()), abs=1e-3)
    assert metrics["calibration_error"] == pytest.approx((rows_ * np.abs(said - seen)).sum() / rows_.sum(), abs=1e-5)
    assert metrics["observed_over_expected"] == pytest.approx(label.sum() / probability.sum(), abs=1e-9)
    rule = found[row.parameters["rule"]].fillna(np.inf)
    assert metrics["rule_auc"] == pytest.approx(roc_auc_score(label, rule.replace(np.inf, 1e9)), abs=1e-9)
    assert metrics["auc_minus_rule"] == pytest.approx(metrics["auc"] - metrics["rule_auc"])
    column = found[row.parameters["column"]].fillna(1e9)
    area = roc_auc_score(label, column)
    assert metrics["column_auc"] == pytest.approx(max(area, 1 - area), abs=2e-3)
    # rule and column were chosen on the calibration span: there no other is better; missing values are above all others
    before = labelled[labelled["day"].between(date(2025, 5, 12), date(2025, 5, 19))]
    areas = {name: roc_auc_score(before["churned"], before[name].fillna(1e9)) for name in feature_names(one)}
    assert row.parameters["column"] == max(areas, key=lambda name: max(areas[name], 1 - areas[name]))
    assert row.parameters["rule"] == max((name for name in areas if name.endswith("_days_since")), key=lambda name: areas[name])
    # the interval is that of the replicates' weights, user by user
    weights = worker_sums.poisson_weights(found["user_hash"].to_numpy(), one.model.bootstraps)[:, 1:]
    replicates = [roc_auc_score(label, margin, sample_weight=weights[:, n]) for n in range(weights.shape[1])]
    low, high = np.quantile(replicates, [0.025, 0.975])
    assert (metrics["auc_low"], metrics["auc_high"]) == pytest.approx((low, high), abs=2e-3)


def test_probabilities_are_calibrated_on_the_span_between_train_and_test(spark, trained, labelled):
    one, _, row = trained
    release = Models(spark, one, "x").load(row.model_version, row.mlflow_run_id)
    schema = Schema.from_json(release.schema)
    made = worker_model_of(release.text, schema, schema.features)

    def platt_of(span):
        found = labelled[labelled["day"].between(*map(date.fromisoformat, row.spans[span].split("..")))]
        margin, label = made.margin(made.features(found[list(schema.features)].to_numpy(float))), found["churned"].to_numpy(float)
        fitted = fit_calibration(margin, np.ones(len(label)), label, fewest=0.0)
        return fitted["slope"], fitted["intercept"]

    # natural rates: the weights of the rows are 1
    ours = release.calibration["slope"], release.calibration["intercept"]
    assert release.calibration["kind"] == "platt" and ours == pytest.approx(platt_of("calibration"), abs=2e-3)
    for other in ("train", "test"):
        assert ours != pytest.approx(platt_of(other), abs=0.05), f"the world tells the {other} span apart"
    days = [date.fromisoformat(day) for span in ("train", "calibration", "test") for day in row.spans[span].split("..")]
    ahead = timedelta(days=one.primary.ahead_days)
    assert days[1] + ahead <= days[2] and days[3] + ahead <= days[4]


def test_the_curves_are_points_of_the_test_span(trained):
    curves = json.loads(trained[2].curves)
    assert curves["roc"][0] == [0.0, 0.0] and curves["roc"][-1] == [1.0, 1.0]
    assert sum(bin["rows"] for bin in curves["calibration"]) == 320
    rates = [point[1] for point in curves["precision_recall"]]
    assert rates[-1] == pytest.approx(trained[2].metrics["base_rate"], abs=1e-6)


def test_quality_by_segment_stands_with_the_curves(trained, labelled):
    row = trained[2]
    found = json.loads(row.curves)["segments"]
    assert [(one["segment"], one["value"], one["rows"]) for one in found] == [("plan", "basic", 160.0), ("plan", "gold", 80.0)]
    gold = labelled[(labelled["day"] >= date(2025, 5, 26)) & (labelled["segment_plan"] == "gold")]
    assert found[1]["base_rate"] == pytest.approx(gold["churned"].mean())
    assert all(0.5 < one["auc"] < 1 and 0 < one["brier"] < 0.25 for one in found)


def test_the_same_run_returns_its_release_without_fitting(spark, trained, monkeypatch):
    one, inputs, row = trained

    def never(*_):
        raise AssertionError("it began again")

    monkeypatch.setattr(training.fr, "snapshot_days", never)
    (again,) = train(inputs, (TODAY,), Models(spark, one, "run1"), settings=one)["model_runs"].collect()
    assert again == row
    with pytest.raises(AssertionError, match="began again"):
        train(inputs, (TODAY,), Models(spark, one, "run2"), settings=one)


def test_shuffled_labels_are_refused_and_the_release_stays(spark, trained):
    one, _, released = trained
    one = one.model_copy(update={"model": one.model.model_copy(update={"algorithms": ["tree"], "max_evals": 1})})
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
    assert sum(condition.startswith("auc over the last release") for condition in row.conditions) == 1
    # neither is the last release with other probabilities released, nor a single feature
    instead = [condition for condition in failed if condition.startswith("instead ") and "auc, lower end" in condition]
    assert [condition.split(",")[0] for condition in instead] == [
        "instead the last release",
        f"instead the single feature {row.parameters['column']}",
    ]
    assert models.champion() == released.model_version
    # a release that learnt other measures under these names is no rival
    measures = {**one.measures.model_dump(by_alias=True)["measures"], "orders": {"kind": "count", "where": "event_type = 'buy'"}}
    other = conf(one.storage.files, measures={"measures": measures})
    rival, (note,) = release_in_use(inputs["model_runs"], TODAY, models, schema_of(feature_names(one), other), other)
    assert rival is None and note.endswith("features that mean something else by now (orders_1d): not compared: ok")


@pytest.mark.case(26)
def test_treated_users_and_bots_are_left_out_and_held_out_users_stay(spark, trained):
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


def area_on(labelled, first, last, candidate):
    """AUC of a candidate's margin over the labelled rows of ``first`` .. ``last``, by scikit-learn."""
    labelled = labelled[labelled["day"].between(first, last)]
    names = candidate.schema.features
    made = worker_model_of(candidate.text, candidate.schema, names)
    return roc_auc_score(labelled["churned"], made.margin(made.features(labelled[list(names)].to_numpy(float))))


@pytest.fixture(scope="module")
def several(spark, tmp_path_factory):
    """A training by two algorithms at two origins, released and rolled, with a search on half of the users: its settings, port,
    inputs and rows, and what it logged (``logged``), fitted by algorithm (``fitted``: origins from the oldest, candidates,
    release), on so many rows each (``fitted_on``), searched on (``searched_on``), and kept of its trials (``kept``)."""
    seen = SimpleNamespace(logged={}, fitted={}, fitted_on=[], searched_on=[], kept=[])
    real, real_keep, real_fit, real_search = Models._logged, Models.store_trial, recipe._candidate, recipe.search

    def log(self, mlflow, files, pictures):
        seen.logged.update(files | pictures)
        real(self, mlflow, files, pictures)

    def keep(self, name, trial):
        seen.kept.append(name)
        real_keep(self, name, trial)
        assert self.stored_trial(name) == trial

    def fit(span, *given):
        made = real_fit(span, *given)
        seen.fitted.setdefault(made.algorithm, []).append(made)
        seen.fitted_on.append(span.fit.count())
        return made

    def search(sample, *given):
        seen.searched_on.append(sample.count())
        return real_search(sample, *given)

    more = {
        "algorithms": ["tree", "logistic"],
        "search_users": USERS // 2,
        "origins": 2,
        "origin_evals": 1,
        "roll": True,
        "max_evals": 1,
    }
    model = MODEL | more | {"gate": MODEL["gate"] | {"min_origins": 2}}
    seen.settings = conf(tmp_path_factory.mktemp("several"), model=model)
    seen.inputs = world(spark, seen.settings, earlier=1)
    seen.models = Models(spark, seen.settings, "several")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Models, "_registered", lambda self, run, row, model: "7")
        for owner, name, ours in ((Models, "_logged", log), (Models, "store_trial", keep)):
            patch.setattr(owner, name, ours)
        for name, ours in (("_candidate", fit), ("search", search)):
            patch.setattr(recipe, name, ours)
        seen.rows = train(seen.inputs, (TODAY,), seen.models, settings=seen.settings)["model_runs"].collect()
    return seen


def test_algorithms_are_compared_on_the_calibration_span_and_the_best_goes_to_the_gate(several):
    best, other = several.rows
    assert (best.outcome, best.model_version, best.trials) == ("released", "7", 1)
    assert (other.outcome, other.model_version, other.trials) == ("refused", None, 1)
    assert {best.algorithm, other.algorithm} == {"tree", "logistic"}
    ours, theirs = best.metrics["calibration_auc"], other.metrics["calibration_auc"]
    span = date(2025, 5, 12), date(2025, 5, 19)
    labelled = labelled_of(several.inputs)
    areas = {name: area_on(labelled, *span, fitted[2]) for name, fitted in several.fitted.items()}
    assert (ours, theirs) == pytest.approx((areas[best.algorithm], areas[other.algorithm]), abs=2e-3)
    assert areas[best.algorithm] > areas[other.algorithm] + 0.004, "the world tells the two apart"
    assert "auc" not in other.metrics, "the test span belongs to the one that went to the gate"
    told = f"auc on the calibration span: {theirs:.4f} >= {ours:.4f} of {best.algorithm}, which went to the gate: failed"
    assert other.conditions == [told]


def test_the_search_uses_a_sample_and_the_final_fit_all_users(several):
    whole = 4 * USERS
    # a tree's root holds the rows that it was grown on
    earlier, sketch, newest = (trees.parse(made.text)[0].internal_count[0] for made in several.fitted["tree"][:3])
    assert newest == several.rows[0].metrics["train_rows"] == whole
    # at the origins the sample alone is fitted, at the newest one too: all have equal means
    assert all(0.2 * whole < rows < 0.6 * whole for rows in (*several.searched_on, earlier, sketch))
    assert several.fitted_on == [earlier, earlier, sketch, sketch, whole, whole, whole], "origins, candidates, released"


def test_the_procedure_is_tested_at_an_earlier_origin_and_a_passing_model_is_fitted_on_the_newest_days(several):
    best, logged = several.rows[0], several.logged
    earlier, newest = json.loads(best.origins)
    assert (earlier["spans"]["test"], newest["spans"]["test"]) == ("2025-05-12..2025-05-19", best.spans["test"])
    assert earlier["spans"]["train"] == "2025-03-31..2025-04-21"
    assert best.metrics["origins_auc"] == pytest.approx((earlier["metrics"]["auc"] + newest["metrics"]["auc"]) / 2, abs=1e-6)
    assert newest["metrics"]["auc"] != best.metrics["auc"], "the candidate had all users and its own search"
    assert earlier["metrics"]["auc_low"] > 0.6 and "rolling origins: 2 >= 2: ok" in best.conditions

    assert best.spans["released_calibration"] == "2025-05-26..2025-06-02"
    assert json.loads(logged["schema.json"])["spans"] == {
        "train": best.spans["released_train"],
        "calibration": best.spans["released_calibration"],
    }
    assert logged["model.txt"] != logged["tested/model.txt"]
    assert "fitted again on the newest settled days" in logged["card.md"] and logged["roc.png"].startswith(b"\x89PNG")
    assert best.left_out["tenure_days"] == "constant" and "tenure_days" in logged["selection.json"]
    names = {name.rsplit("-", 1)[0] for name in several.kept}
    assert names == {f"{s}-{a}" for s in ("newest", "origin1") for a in ("tree", "logistic")}
    assert [several.models.stored_trial(name) for name in several.kept] == [None] * len(several.kept), "of a complete attempt"
    assert several.models.load("7", best.mlflow_run_id).text == logged["model.txt"]


@pytest.mark.case(30)
def test_too_few_churned_users_are_refused_before_anything_is_fitted(spark, trained, monkeypatch):
    one, inputs, _ = trained
    monkeypatch.setattr(recipe, "search", lambda *_: pytest.fail("it was fitted"))
    labels = inputs["labels"].withColumn("churned", F.col("user_id") == "user2")
    (row,) = train({**inputs, "labels": labels}, (TODAY,), Models(spark, one, "few"), settings=one)["model_runs"].collect()
    assert (row.outcome, row.model_version, row.trials) == ("refused", None, 0)
    failed = [text for text in row.conditions if text.endswith(": failed")]
    advice = "wait for more, lengthen model.test_days, or lower model.gate.min_positives"
    assert f"test churned: 2 >= 20 ({advice}): failed" in failed
    assert row.metrics["test_positives"] == 2.0 and "auc" not in row.metrics
    # it is an attempt like others: the same run finds it
    assert train(inputs, (TODAY,), Models(spark, one, "few"), settings=one)["model_runs"].collect() == [row]


@pytest.mark.case(30)
def test_a_span_of_one_class_is_refused(spark, trained):
    one, inputs, _ = trained
    labels = inputs["labels"].withColumn("churned", F.col("churned") & (F.col("day") < date(2025, 5, 26)))
    with pytest.raises(Refused, match=r"the test span 2025-05-26..2025-06-02 holds one class alone: 0 of 320.*look at the churn"):
        train({**inputs, "labels": labels}, (TODAY,), Models(spark, one, "one class"), settings=one)


@pytest.mark.case(34)
def test_an_unreachable_tracking_server_fails_before_anything_is_fitted(spark, trained, monkeypatch):
    _, inputs, _ = trained
    down = conf("unused", mlflow={"tracking_uri": "http://127.0.0.1:9"})
    monkeypatch.setattr(training.fr, "snapshot_days", lambda *_: pytest.fail("it went on"))
    told = (
        r"MLflow at http://127.0.0.1:9 failed to look for an earlier attempt.*correct mlflow.tracking_uri, then run the job again"
    )
    with pytest.raises(JobFailed, match=told):
        train(inputs, (TODAY,), Models(spark, down, "r"), settings=down)
