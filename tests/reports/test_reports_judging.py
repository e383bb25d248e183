"""Quality of warnings and scores against plain Python and scikit-learn."""

import json
import math
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from churnwatch.core import Skipped
from churnwatch.core.intervals import wilson_interval
from churnwatch.model.schema import schema_of
from churnwatch.model.worker_model import fingerprint
from churnwatch.reports import judge_alerts
from churnwatch.reports.alert_quality import alert_quality
from churnwatch.reports.drift import measure_drift
from churnwatch.reports.labelled_users import per_labelled_user
from churnwatch.reports.page.rule_review import overlapping_rules, unproven_rules
from churnwatch.reports.score_quality import Bin, metrics, profit_metrics
from churnwatch.reports.threshold_advice import advise_threshold, objection_to_move
from churnwatch.reports.thresholds import LevelHistory, share_at_or_above, threshold_rows
from churnwatch.settings import Tier, load
from churnwatch.tables import tables
from reportworld import frame, frames
from smallworld import settings as small_settings

CONF = Path(__file__).resolve().parents[2] / "conf" / "local.yaml"
ON = date(2025, 9, 11)
READS = {
    "scores": "user_scores",
    "alerts": "risk_alerts",
    "alert_events": "alert_events",
    "cases": "risk_alerts",
    "actions": "retention_actions",
    "features": "user_features",
    "labels": "user_labels",
    "thresholds": "thresholds",
    "model_runs": "model_runs",
}
# deciles of training: half below 1, half above, nobody missing
HALVES = {"edges": [1.0], "shares": [0.5, 0.5], "missing": 0.0}


@pytest.fixture(scope="module")
def settings():
    """The app domain."""
    return load(CONF)


def score(user, p, rank, total):
    """A row of user_scores."""
    return {
        "day": ON,
        "user_id": user,
        "margin": 0.0,
        "probability": p,
        "percentile": rank / total,
        "tier": "high",
        "value_cents": 1,
        "value_at_risk_cents": 1,
        "reasons": [],
        "model_version": "3",
        "features_hash": None,
    }


def release(settings, **changes):
    """A row of model_runs: the release that scored, trained on ``logins_7d`` and ``crashes_7d``."""
    bins = {"logins_7d": HALVES, "crashes_7d": HALVES, "(margin)": HALVES, "gone_7d": HALVES}
    features = ["logins_7d", "crashes_7d"]
    row = {
        "day": ON,
        "run_id": "r",
        "algorithm": "gbt",
        "at": datetime(2025, 9, 12),
        "definition": "silent_14d",
        "outcome": "released",
    }
    row |= {
        "model_version": "3",
        "mlflow_run_id": "m",
        "spans": {"train": "2025-05-05..2025-07-28"},
        "features": features,
    }
    row |= {"schema_hash": schema_of(features, settings).hash, "reference": json.dumps(bins)}
    return {**row, **changes}


def alert(user, rule="model", level="orange"):
    """A warning about a user."""
    return {
        "day": ON,
        "alert_id": f"{rule}-{user}",
        "scope": "user",
        "user_id": user,
        "rule_id": rule,
        "level": level,
        "evidence": "e",
        "owner": "o",
        "due_on": ON,
    }


def label(user, churned, idle=0, definition="silent_14d"):
    """A row of user_labels; ``idle``: days since the last active day."""
    return {
        "day": ON,
        "definition": definition,
        "user_id": user,
        "churned": churned,
        "last_active_day": ON - timedelta(days=idle),
    }


def action(user, arm):
    """A row of retention_actions."""
    reason = None if arm else "no consent"
    return {
        "day": ON,
        "user_id": user,
        "campaign": "c",
        "arm": arm,
        "suppressed_because": reason,
        "cost_cents": 1,
        "expected_value_cents": 1,
    }


# of the campaign's four users outside the global hold-out one is its control; 2 % are held out of everything
HELD = 1 / (0.02 + 0.98 / 4)
BASE = (HELD + 1) / (2 * HELD + 4)  # c and e churned, of c, d (held out), e, g, h and i


