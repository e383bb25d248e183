"""score_users with a release made by hand: every number can be worked out in plain Python."""

import json
import os
import pickle
import subprocess
import sys
from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from lightgbm import Booster
from pyspark import cloudpickle
from pyspark.sql import functions as F

from churnwatch.core import JobFailed, Refused, Skipped
from churnwatch.model.schema import Schema, schema_of
from churnwatch.model.shipping import worker_model_of
from churnwatch.model.trees import to_text
from churnwatch.scoring import score_users, stage_scores, worker
from churnwatch.scoring.causes import rule_columns, with_rule_inputs
from churnwatch.scoring.cuts import rank_cells
from churnwatch.scoring.score import _scorer, apply_release, with_tier
from churnwatch.scoring.worker_causes import surprise_of
from churnwatch.tables import tables
from smallworld import SMALL, rows, settings

DAY = date(2025, 6, 2)
FEATURES = ["orders_4d", "orders_trend", "cancels_2d", "cancel_rate_4d", "events_days_since", "spend_cents_4d"]
NUMBERS = [*FEATURES, "events_4d", "cancels_4d"]
TIERS = {
    "tiers": [
        {"name": "critical", "top_users": 3, "level": "red"},
        {"name": "high", "top_share": 0.3},
        {"name": "medium", "min_probability": 0.5},
        {"name": "low"},
    ],
    "levels": [{"name": "red", "owner": "o", "within_days": 1}],
}
CAUSES = {
    "least": 2.5,
    "prior_events": 0.5,
    "causes": {
        "price": {"title": "Price", "measures": ["cancels", "orders"], "symptoms": ["cancels"]},
        "silence": {"title": "Silence", "measures": ["events"], "general": True},
        "contract": {"title": "Contract", "measures": []},
    },
}
RULES = {
    "rules": [
        {
            "id": "ends",
            "title": "the contract ends",
            "when": "plan = 'gold' AND orders_4d >= 3",
            "level": "red",
            "cause": "contract",
        },
        {"id": "quiet", "title": "quiet", "when": "events_days_since >= 1", "level": "red", "cause": "silence"},
        {"id": "risky", "title": "risky", "when": "probability >= 0", "level": "red", "cause": "contract"},
    ]
}
ACTIONABLE = {name: measure | {"actionable": name == "orders"} for name, measure in SMALL["measures"]["measures"].items()}
# what is usual: by plan, and for everybody else
REFERENCE = {
    "usual": {
        "by": "segment_plan",
        "values": ["basic", "gold"],
        "medians": {name: [10.0 + n, 20.0 + n, 30.0 + n] for n, name in enumerate(FEATURES[:-1])},
        "rows": [1000, 1000, 4000],
        "per": "events",
        "means": {"events_4d": [20.0, 20.0, 20.0]},
        "rates": {"cancels_4d": [0.02, 0.1, 0.02]},
    }
}
CALIBRATION = {"kind": "isotonic", "margins": [-3.0, 0.0, 3.0], "probabilities": [0.05, 0.4, 0.9]}


def split(at, prediction, feature, threshold, count=10):
    """An inner node whose children are ``2 at + 1`` and ``2 at + 2``."""
    kids = {"left": 2 * at + 1, "right": 2 * at + 2}
    return {"id": at, "prediction": prediction, "count": count, "gain": 1.0, "feature": feature, "threshold": threshold, **kids}


def leaf(at, prediction):
    return {"id": at, "prediction": prediction, "count": 5, "gain": 0.0, "left": -1, "right": -1, "feature": -1, "threshold": 0.0}


# margins are 2 x weight x prediction
TREES = [
    (
        1.0,
        [
            split(0, 0.1, 0, 2.5, count=20),
            split(1, 0.5, 4, 0.5),
            split(2, -0.3, 2, 1.5),
            leaf(3, 0.2),
            leaf(4, 0.9),
            leaf(5, -0.6),
            leaf(6, 0.4),
        ],
    ),
    (0.5, [split(0, 0.0, 1, -0.2, count=15), leaf(1, 0.6), split(2, -0.2, 5, 300.0), leaf(5, 0.1), leaf(6, -0.7)]),
    (0.5, [split(0, 0.05, 3, 0.3), leaf(1, -0.1), leaf(2, 0.8)]),
]


