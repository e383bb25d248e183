"""Quality of scores against plain Python and scikit-learn."""

import math
from dataclasses import replace

import numpy as np
import pytest
from judgedday import BASE, HELD, ON, READS, alert, bins, label, of_all, release, score
from scipy.stats import beta
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from churnwatch.reports import judge_alerts
from churnwatch.reports.score_quality import metrics, profit_metrics, quality_rows
from reportworld import frames
from smallworld import settings as small_settings


def test_model_quality_equals_scikit_learn_on_the_weighted_untreated(judged):
    users = [("c", 1, HELD), ("d", 0, HELD), ("e", 1, 1.0), ("f", 1, 1.0), *((u, 0, 1.0) for u in "ghi")]
    p = np.array([0.9 - 0.08 * "abcdefghij".index(u) for u, *_ in users])
    y, w = np.array([c for _, c, _ in users]), np.array([w for *_, w in users])
    found = {r["metric"]: r for r in of_all(judged)}
    assert {r["users"] for r in found.values()} == {7} and {r["churned"] for r in found.values()} == {3}
    expected = {
        "auc": roc_auc_score(y, p, sample_weight=w),
        "average_precision": average_precision_score(y, p, sample_weight=w),
        "brier": brier_score_loss(y, p, sample_weight=w),
        "log_loss": log_loss(y, p, sample_weight=w),
        "base_rate": BASE,
        "predicted": np.average(p, weights=w),
    }
    assert {name: found[name]["metric_value"] for name in expected} == pytest.approx(expected)


def test_predicted_and_observed_rates_are_written_by_tenth_of_risk(judged):
    parts = [r for r in judged["model_quality"] if r["by"] == "tenth"]
    told = {(r["value"], r["metric"]): (r["users"], r["metric_value"]) for r in parts}
    # one untreated user in a tenth: c, e and f churned; a is the riskiest
    seen = {"8": ("c", 1.0), "7": ("d", 0.0), "6": ("e", 1.0), "5": ("f", 1.0), "4": ("g", 0.0), "3": ("h", 0.0), "2": ("i", 0.0)}
    expected = {(tenth, "base_rate"): (1, rate) for tenth, (_, rate) in seen.items()}
    expected |= {(tenth, "predicted"): (1, 0.9 - 0.08 * "abcdefghij".index(user)) for tenth, (user, _) in seen.items()}
    assert set(told) == set(expected)
    assert all(told[key] == pytest.approx(expected[key]) for key in expected)
    # values of fewer than ten users are nobody's business
    assert {r["by"] for r in judged["model_quality"]} == {"all", "tenth"}


def test_tiers_that_people_act_on_are_judged_down_to_each(judged):
    found = {r["metric"]: r["metric_value"] for r in of_all(judged)}
    # critical: a, treated; critical and high: c and d, held out, of whom c churned
    assert found["precision_critical"] is None and found["lift_critical"] is None and found["recall_critical"] == 0
    assert found["precision_high"] == pytest.approx(1 / 2)
    assert found["recall_high"] == pytest.approx(HELD / (HELD + 2)) and found["lift_high"] == pytest.approx(1 / 2 / BASE)
    assert "precision_low" not in found
    # the riskiest tenth of the weight is a part of c
    assert found["top_decile_lift"] == pytest.approx(1 / BASE)
    assert found["average_precision_lift"] == pytest.approx(found["average_precision"] / BASE)
    assert {r["note"] for r in judged["model_quality"]} == {None}
    # the team can work 100 users a day: everybody here
    assert found["capacity_share"] == 1 and found["recall_at_capacity"] == pytest.approx(1)
    assert found["precision_at_capacity"] == pytest.approx(BASE) and found["empc_cents"] > 0


def test_auc_counts_ties_as_half():
    tied = bins([(500, 3, 0.3)])
    y = np.array([1, 1, 1] + [0] * 7)
    assert metrics(tied)["auc"] == 0.5 == roc_auc_score(y, np.full(10, 0.3))
    two = bins([(500, 3, 0.3), (900, 6, 0.6)])
    y, p = np.array([1] * 3 + [0] * 7 + [1] * 6 + [0] * 4), np.array([0.3] * 10 + [0.6] * 10)
    assert metrics(two)["auc"] == pytest.approx(roc_auc_score(y, p))
    assert metrics(two)["average_precision"] == pytest.approx(average_precision_score(y, p))


def test_calibration_error_is_the_mean_gap_of_ten_groups():
    # groups 0 and 9: said 0.1 and 0.8, seen 0.3 and 0.6
    assert metrics(bins([(5, 3, 0.1), (950, 6, 0.8)]))["calibration_error"] == pytest.approx(0.2)


def test_the_top_decile_counts_the_bin_at_its_edge_by_its_share():
    # 40 users: the top ten are one bin with 6, the next with 2; a tenth is 4 of the first
    seen = metrics(bins([(990, 6, 0.6), (700, 2, 0.2), (400, 1, 0.1), (100, 1, 0.1)]))
    assert seen["top_decile_lift"] == pytest.approx(0.6 / 0.25)
    two = metrics(bins([(990, 6, 0.6), *((900 - n, 2, 0.2) for n in range(10)), *((400 - n, 0, 0.1) for n in range(9))]))
    assert two["top_decile_lift"] == pytest.approx((6 + 2) / 20 / (26 / 200))