@pytest.fixture(scope="module")
def small(spark, settings):
    """Ten users: a..d warned by the model, a and b treated (b by an offer of a week before, which works a week), c and d held
    out (c two days before); e warned by a rule; f..j not warned, j got an offer three days later."""
    users = "abcdefghij"
    churned = dict(zip(users, [0, 0, 1, 0, 1, 1, 0, 0, 0, 0], strict=True))
    rows = {
        # a is critical, b .. d high; two of ten had other logins when they were scored
        "scores": [
            score(u, 0.9 - 0.08 * n, 9 - n, 10)
            | {"tier": "critical" if u == "a" else "high" if u in "bcd" else "low", "margin": 2.0 * (n < 8)}
            | {"features_hash": int(fingerprint(np.array([[2.0 if n < 8 else 5.0], [0.0]]))[0])}
            for n, u in enumerate(users)
        ],
        "features": [
            *(
                {"day": ON, "user_id": u, "segment_region": "north" if u in "abce" else "south"}
                | {"logins_7d": 2.0, "crashes_7d": None if n < 5 else 0.0}
                for n, u in enumerate(users)
            ),
            {"day": ON, "user_id": "nobody scored this one", "logins_7d": 0.0, "crashes_7d": 0.0},
        ],
        "model_runs": [release(settings), release(settings, day=ON + timedelta(days=1), run_id="later", model_version="4")],
        "alerts": [
            alert("a", level="red"),
            alert("b") | {"cause": "price"},
            *(alert(u) | {"cause": "price", "signals": ["model", "silent"]} for u in "cd"),
            alert("e", "silent") | {"owner": "p"},
            alert("f", "acted_on") | {"escalates": "first-f"},
            alert("x", "silent"),
        ],
        "alert_events": [
            {
                "day": ON + timedelta(days=1),  # people act on the day after the night's warnings
                "event_id": "1",
                "at": datetime(2025, 9, 12, 9),
                "alert_id": "later-f",
                "who": "w",
                "action": "acted",
            }
        ],
        "actions": [
            action("a", "offer"),
            action("b", "offer") | {"day": ON - timedelta(days=7)},
            action("c", "control") | {"day": ON - timedelta(days=2)},
            action("d", "global_control"),
            action("e", None),
            action("j", "offer") | {"day": ON + timedelta(days=3)},
        ],
        "labels": [
            *(label(u, bool(c), 4 if c else 0) for u, c in churned.items()),
            *(label(u, True, definition="silent_30d") for u in "gh"),
        ],
    }
    # the case of f, which a warning before O opened, rose once more after O
    later = alert("f", "later") | {"alert_id": "later-f", "day": ON + timedelta(days=1), "escalates": "first-f"}
    rows["cases"] = [*rows["alerts"], later]
    out = judge_alerts(frames(spark, settings, rows, READS), (ON,), settings)
    return {name: [row.asDict() for row in frame.collect()] for name, frame in out.items()}


def quality(small, rule, level="all", by="rule", value="all"):
    """The row of a look: of a rule and level, unless ``by`` and ``value`` name another."""
    return next(r for r in small["alert_quality"] if (r["rule_id"], r["level"], r["by"], r["value"]) == (rule, level, by, value))


def test_treated_users_are_no_false_alarms(small):
    model = quality(small, "model")
    assert (model["fired"], model["matured"], model["churned"]) == (4, 2, 1)  # c churned, d stayed; a and b had an offer
    assert model["precision"] == 0.5
    assert (model["low"], model["high"]) == pytest.approx(wilson_interval(1, 2))
    assert quality(small, "model", "red")["matured"] == 0
    assert quality(small, "model", "red")["precision"] is None


def test_a_warning_that_somebody_acted_on_is_no_false_alarm_either(small):
    acted = quality(small, "acted_on")
    assert (acted["fired"], acted["matured"]) == (1, 0)


def test_who_was_acted_on_before_the_day_or_without_a_warning_of_it_is_treated_too(spark, settings):
    """Cases opened before O: one rose on O and was acted on three days before, one was silent on O, one was only seen."""
    users = ("rose", "silent", "seen", "nobody")
    opened = [alert(u) | {"alert_id": f"first-{u}", "day": ON - timedelta(days=9)} for u in users]
    risen = [alert(u) | {"escalates": f"first-{u}"} for u in ("rose", "seen", "nobody")]
    did = {"rose": ("acted", -3), "silent": ("acted", 2), "seen": ("acknowledged", 1)}
    events = [
        {
            "day": ON + timedelta(days=n),
            "event_id": u,
            "at": datetime(2025, 9, 8),
            "alert_id": f"first-{u}",
            "who": "w",
            "action": action,
        }
        for u, (action, n) in did.items()
    ]
    given = {"labels": [label(u, False) for u in users], "cases": opened + risen, "alert_events": events}
    read = frames(spark, settings, given, READS)
    known = per_labelled_user(read["labels"], read["actions"], read["cases"], read["alert_events"], ON, settings).collect()
    assert {r["user_id"] for r in known if r["treated"]} == {"rose", "silent"} and len(known) == 4