def margin_of(user):
    """The trees above, spelled out."""
    orders, trend, cancels, rate, since, spend = user
    first = (0.2 if since <= 0.5 else 0.9) if orders <= 2.5 else (-0.6 if cancels <= 1.5 else 0.4)
    second = 0.6 if trend <= -0.2 else (0.1 if spend <= 300.0 else -0.7)
    third = -0.1 if rate <= 0.3 else 0.8
    return 2 * first + second + third


def users(count=60):
    rng = np.random.default_rng(2)
    given = []
    for n in range(count):
        values = [int(rng.integers(0, 5)), round(float(rng.uniform(-1, 1)), 3), int(rng.integers(0, 4))]
        values += [round(float(rng.random()), 3), int(rng.integers(0, 2)), int(rng.integers(0, 600))]
        if n % 6 == 0:
            values[1] = values[3] = None
        given.append(
            {
                "user_id": f"user{n}",
                "day": DAY,
                "segment_plan": [None, "gold", "basic", "new"][n % 4],
                "events_4d": 20.0,
                "cancels_4d": None if n % 7 == 6 else float(n % 7),  # of the cause price, and no feature of the model
                **dict(zip(FEATURES, map(lambda v: v if v is None else float(v), values), strict=True)),
            }
        )
    return given


class Stub:
    """A port that knows one release."""

    def __init__(self, one, features=FEATURES):
        text = to_text(TREES, FEATURES, range(len(FEATURES)))
        schema = schema_of(FEATURES, one).to_json() | {"features": list(features)}
        self.release = SimpleNamespace(
            version="7", text=text, calibration=CALIBRATION, schema=json.loads(json.dumps(schema)), reference=REFERENCE
        )

    def load(self, version, mlflow_run_id, wanted_hash):
        assert (version, mlflow_run_id, wanted_hash) == ("7", "m7", "h7")
        return self.release


def active(spark, one, *counts):
    """Rows of daily_activity with so many events of the primary definition; a user may have several days."""
    days = {}
    made = []
    for user, count in counts:
        days[user] = days.get(user, -1) + 1
        made.append({"day": DAY - timedelta(days=days[user]), "user_id": user, "events": 1, "def_silent": count})
    return rows(spark, tables(one).daily_activity, made)


def runs(spark, one, *given):
    base = {
        "run_id": "r",
        "algorithm": "gbt",
        "definition": "silent",
        "outcome": "released",
        "mlflow_run_id": "m7",
        "model_version": "7",
        "artifacts_hash": "h7",
    }
    return rows(spark, tables(one).model_runs, [{**base, **row} for row in given])


def scored_by(port, inputs, one):
    """The job's two steps, as the runner makes them."""
    made = {**inputs, **stage_scores(inputs, (DAY,), port, settings=one)}
    return score_users({name: frame for name, frame in made.items() if name != "features"}, (DAY,), settings=one)


@pytest.fixture(scope="module")
def scored(spark):
    """Settings, the users given, and their rows of user_scores by user."""
    measures = {"measures": ACTIONABLE}
    one = settings(tiers=TIERS, causes=CAUSES, rules=RULES, measures=measures, model={"value": "spend_cents_4d * 1.5"})
    given = users()
    gone, robot = {**given[0], "user_id": "gone"}, {**given[0], "user_id": "robot", "bot": True}
    inputs = {
        "features": rows(spark, tables(one).user_features, [*given, gone, robot]).repartition(3),
        "users": rows(
            spark, tables(one).users, [{"user_id": u["user_id"], "attributes": {"plan": u["segment_plan"]}} for u in given]
        ),
        # a bill came for 'gone', but nothing that the churn definition counts
        "before": active(spark, one, *((user["user_id"], 1) for user in given), ("user0", 1), ("gone", 0), ("robot", 1)),
        "scores": rows(
            spark,
            tables(one).user_scores,
            [
                {"day": date(2025, 5, 30), "user_id": "user3", "tier": "low"},
                {"day": date(2025, 5, 31), "user_id": "user3", "tier": "high"},
            ],
        ),
        "model_runs": runs(
            spark,
            one,
            {"day": date(2025, 5, 1), "model_version": "6", "mlflow_run_id": "m6"},
            {"day": date(2025, 6, 1)},
            {"day": date(2025, 6, 1), "outcome": "refused", "model_version": None},
            {"day": date(2025, 6, 3), "model_version": "8", "mlflow_run_id": "m8"},
        ),
    }
    found = scored_by(Stub(one), inputs, one)["user_scores"]
    assert found.columns == tables(one).user_scores.schema.names
    hashes = inputs["features"].select("user_id", F.xxhash64("user_id").alias("h")).collect()
    return one, given, {row.user_id: row for row in found.collect()}, {row.user_id: row.h for row in hashes}


