"""Drift, causes and profiles against reference values."""

from datetime import date

import numpy as np
import pytest

from churnwatch.core.intervals import Z95, wilson_interval
from churnwatch.reports import explain_churn
from reportworld import frames

ON = date(2025, 9, 11)


READS = {"labels": "user_labels", "features": "user_features", "scores": "user_scores"}


def reason(measure, contribution, cause):
    """A reason of a score."""
    return {"measure": measure, "value": 1.0, "contribution": contribution, "cause": cause}


def scored(user, cause, *reasons):
    """A row of user_scores."""
    return {
        "day": ON,
        "user_id": user,
        "margin": 0.0,
        "probability": 0.5,
        "percentile": 0.5,
        "tier": "high",
        "value_cents": 1,
        "value_at_risk_cents": 1,
        "reasons": list(reasons),
        "cause": cause,
        "model_version": "3",
    }


@pytest.fixture(scope="module")
def causes_and_profile(spark, app_settings):
    """Forty labelled users with a feature that differs, one that never varies, one with missing values."""
    chance = np.random.default_rng(4)
    values = chance.normal(size=40)
    values[:15] -= 0.8
    labels = [
        {"day": ON, "definition": "silent_14d", "user_id": str(n), "churned": n < 15, "last_active_day": ON} for n in range(40)
    ]
    labels += [{**row, "definition": "silent_30d", "churned": not row["churned"]} for row in labels]
    features = [
        {
            "day": ON,
            "user_id": str(n),
            "logins_7d": float(values[n]),
            "crashes_7d": 2.0,
            "use_ms_7d": float("nan") if n % 2 else float(values[n]),
        }
        for n in range(40)
    ]
    up = reason("logins_7d", 2.0, "engagement")  # moved the margin, which is another question
    scores = [scored(str(n), "quality", up) for n in range(10)]
    scores += [scored(str(n), None, up) for n in range(10, 18)]
    scores += [scored("19", None), scored("unlabelled", "quality")]
    inputs = frames(spark, app_settings, {"labels": labels, "features": features, "scores": scores}, READS)
    out = explain_churn(inputs, (ON,), app_settings)
    return values, {name: {r[1]: r.asDict() for r in found.collect()} for name, found in out.items()}


def cohens_d(gone, stayed):
    """d with its interval: Hedges and Olkin (1985)."""
    n1, n0 = len(gone), len(stayed)
    pooled = np.sqrt(((n1 - 1) * np.var(gone, ddof=1) + (n0 - 1) * np.var(stayed, ddof=1)) / (n1 + n0 - 2))
    d = (np.mean(gone) - np.mean(stayed)) / pooled
    error = np.sqrt((n1 + n0) / (n1 * n0) + d * d / (2 * (n1 + n0)))
    return d, d - Z95 * error, d + Z95 * error


def test_profile_is_cohens_d_with_its_interval(causes_and_profile):
    values, found = causes_and_profile
    row = found["churn_profile"]["logins_7d"]
    assert (row["effect"], row["low"], row["high"]) == pytest.approx(cohens_d(values[:15], values[15:]), abs=1e-6)
    assert row["association"] is True
    missing = found["churn_profile"]["use_ms_7d"]
    assert missing["effect"] == pytest.approx(cohens_d(values[:15:2], values[16::2])[0], abs=1e-6)


def test_a_feature_that_never_varies_has_no_effect_size(causes_and_profile):
    row = causes_and_profile[1]["churn_profile"]["crashes_7d"]
    assert (row["churned_mean"], row["effect"], row["low"]) == (2.0, None, None)


def test_causes_are_those_of_the_scores(causes_and_profile):
    found = causes_and_profile[1]["churn_causes"]
    assert {cause: (r["users"], r["churned"]) for cause, r in found.items()} == {"quality": (10, 10), "unknown": (9, 5)}
    assert found["quality"]["share"] == pytest.approx(10 / 15)
    assert (found["quality"]["low"], found["quality"]["high"]) == pytest.approx(wilson_interval(10, 15))
    assert (found["unknown"]["rate"], found["unknown"]["association"]) == (pytest.approx(5 / 9), True)