def test_a_warned_user_without_a_label_fired_but_is_not_judged(small):
    silent = quality(small, "silent")
    assert (silent["fired"], silent["matured"]) == (4, 3)  # with c and d, of whom the model spoke too


def test_the_held_out_stand_for_the_treated(small):
    # c and d stand for more than themselves; f was acted on, b and j got an offer before and after
    model = quality(small, "model")
    assert (model["base_eligible"], model["base_churned"]) == (6, 2)
    assert model["base_rate"] == pytest.approx(BASE)
    assert model["lift"] == pytest.approx(1 / 2 / BASE)
    assert model["recall"] == pytest.approx(HELD / (HELD + 1))


def test_the_interval_is_of_as_many_users_as_the_weights_tell(small):
    # c and d are held out, e weighs 1: two of three churned, as good as 2.5 users
    silent = quality(small, "silent")
    seen = (2 * HELD + 1) ** 2 / (2 * HELD**2 + 1)
    precision = (HELD + 1) / (2 * HELD + 1)
    assert (silent["precision"], silent["effective"]) == pytest.approx((precision, seen))
    assert (silent["low"], silent["high"]) == pytest.approx(wilson_interval(precision * seen, seen))
    assert (silent["lift_low"], silent["lift_high"]) == pytest.approx((silent["low"] / BASE, silent["high"] / BASE))
    # of those who churned (c, held out, and e) all were warned
    churned = (HELD + 1) ** 2 / (HELD**2 + 1)
    assert silent["recall"] == 1 and silent["recall_low"] == pytest.approx(wilson_interval(churned, churned)[0])


def test_users_count_once_in_each_look(small):
    looks = {
        (r["by"], r["value"]): (r["fired"], r["treated"], r["matured"], r["churned"])
        for r in small["alert_quality"]
        if r["by"] != "rule"
    }
    assert looks == {
        ("all", "all"): (7, 3, 3, 2),  # a .. f and x
        ("level", "red"): (1, 1, 0, 0),
        ("level", "orange"): (6, 2, 3, 2),
        ("cause", "price"): (3, 1, 2, 1),
        ("cause", "unknown"): (4, 2, 1, 1),
        ("owner", "o"): (6, 3, 2, 1),
        ("owner", "p"): (1, 0, 1, 1),
        ("region", "north"): (4, 2, 2, 2),
        ("region", "south"): (2, 1, 1, 0),
        ("region", "unknown"): (1, 0, 0, 0),
        ("plan", "unknown"): (7, 3, 3, 2),
    }


def test_a_segment_is_compared_with_its_own_base(small):
    # north, untreated: c and e churned; south: d, g, h and i stayed
    assert quality(small, "all", by="region", value="north")["base_rate"] == 1
    assert quality(small, "all", by="region", value="south")["base_rate"] == 0
    assert quality(small, "all", by="level", value="orange")["base_rate"] == pytest.approx(BASE)


def test_two_rules_that_spoke_of_many_users_have_a_look_of_their_own(spark, settings):
    contracts, few = tables(settings), settings.privacy.min_group_size
    both = [alert(f"u{n}") | {"signals": ["crashes", "model"]} for n in range(few)]
    alone = [alert("v", "crashes"), alert("v", "silent")]
    known = spark.createDataFrame([], "user_id string, churned int, last_active_day date, treated boolean, weight double")
    given = (frame(spark, contracts.risk_alerts.schema, both + alone), known, frame(spark, contracts.user_features.schema, []))
    rows = alert_quality(*given, ON, settings).where("by = 'together'").collect()
    assert [(r["rule_id"], r["value"], r["fired"]) for r in rows] == [("crashes", "model", few)]


def look(rule, fired, effective=0.0, hits=0.0, expected=0.0, **more):
    """Judged days of a rule, added up."""
    return {
        "by": "rule",
        "rule_id": rule,
        "level": "all",
        "value": "all",
        "fired": fired,
        "effective": effective,
        "hits": hits,
        "expected": expected,
    } | more