def filled(user):
    fills = [0.0, 0.0, 0.0, 0.0, 5.0, 0.0]
    return [fill if user[name] is None else user[name] for name, fill in zip(FEATURES, fills, strict=True)]


def test_every_eligible_user_is_scored_by_the_release_as_of_the_day(scored):
    _, given, found, _ = scored
    assert set(found) == {user["user_id"] for user in given}  # 'gone' has churned already
    for user in given:
        row = found[user["user_id"]]
        assert row.margin == pytest.approx(margin_of(filled(user)), abs=1e-12)
        assert row.probability == pytest.approx(np.interp(row.margin, CALIBRATION["margins"], CALIBRATION["probabilities"]))
        assert row.value_cents == int(np.floor(user["spend_cents_4d"] * 1.5 + 0.5))
        assert row.value_at_risk_cents == pytest.approx(row.probability * row.value_cents, abs=0.5)
        assert row.model_version == "7"
    assert {row.user_id: row.previous_tier for row in found.values() if row.previous_tier} == {"user3": "high"}


def test_percentiles_and_tiers_equal_those_of_a_sort(scored):
    _, _, found, hashes = scored
    low, high = -1.2 - 0.7 - 0.1, 1.8 + 0.6 + 0.8

    def rank(row):
        bin_ = min(int((row.margin - low) / (high - low) * 10_000), 9_999)
        return bin_, ((hashes[row.user_id] % 2**64) >> 32) * 100 >> 32

    order = sorted(found.values(), key=rank)
    cells = [rank(row) for row in order]
    for row in order:
        below = sum(cell < rank(row) for cell in cells)
        position = sum(cell >= rank(row) for cell in cells)
        assert row.percentile == pytest.approx(below / 60)
        expected = "critical" if position <= 3 else "high" if position <= 18 else "medium" if row.probability >= 0.5 else "low"
        assert row.tier == expected
    assert {row.tier for row in order} == {"critical", "high", "medium", "low"}


def test_reasons_add_up_to_the_margin_and_group_windows_of_a_measure(scored):
    _, given, found, _ = scored
    by_id = {user["user_id"]: user for user in given}
    for row in found.values():
        assert sum(reason.contribution for reason in row.reasons) == pytest.approx(row.margin, abs=1e-12)
        assert [reason.measure for reason in row.reasons[3:]] == ["(other)", "(base)"]
        sizes = [abs(reason.contribution) for reason in row.reasons[:3]]
        assert sizes == sorted(sizes, reverse=True)
        for reason in row.reasons[:3]:
            own = [name for name in FEATURES if name.startswith(reason.measure + "_")]
            assert reason.feature in own and reason.value == by_id[row.user_id][reason.feature]
            cause = {"cancels": "price", "orders": "price", "events": "silence"}.get(reason.measure)
            assert reason.cause == (cause if reason.contribution > 0 else None)


def shapley(one, user):
    """LightGBM's own values, the expected one last."""
    return Booster(model_str=Stub(one).release.text).predict([filled(user)], pred_contrib=True)[0]


def test_reasons_are_exact(scored):
    one, given, found, _ = scored
    for user in given:
        row, exact = found[user["user_id"]], shapley(one, user)
        by_measure = {"orders": exact[0] + exact[1], "cancels": exact[2], "cancel_rate": exact[3], "events": exact[4]}
        assert row.reasons[4].contribution == pytest.approx(exact[-1], abs=1e-12)
        assert all(r.contribution == pytest.approx(by_measure.get(r.measure, exact[5]), abs=1e-12) for r in row.reasons[:3])