def test_profit_is_measured_at_the_capacity_of_the_team_and_for_the_best_campaign():
    profit = {"saved_cents": 3000, "offer_cents": 300, "contact_cents": 20, "alpha": 6, "beta": 14}
    one = small_settings(model={"capacity_users": 15, "profit": profit})
    given = [(990, 6), (700, 2), (400, 1), (100, 1)]
    seen = profit_metrics(bins([(place, churned, 0.1) for place, churned in given]), one)
    # 15 of 40: the top ten with 6, and half of the next ten with 2
    assert seen["capacity_share"] == 15 / 40
    assert (seen["precision_at_capacity"], seen["recall_at_capacity"]) == pytest.approx((7 / 15, 7 / 10))
    assert seen["lift_at_capacity"] == pytest.approx(7 / 15 / (10 / 40))
    # cents a user of 40 for each cut and share of takers, the best cut for each share, the mean over Beta(6, 14)
    takers = beta(6, 14).ppf((np.arange(20_000) + 0.5) / 20_000)
    hits, taken = np.cumsum([0, 6, 2, 1, 1]), np.arange(0, 50, 10)
    earned = (np.outer(takers * 2700 - 20, hits) - 320 * (taken - hits)) / 40
    assert seen["empc_cents"] == pytest.approx(earned.max(axis=1).mean(), rel=1e-4)
    assert seen["empc_share"] == pytest.approx(taken[earned.argmax(axis=1)].mean() / 40, rel=1e-3)
    assert profit_metrics(bins([(5, 0, 0.1)]), one) == {name: 1.0 if name == "capacity_share" else None for name in seen}


def test_one_class_has_no_auc():
    assert metrics(bins([(5, 0, 0.1)]))["auc"] is None and metrics(bins([(5, 0, 0.1)]))["average_precision"] is None


@pytest.fixture(scope="module")
def challenged(spark, app_settings):
    """A day that a release and a challenger scored, smallest group 2; three users warned by two rules each."""
    users = {"a": 0.9, "b": 0.6, "c": 0.2, "d": 0.1}
    regions = dict(zip(users, ["north", "north", "south", None], strict=True))
    tenures = dict(zip(users, [0.0, 100.0, 6.0, None], strict=True))
    rows = {
        "scores": [score(u, p, n, 4) for n, (u, p) in enumerate(sorted(users.items(), key=lambda item: item[1]))],
        "shadow": [score(u, 1 - p, n, 4) | {"model_version": "5 (shadow)"} for n, (u, p) in enumerate(users.items())],
        "labels": [label(u, u in "ab") for u in users],
        "features": [{"day": ON, "user_id": u, "segment_region": regions[u], "tenure_days": tenures[u]} for u in users],
        "alerts": [
            *(alert(f"u{n}") | {"signals": ["crashes", "model"]} for n in range(2)),
            alert("v", "crashes"),
            alert("v", "silent"),
        ],
        "model_runs": [release(app_settings, reference=None)],
    }
    two = app_settings.model_copy(update={"privacy": app_settings.privacy.model_copy(update={"min_group_size": 2})})
    made = judge_alerts(frames(spark, app_settings, rows, {**READS, "shadow": "shadow_scores"}), (ON,), two)
    return {name: [row.asDict() for row in frame.collect()] for name, frame in made.items()}


def test_a_challenger_is_judged_on_the_same_users_under_its_own_name(challenged):
    aucs = {r["model_version"]: r["metric_value"] for r in of_all(challenged) if r["metric"] == "auc"}
    assert aucs == {"3": 1.0, "5 (shadow)": 0.0}


def test_scores_are_judged_by_segments_of_enough_users(challenged):
    rows = challenged["model_quality"]
    assert {(r["by"], r["value"]) for r in rows if r["by"] not in ("tenth", "tenure")} == {("all", "all"), ("region", "north")}
    # the release said 0.9 and 0.6, both churned
    north = {r["metric"]: r for r in rows if r["by"] == "region" and r["model_version"] == "3"}
    brier, losses = (0.1**2 + 0.4**2) / 2, -(math.log(0.9) + math.log(0.6)) / 2
    expected = {"base_rate": 1.0, "predicted": 0.75, "brier": brier, "log_loss": losses, "calibration_error": 0.25}
    assert {name: r["metric_value"] for name, r in north.items()} == pytest.approx(expected)
    assert {(r["users"], r["churned"]) for r in north.values()} == {(2, 2)}


def test_scores_are_judged_by_the_first_days_of_a_users_life(challenged):
    rows = [r for r in challenged["model_quality"] if r["by"] == "tenure"]
    assert {r["value"] for r in rows} == {"under 7 days"}  # the other bands have one user, or none
    assert {(r["users"], r["churned"]) for r in rows} == {(2, 1)}
    assert {r["model_version"]: r["metric_value"] for r in rows if r["metric"] == "auc"} == {"3": 1.0, "5 (shadow)": 0.0}
    assert {"base_rate", "predicted", "brier", "log_loss", "calibration_error", "auc"} == {r["metric"] for r in rows}


def test_two_rules_have_a_group_of_their_own_where_they_fired_for_enough_users(challenged):
    pairs = [(r["rule_id"], r["value"], r["fired"]) for r in challenged["alert_quality"] if r["by"] == "together"]
    assert pairs == [("crashes", "model", 2)]


def test_a_release_without_a_reference_has_no_drift(challenged):
    assert challenged["feature_drift"] == []
    assert "margin_psi" not in {r["metric"] for r in of_all(challenged)}


def test_a_day_of_one_class_says_so_in_its_note(app_settings):
    nobody_acting = {"acted": (0.0, 0.0), "acted_churned": (0.0, 0.0)}
    rows = quality_rows([replace(one, **nobody_acting) for one in bins([(5, 0, 0.1)])], None, ON, app_settings)
    value, note = next(row[5:7] for row in rows if row[2] == "auc")
    assert value is None
    assert note.startswith("one class alone: 0 of 10 users churned") and "churn definition" in note