def test_a_rule_that_has_not_shown_to_help_is_named_and_no_other():
    history = [
        look("helps", 300, 200.0, 60.0, 30.0),  # 30 %, at least 24 %: above 15 %
        look("does not", 300, 200.0, 36.0, 30.0),  # 18 %, at least 13 %
        look("little known", 300, 99.9, 10.0, 15.0),
        look("by level", 300, 200.0, 30.0, 30.0, level="red"),
        look("old days", 300, None, None, None),
    ]
    ((rule, precision, low, base),) = unproven_rules(history)
    assert (rule, precision, base) == ("does not", 0.18, 0.15) and low == pytest.approx(wilson_interval(36, 200)[0])


def test_rules_that_nearly_always_speak_together_are_named():
    pair = {"by": "together"}
    history = [
        look("a", 100),
        look("b", 1000),
        look("c", 100),
        look("a", 95, value="b", **pair),
        look("a", 94, value="c", **pair),
    ]
    history += [look("rare", 9), look("b", 9, value="rare", **pair)]
    assert overlapping_rules(history, 10) == [("a", "b", 95)]


def test_lead_is_what_was_gained_against_waiting_for_the_horizon(small):
    assert quality(small, "model")["lead_days"] == 10  # last active 4 days before: 14 days of silence after 10
    assert quality(small, "model", "red")["lead_days"] is None
    assert quality(small, "model")["lead_low"] is None  # one user
    # c gained 10 days, e 10 too; with f, who is treated, nothing changes
    assert [quality(small, "silent")[name] for name in ("lead_low", "lead_days", "lead_high")] == [10, 10, 10]


def of_all(small):
    """The rows of model_quality that are of all users."""
    return [r for r in small["model_quality"] if (r["by"], r["value"]) == ("all", "all")]


def test_model_quality_equals_scikit_learn_on_the_weighted_untreated(small):
    users = [("c", 1, HELD), ("d", 0, HELD), ("e", 1, 1.0), *((u, 0, 1.0) for u in "ghi")]
    p = np.array([0.9 - 0.08 * "abcdefghij".index(u) for u, *_ in users])
    y, w = np.array([c for _, c, _ in users]), np.array([w for *_, w in users])
    found = {r["metric"]: r for r in of_all(small)}
    assert {r["users"] for r in found.values()} == {6} and {r["churned"] for r in found.values()} == {2}
    expected = {
        "auc": roc_auc_score(y, p, sample_weight=w),
        "average_precision": average_precision_score(y, p, sample_weight=w),
        "brier": brier_score_loss(y, p, sample_weight=w),
        "log_loss": log_loss(y, p, sample_weight=w),
        "base_rate": BASE,
        "predicted": np.average(p, weights=w),
    }
    assert {name: found[name]["metric_value"] for name in expected} == pytest.approx(expected)


def test_what_was_said_and_seen_is_told_by_tenth_of_risk(small):
    parts = [r for r in small["model_quality"] if r["by"] == "tenth"]
    told = {(r["value"], r["metric"]): (r["users"], r["metric_value"]) for r in parts}
    # one untreated user in a tenth: c and e churned; a is the riskiest
    seen = {"8": ("c", 1.0), "7": ("d", 0.0), "6": ("e", 1.0), "4": ("g", 0.0), "3": ("h", 0.0), "2": ("i", 0.0)}
    expected = {(tenth, "base_rate"): (1, rate) for tenth, (_, rate) in seen.items()}
    expected |= {(tenth, "predicted"): (1, 0.9 - 0.08 * "abcdefghij".index(user)) for tenth, (user, _) in seen.items()}
    assert set(told) == set(expected)
    assert all(told[key] == pytest.approx(expected[key]) for key in expected)
    # values of fewer than ten users are nobody's business
    assert {r["by"] for r in small["model_quality"]} == {"all", "tenth"}