@pytest.mark.parametrize("at_least", [False, True])
def test_reasons_of_deep_forests_are_exact_only_in_tiers_with_a_level(spark, scored, monkeypatch, at_least):
    _, given, found, _ = scored
    monkeypatch.setattr("churnwatch.model.shap.MOST_BYTES", 10)
    by_probability = {"name": "critical", "min_probability": 0.5, "level": "red"}
    own = {**TIERS, "tiers": [by_probability, {"name": "low"}]} if at_least else TIERS
    one = settings(tiers=own, causes=CAUSES, model={"value": "spend_cents_4d * 1.5"})
    people = rows(spark, tables(one).user_features, given)
    tiers = one.tiers.tiers
    made = apply_release(Stub(one).release, people, tiers, DAY, one).withColumn("previous_tier", F.lit(None).cast("string"))
    deep = with_tier(made, tiers, one).collect()
    model = worker_model_of(Stub(one).release.text, schema_of(FEATURES, one), FEATURES, reasons=True)
    assert model.base == pytest.approx(2 * 0.1 + 0.0 + 0.05) and abs(model.base - model.expected) > 0.01
    by_id = {user["user_id"]: user for user in given}
    acted_on = {row.user_id for row in deep if row.tier == "critical"}
    assert 0 < len(acted_on) < len(deep) == len(given)
    for row in deep:
        exact = shapley(one, by_id[row.user_id])
        base = model.expected if row.user_id in acted_on else model.base
        assert row.margin == pytest.approx(found[row.user_id].margin, abs=1e-12)
        assert row.reasons[4].contribution == pytest.approx(base, abs=1e-12)
        assert sum(reason.contribution for reason in row.reasons) == pytest.approx(row.margin, abs=1e-12)
        if row.user_id in acted_on:
            assert row.reasons[4].contribution == pytest.approx(exact[-1], abs=1e-12)
            assert {r.measure for r in row.reasons} == {r.measure for r in found[row.user_id].reasons}


def test_the_cause_is_of_a_rule_else_of_symptoms_else_the_general_one(scored):
    _, given, found, _ = scored
    named = set()
    for user in given:
        row, plan, cancels = found[user["user_id"]], user["segment_plan"], user["cancels_4d"] or 0.0
        # 100 or 400 cancels of a segment's 20,000 events, beside 20 of the prior
        expected = 20.0 * {"basic": 0.02, "gold": (2000 + 20) / (20_000 + 20 / 0.02)}.get(plan, 0.02)
        surprise = surprise_of(np.array([cancels]), np.array([expected]), 0.5)[0]
        assert row.causes == {"price": pytest.approx(surprise, abs=1e-4)}
        shown = {"measure": "cancels", "days": 4, "value": cancels, "usual": pytest.approx(expected, abs=1e-4)}
        if plan == "gold" and user["orders_4d"] >= 3:
            assert (row.cause, row.cause_rule, row.evidence) == ("contract", "ends", [])
        elif surprise > 2.5:
            assert (row.cause, row.cause_rule, [one.asDict() for one in row.evidence]) == ("price", None, [shown])
        elif user["events_days_since"] >= 1:
            assert (row.cause, row.cause_rule, row.evidence) == ("silence", "quiet", [])
        else:
            assert row.cause in ("silence", None) and row.cause_rule is None and row.evidence == []
        named.add((row.cause, row.cause_rule))
    assert named >= {("contract", "ends"), ("price", None), ("silence", "quiet"), (None, None)}


def test_conditions_of_rules_find_attributes_and_indicators_of_all_users(spark):
    above = {
        "id": "above",
        "title": "t",
        "when": "cancels_4d > cancelling_base AND plan = 'gold'",
        "level": "red",
        "cause": "price",
    }
    indicators = {"indicators": {"cancelling": {"of": "cancels"}}}
    one = settings(causes=CAUSES, tiers=TIERS, rules={"rules": [above]}, measures=indicators)
    people = [
        {"day": DAY, "user_id": user, "cancels_4d": cancels} for user, cancels in (("few", 2.0), ("many", 3.0), ("basic", 3.0))
    ]
    plans = [
        {"user_id": user, "attributes": {"plan": "basic" if user == "basic" else "gold"}} for user in ("few", "many", "basic")
    ]

    def trend(day, segment, cancelling):
        return {"day": day, "segment": segment, "value": "x", "indicators": {"cancelling": cancelling}}

    newest, older = DAY - timedelta(days=1), DAY - timedelta(days=2)
    days = [trend(newest, "all", 2.0), trend(older, "all", 0.0), trend(newest, "plan", 0.0)]
    for given, expected in ((days, {"few": None, "many": 0, "basic": None}), ([], dict.fromkeys(("few", "many", "basic")))):
        inputs = {"users": rows(spark, tables(one).users, plans), "trend": rows(spark, tables(one).activity_trend, given)}
        made = with_rule_inputs(rows(spark, tables(one).user_features, people), inputs, one)
        found = made.select("user_id", *rule_columns(made, DAY, one)).collect()
        assert {row["user_id"]: row["rule_0"] for row in found} == expected


def test_the_improvement_is_the_actionable_measure_with_its_usual_values(scored):
    _, given, found, _ = scored
    lowered = 0
    for user in given:
        row, first = found[user["user_id"]], {"basic": 10.0, "gold": 20.0}.get(user["segment_plan"], 30.0)
        usual = [first, first + 1, *filled(user)[2:]]
        if margin_of(usual) < row.margin - 1e-9:
            lowered += 1
            assert row.improvement.measure == "orders" and row.improvement.feature in ("orders_4d", "orders_trend")
            assert row.improvement.value == user[row.improvement.feature]
            assert row.improvement.usual == usual[FEATURES.index(row.improvement.feature)]
            after = np.interp(margin_of(usual), CALIBRATION["margins"], CALIBRATION["probabilities"])
            assert row.improvement.probability == pytest.approx(after)
        else:
            assert row.improvement is None
    assert 0 < lowered < len(given)


def test_usual_values_are_those_of_the_segment_or_of_all_users(scored):
    _, given, found, _ = scored
    for user in given:
        first = {"basic": 10.0, "gold": 20.0}.get(user["segment_plan"], 30.0)
        for reason in found[user["user_id"]].reasons:
            own = [n for n, name in enumerate(FEATURES) if name.startswith(reason.measure + "_")]
            # spend_cents_4d was not known to the reference
            assert reason.usual in [first + n if n < 5 else None for n in own] if own else reason.usual is None
    assert {r.usual for row in found.values() for r in row.reasons if r.measure == "cancels"} == {12.0, 22.0, 32.0}


def test_a_reason_by_hand(monkeypatch):
    monkeypatch.setattr("churnwatch.model.shap.MOST_BYTES", 10)  # contributions along the paths can be worked out by hand
    one = settings(causes=CAUSES)
    release = Stub(one).release
    scorer, segment = _scorer(release, Schema.from_json(release.schema), NUMBERS, ["segment_plan"], DAY, one)
    assert segment == "segment_plan"
    raw = np.array([[1.0, np.nan, 0.0, 0.9, 1.0, 400.0]])
    margin, added = scorer.model.along_paths(scorer.model.features(raw))
    # tree 1: orders 0.1 -> 0.5 -> events 0.9; tree 2: trend (missing: 0) 0 -> -0.2 -> spend -0.7; tree 3: rate 0.05 -> 0.8
    assert margin.tolist() == pytest.approx([1.8 - 0.7 + 0.8])
    # by measure: orders 0.8 and -0.2, cancels, cancel rate, events, spend
    assert added[:, 0].tolist() == pytest.approx([0.6, 0.0, 0.75, 0.8, -0.5])
    row, base = np.array([0]), np.array([scorer.model.base])
    leading = worker.leading_features(raw, row, scorer)
    assert leading[:, 0].tolist() == [0, 2, 3, 4, 5]  # of orders the window that differs, not the missing trend
    (reasons,) = worker.reason_lists(raw, added, base, leading, row, scorer).to_pylist()
    assert [(r["measure"], r["feature"], r["value"], r["cause"], r["usual"]) for r in reasons] == [
        ("events", "events_days_since", 1.0, "silence", 14.0),
        ("cancel_rate", "cancel_rate_4d", 0.9, None, 13.0),
        ("orders", "orders_4d", 1.0, "price", 10.0),
        ("(other)", None, None, None, None),
        ("(base)", None, None, None, None),
    ]
    assert [r["contribution"] for r in reasons] == pytest.approx([0.8, 0.75, 0.6, -0.5, 0.25])