def test_tiers_that_people_act_on_are_judged_down_to_each(small):
    found = {r["metric"]: r["metric_value"] for r in of_all(small)}
    # critical: a, treated; critical and high: c and d, held out, of whom c churned
    assert found["precision_critical"] is None and found["lift_critical"] is None and found["recall_critical"] == 0
    assert found["precision_high"] == pytest.approx(1 / 2)
    assert found["recall_high"] == pytest.approx(HELD / (HELD + 1)) and found["lift_high"] == pytest.approx(1 / 2 / BASE)
    assert "precision_low" not in found
    # the riskiest tenth of the weight is a part of c
    assert found["top_decile_lift"] == pytest.approx(1 / BASE)
    assert found["average_precision_lift"] == pytest.approx(found["average_precision"] / BASE)
    assert {r["note"] for r in small["model_quality"]} == {None}
    # the team can work 100 users a day: everybody here
    assert found["capacity_share"] == 1 and found["recall_at_capacity"] == pytest.approx(1)
    assert found["precision_at_capacity"] == pytest.approx(BASE) and found["empc_cents"] > 0


def index(seen, expected):
    """Population stability index of shares; empty ones are 1e-4."""
    pairs = [(max(p, 1e-4), max(r, 1e-4)) for p, r in zip(seen, expected, strict=True)]
    return sum((p - r) * math.log(p / r) for p, r in pairs)


def test_drift_is_that_of_the_scored_users_against_training(small):
    found = {r["feature"]: r for r in small["feature_drift"]}
    assert set(found) == {"logins_7d", "crashes_7d"}
    assert found["logins_7d"]["psi"] == pytest.approx(index([0, 1, 0], [0.5, 0.5, 0]))
    assert found["crashes_7d"]["psi"] == pytest.approx(index([0.5, 0, 0.5], [0.5, 0.5, 0]))
    assert (found["crashes_7d"]["missing_share"], found["crashes_7d"]["reference_missing_share"]) == (0.5, 0.0)
    assert {r["reference_day"] for r in found.values()} == {date(2025, 7, 28)}


def test_the_margins_drift_and_the_skew_by_late_data_are_metrics_of_the_version(small):
    found = {r["metric"]: r["metric_value"] for r in of_all(small)}
    assert found["margin_psi"] == pytest.approx(index([0.2, 0.8, 0], [0.5, 0.5, 0]))
    assert found["skew_share"] == pytest.approx(0.2)
    assert {r["model_version"] for r in small["model_quality"]} == {"3"}


def test_late_data_show_too_where_missing_values_took_the_mean_of_training(spark, settings):
    features = ["logins_7d", "crashes_7d"]
    # a release of before schemas told what features mean
    schema = replace(schema_of(features, settings), meanings=()).with_fills({"crashes_7d": 0.3})
    told = json.dumps({"logins_7d": HALVES | {"fill": 0.0}, "crashes_7d": HALVES | {"fill": 0.3}, "(margin)": HALVES})
    scored = int(fingerprint(np.array([[2.0], [0.3]]))[0])  # two logins, crashes unknown
    rows = {
        "scores": [score(u, 0.5, n, 4) | {"features_hash": scored} for n, u in enumerate("abcd")],
        "features": [{"day": ON, "user_id": u, "logins_7d": 3.0 if u == "d" else 2.0, "crashes_7d": None} for u in "abcd"],
        "model_runs": [release(settings, schema_hash=schema.hash, reference=told)],
    }
    assert measure_drift(frames(spark, settings, rows, READS), 4, ON, settings).skew_share == 1 / 4


def test_a_challenger_is_judged_on_the_same_users_under_its_own_name_and_both_by_segment(spark, settings):
    users = {"a": 0.9, "b": 0.6, "c": 0.2, "d": 0.1}
    scores = [score(u, p, n, 4) for n, (u, p) in enumerate(sorted(users.items(), key=lambda item: item[1]))]
    shadow = [score(u, 1 - p, n, 4) | {"model_version": "5 (shadow)"} for n, (u, p) in enumerate(users.items())]
    labels = [label(u, u in "ab") for u in users]
    reads = {**READS, "shadow": "shadow_scores"}
    regions = dict(zip(users, ["north", "north", "south", None], strict=True))
    features = [{"day": ON, "user_id": u, "segment_region": region} for u, region in regions.items()]
    rows = {"scores": scores, "shadow": shadow, "labels": labels, "features": features}
    two = settings.model_copy(update={"privacy": settings.privacy.model_copy(update={"min_group_size": 2})})
    out = judge_alerts(frames(spark, settings, rows, reads), (ON,), two)["model_quality"].collect()
    assert {r.model_version: r.metric_value for r in out if r.metric == "auc"} == {"3": 1.0, "5 (shadow)": 0.0}
    assert {(r.by, r.value) for r in out if r.by != "tenth"} == {("all", "all"), ("region", "north")}
    # the release said 0.9 and 0.6, both churned
    north = {r.metric: (r.users, r.churned, r.metric_value) for r in out if r.by == "region" and r.model_version == "3"}
    brier, losses = (0.1**2 + 0.4**2) / 2, -(math.log(0.9) + math.log(0.6)) / 2
    expected = {"base_rate": 1.0, "predicted": 0.75, "brier": brier, "log_loss": losses, "calibration_error": 0.25}
    assert {name: seen for name, (*_, seen) in north.items()} == pytest.approx(expected)
    assert {seen[:2] for seen in north.values()} == {(2, 2)}