def test_without_the_segment_the_usual_values_of_all_users_remain():
    one = settings(causes=CAUSES)
    release = Stub(one).release
    scorer, segment = _scorer(release, Schema.from_json(release.schema), NUMBERS, FEATURES, DAY, one)
    assert segment is None and scorer.segments == []
    assert [rates.tolist() for rates in scorer.causes.symptoms[0].rates] == [[0.02]]
    assert scorer.usual[0, :5].tolist() == [30.0, 31.0, 32.0, 33.0, 34.0] and len(scorer.usual) == 1
    release.reference = None
    scorer, segment = _scorer(release, Schema.from_json(release.schema), FEATURES, ["segment_plan"], DAY, one)
    assert segment is None and np.isnan(scorer.usual).all() and scorer.usual.shape == (1, 6)


class Both(Stub):
    """A port that knows the release and a refused attempt of one tree."""

    def load(self, version, mlflow_run_id, wanted_hash):
        if mlflow_run_id == "m7":
            return self.release
        if mlflow_run_id == "down":
            raise JobFailed("MLflow at x failed to load")
        assert (version, mlflow_run_id, wanted_hash) == ("refused one", "refused one", "h9")
        return SimpleNamespace(**{**vars(self.release), "text": to_text(TREES[:1], FEATURES, range(len(FEATURES)))})


def test_a_challengers_scores_are_written_separately_and_its_failure_is_only_logged(spark, caplog):
    given = users(8)

    def inputs_with(challenger):
        one = settings(tiers=TIERS, causes=CAUSES, model={"challenger": challenger})
        refused = {"day": DAY, "run_id": "s", "outcome": "refused", "model_version": None, "artifacts_hash": "h9"}
        runs_ = [{"day": DAY}, refused | {"mlflow_run_id": "refused one"}, refused | {"run_id": "t", "mlflow_run_id": "down"}]
        inputs = {
            "features": rows(spark, tables(one).user_features, given),
            "before": active(spark, one, *((user["user_id"], 1) for user in given)),
            "scores": rows(spark, tables(one).user_scores, []),
            "model_runs": runs(spark, one, *runs_),
        }
        return one, inputs

    one, inputs = inputs_with("refused one")
    made = scored_by(Both(one), inputs, one)
    assert made["shadow_scores"].columns == tables(one).shadow_scores.schema.names
    shadow = {row.user_id: row for row in made["shadow_scores"].collect()}
    assert set(shadow) == {user["user_id"] for user in given} == {row.user_id for row in made["user_scores"].collect()}
    for user in given:
        row = shadow[user["user_id"]]
        orders, _, cancels, _, since, _ = filled(user)
        first = (0.2 if since <= 0.5 else 0.9) if orders <= 2.5 else (-0.6 if cancels <= 1.5 else 0.4)
        assert row.margin == pytest.approx(2 * first) and row.model_version == "refused one (shadow)"
    assert {row.tier for row in shadow.values()} >= {"critical"}
    for wrong, why in (("unknown", "model_runs knows no attempt"), ("down", "MLflow at x failed to load")):
        one, inputs = inputs_with(wrong)
        made = stage_scores(inputs, (DAY,), Both(one), settings=one)
        assert set(made) == {"scored", "challenged"} and made["challenged"].isEmpty()
        assert f"challenger {wrong} was not applied: {why}" in caplog.text


def test_without_a_release_the_job_is_skipped_with_the_command(spark):
    one = settings()
    later = runs(spark, one, {"day": date(2025, 6, 3)}, {"day": DAY, "outcome": "refused"}, {"day": DAY, "definition": "other"})
    with pytest.raises(Skipped, match=r"no release as of 2025-06-02: .*`churnwatch run train_model --day 2025-06-02`"):
        stage_scores({"model_runs": later}, (DAY,), Stub(one), settings=one)


@pytest.mark.case(33)
def test_features_that_are_gone_are_refused_by_name(spark):
    one = settings()
    inputs = {"features": rows(spark, tables(one).user_features, []), "model_runs": runs(spark, one, {"day": DAY})}
    port = Stub(one, features=["old_4d", *FEATURES[1:]])
    with pytest.raises(
        Refused, match=r"version 7 reads 1 features that user_features lacks \(old_4d\): train a model .*train_model"
    ):
        stage_scores(inputs, (DAY,), port, settings=one)