def test_a_release_that_does_not_say_what_it_was_trained_on_has_no_drift(spark, settings):
    rows = {"scores": [score("a", 0.5, 0, 1)], "labels": [label("a", False)], "model_runs": [release(settings, reference=None)]}
    out = judge_alerts(frames(spark, settings, rows, READS), (ON,), settings)
    assert out["feature_drift"].count() == 0
    quality_ = {r.metric: r for r in out["model_quality"].where("by = 'all'").collect()}
    assert "margin_psi" not in quality_ and quality_["auc"].metric_value is None
    assert quality_["auc"].note.startswith("one class alone: 0 of 1 users churned") and "churn definition" in quality_["auc"].note


def test_a_day_without_scores_and_warnings_is_skipped(spark, settings):
    with pytest.raises(Skipped, match=str(ON)):
        judge_alerts(frames(spark, settings, {}, READS), (ON,), settings)


def bins(rows):
    """Bins of ten users each: (bin, churned of ten, probability)."""
    return [
        Bin("3", place, 10, churned, 10.0, churned, p, 10 * p, 10 * p, 10 * (p - churned / 10) ** 2, 1.0)
        for place, churned, p in rows
    ]


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


def test_the_day_is_worth_what_the_team_finds_and_the_best_campaign_earns():
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


def test_a_threshold_that_kept_its_promise_stays():
    new, reason = advise_threshold(0.5, bins([(990, 8, 0.8), (900, 6, 0.6), (100, 1, 0.1)]), 10, {})
    assert new == 0.5 and reason.startswith("kept: of 20 untreated users")


def test_a_threshold_moves_up_to_where_the_promised_rate_holds():
    # from 0.5 on the model promised 70 %, seen 30 %: only the top bin holds it
    seen = bins([(990, 8, 0.9), *((900 - n, 1, 0.6) for n in range(4)), (100, 0, 0.1)])
    new, reason = advise_threshold(0.5, seen, 10, {"up": 2})
    assert new == 0.9
    assert (
        reason.startswith("up: of 50 untreated users")
        and "advised up 2 times" in reason
        and "for 10 users instead of 50" in reason
    )


def test_a_threshold_moves_down_where_more_churned_than_promised():
    seen = bins([(990, 9, 0.4), *((900 - n, 9, 0.3) for n in range(4)), *((500 - n, 3, 0.1) for n in range(4))])
    new, reason = advise_threshold(0.3, seen, 10, {})
    assert new == 0.1 and reason.startswith("down")


def test_few_users_give_no_ground_to_move():
    assert advise_threshold(0.5, bins([(990, 0, 0.9)]), 11, {})[0] == 0.5


def test_thresholds_advise_by_level_from_the_lowest_warned_probability(small):
    assert {r["level"]: round(r["old"], 2) for r in small["thresholds"]} == {"orange": 0.66, "red": 0.9}
    assert all(r["new"] == r["old"] and "fewer than 10" in r["reason"] for r in small["thresholds"])


TIER = {"name": "high", "top_share": 0.15, "level": "orange", "adjust": {"lowest": 0.1, "highest": 0.2, "step_share": 0.2}}


def moved(spark, settings, churned, *cuts, tier=TIER, quality=()):
    """(cut_before, cut, reason) of ON, when of ten users a bin ``churned`` had left; ``cuts``: (days before ON, cut);
    ``quality``: rows of alert_quality."""
    tiers = settings.tiers.model_copy(update={"tiers": [Tier(**tier), Tier(name="low")]})
    one = settings.model_copy(update={"tiers": tiers})
    users = [score(str(n), 0.6 if n < 15 else 0.3, 99 - n, 100) | {"tier": "high" if n < 15 else "low"} for n in range(30)]
    earlier = [
        {"day": ON - timedelta(days=n), "level": "orange", "old": 0.6, "new": 0.6, "reason": "", "tier": "high", "cut": cut}
        for n, cut in cuts
    ]
    told = {"scores": users, "thresholds": earlier, "quality": quality}
    given = frames(spark, one, told, READS | {"quality": "alert_quality"})
    seen = {"3": bins([(990, churned, 0.6), (900, churned, 0.6), (800, 4, 0.3), (700, 2, 0.2)])}
    ((row),) = threshold_rows(given, seen, ON, one).collect()
    assert row["tier"] == "high"
    return row["cut_before"], row["cut"], row["reason"]


def test_a_cut_follows_the_advice_by_a_step_within_its_bounds_and_waits_for_what_it_did(spark, settings):
    lag = settings.label_lag_days(settings.churn.primary)
    # more churned than promised: the share may grow to 0.3 (bin 700), a step is a fifth
    before, cut, reason = moved(spark, settings, 9)
    assert (before, cut) == (0.15, pytest.approx(0.18)) and "; top_share 0.15 -> 0.18" in reason
    before, cut, _ = moved(spark, settings, 9, (lag, 0.19), (1, 0.19))
    assert (before, cut) == (0.19, 0.2)
    # scores of ON were made with 0.15, by now it is 0.18
    before, cut, reason = moved(spark, settings, 9, (lag - 1, 0.18), (1, 0.18))
    assert (before, cut) == (0.18, 0.18) and "waits" in reason
    # as promised: it stays
    assert moved(spark, settings, 6, (1, 0.18), (lag, 0.18))[:2] == (0.18, 0.18)
    by_probability = {**TIER, "top_share": None, "min_probability": 0.6, "adjust": {"lowest": 0.1, "highest": 0.9}}
    before, cut, _ = moved(spark, settings, 9, tier=by_probability)
    assert (before, cut) == (0.6, pytest.approx(0.45))


def test_what_the_warnings_of_a_level_came_to_must_not_speak_against_a_move():
    # a cut of which more churned than promised is to warn of more
    assert objection_to_move(0.4, 60, 36, falls=False, smallest_group=10) is None
    held = objection_to_move(0.4, 60, 27, falls=False, smallest_group=10)
    assert held is not None and held.startswith(
        "of 60 matured warnings of the level, 45.0% churned (95 % interval 33.1% to 57.5%)"
    )
    assert held.endswith("which is not shown to be more than the promised 40.0%")
    assert "not shown to be less than the promised 40.0%" in objection_to_move(0.4, 60, 36, falls=True, smallest_group=10)
    assert objection_to_move(0.4, 60, 9, falls=True, smallest_group=10) is None
    assert objection_to_move(0.4, 9, 0, falls=False, smallest_group=10) is None, "too few to say anything"


def test_a_cut_waits_where_its_own_warnings_kept_the_promise(spark, settings):
    lag = settings.label_lag_days(settings.churn.primary)
    cuts = ((lag + 3, 0.15), (1, 0.15))
    quality_of = {"day": ON - timedelta(days=1), "rule_id": "model", "level": "orange", "by": "rule", "value": "all"}
    quality_of |= {"fired": 50, "base_eligible": 500, "base_churned": 50}
    kept = [quality_of | {"matured": 50, "churned": 30}, quality_of | {"matured": 50, "churned": 50, "rule_id": "silent"}]
    # more churned on ON than the promised 60 %; of the warnings of the day before as many as promised
    before, cut, reason = moved(spark, settings, 9, *cuts, quality=kept)
    assert (before, cut) == (0.15, 0.15) and "; the cut 0.15 stays: of 50 matured warnings of the level, 60.0% churned" in reason
    assert moved(spark, settings, 9, *cuts, quality=[kept[0] | {"churned": 45}])[1] == pytest.approx(0.18)
    # warnings of days with another cut say nothing of this one
    assert moved(spark, settings, 9, (lag + 1, 0.12), (lag, 0.15), (1, 0.15), quality=kept)[1] == pytest.approx(0.18)


def test_a_cut_outside_of_the_bounds_of_today_is_brought_within_them():
    past = LevelHistory({}, {ON - timedelta(days=1): 0.4})
    assert past.cut(Tier(**TIER), ON) == 0.2
    assert share_at_or_above(0.5, bins([(990, 1, 0.6), (900, 1, 0.5), (800, 1, 0.4)])) == pytest.approx(0.1)