@pytest.mark.case(33)
def test_a_redefined_measure_is_refused_unless_the_release_has_no_stored_meanings(spark, caplog):
    caplog.set_level("INFO")
    one = settings()
    inputs = {
        "features": rows(spark, tables(one).user_features, []),
        "model_runs": runs(spark, one, {"day": DAY}),
        "before": active(spark, one),
    }
    measures = {
        **one.measures.model_dump(by_alias=True)["measures"],
        "cancels": {"kind": "count", "where": "event_type = 'stop'"},
    }
    port = Stub(settings(measures={"measures": measures}))
    told = (
        r"version 7 was trained with cancels_2d = `count where event_type = 'stop'`, measures.yaml now defines it as "
        r"`count where event_type = 'cancel'` \(1 more features changed\); nothing was scored. Hint: undo the change"
    )
    with pytest.raises(Refused, match=told):
        stage_scores(inputs, (DAY,), port, settings=one)
    del port.release.schema["meanings"]
    assert set(stage_scores(inputs, (DAY,), port, settings=one)) == {"scored"}
    assert "version 7 has no stored feature definitions: its features were checked by name only" in caplog.text


def test_a_day_without_users_gives_no_rows(spark):
    one = settings(tiers=TIERS)
    contracts = tables(one)
    inputs = {"features": rows(spark, contracts.user_features, []), "scores": rows(spark, contracts.user_scores, [])}
    inputs |= {"model_runs": runs(spark, one, {"day": DAY}), "before": active(spark, one)}
    assert scored_by(Stub(one), inputs, one)["user_scores"].collect() == []


def test_users_of_one_cell_are_counted_together():
    # cells 5, 9, 20 hold 4, 3 and 2 users
    ranks = rank_cells(np.array([9, 20, 5]), np.array([3, 2, 4]))
    assert ranks.cells.tolist() == [5, 9, 20] and ranks.users == 9
    assert ranks.percentile.tolist() == pytest.approx([0, 4 / 9, 7 / 9])
    assert ranks.position.tolist() == [9, 5, 2]


def test_workers_need_nothing_of_ours(tmp_path):
    model = worker_model_of(to_text(TREES, FEATURES, range(6)), schema_of(FEATURES, settings()), FEATURES)
    release = Stub(settings(causes=CAUSES)).release
    scorer, _ = _scorer(release, Schema.from_json(release.schema), NUMBERS, ["segment_plan"], DAY, settings(causes=CAUSES))
    (tmp_path / "sent").write_bytes(cloudpickle.dumps((worker.count_cells, model, worker.score_batches, scorer)))
    code = """
import pickle, sys
sys.modules["churnwatch"] = sys.modules["pydantic"] = sys.modules["mlflow"] = None
import pyarrow as pa
count_cells, model, score_batches, scorer = pickle.load(open(sys.argv[1], "rb"))
features = {f"feature_{n}": [1.0, 1.0] for n in range(7)} | {"feature_7": [0.0, 4.0]}
given = {"user_id": ["a", "b"], "user_hash": [5, 5], "value_cents": [1, 1], "user_group": ["", ""], "segment": ["gold", None]}
batch = pa.RecordBatch.from_pydict(given | features)
(found,) = count_cells(iter([batch]), model)
(scored,) = score_batches(iter([batch]), scorer)
print(found.to_pydict()["users"], scored.to_pydict()["cause"][1])
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path / "sent")], capture_output=True, text=True, env=environment)
    assert ran.stdout.strip() == "[2] price", ran.stderr
    assert pickle.loads((tmp_path / "sent").read_bytes())


def test_tiers_are_cut_within_each_value_of_a_segment(spark):
    one = settings(tiers=TIERS | {"by": "plan"})
    given = [user | {"segment_plan": "gold" if n < 20 else None} for n, user in enumerate(users())]
    inputs = {
        "features": rows(spark, tables(one).user_features, given).repartition(3),
        "before": active(spark, one, *((user["user_id"], 1) for user in given)),
        "scores": rows(spark, tables(one).user_scores, []),
        "model_runs": runs(spark, one, {"day": DAY}),
    }
    plans = {user["user_id"]: user["segment_plan"] for user in given}
    found = scored_by(Stub(one), inputs, one)["user_scores"].collect()
    assert len(found) == 60
    for plan, size in (("gold", 20), (None, 40)):
        mine = sorted((row for row in found if plans[row.user_id] == plan), key=lambda row: -row.percentile)
        critical = [row.user_id for row in mine if row.tier == "critical"]
        assert 1 <= len(critical) <= 3 and critical == [row.user_id for row in mine[: len(critical)]]
        assert len([row for row in mine if row.tier in ("critical", "high")]) <= 0.3 * size
