"""Drift: users by bin of training as workers count them, the index, and the skew by late data."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from judgedday import HALVES, ON, READS, of_all, release, score

from churnwatch.model.schema import schema_of
from churnwatch.model.worker_model import fingerprint
from churnwatch.reports import worker_drift
from churnwatch.reports.drift import measure_drift, population_stability
from reportworld import frames


def batch(values, margin, hashes):
    lists = pa.array([[None if v is None else float(v) for v in row] for row in values], pa.list_(pa.float64()))
    return pa.RecordBatch.from_arrays(
        [lists, pa.array(margin, pa.float64()), pa.array(hashes, pa.int64())], names=["values", "margin", "features_hash"]
    )


def counted(batches, spec):
    (found,) = worker_drift.binned(iter(batches), spec)
    return {(row["feature"], row["bin"]): row["users"] for row in found.to_pylist()}


def test_users_are_counted_by_bin_and_missing_ones_in_the_last():
    spec = {"edges": [[1.0, 2.0], [], [0.0]], "width": 2, "model": None}
    batches = [batch([[1, 5], [1.5, None]], [0.0, 0.1], [None, None]), batch([[None, 5], [9, 5]], [-1.0, 2.0], [1, 1])]
    assert counted([*batches, batches[0].slice(0, 0)], spec) == {
        **{(0, 0): 1, (0, 1): 1, (0, 2): 1, (0, 3): 1},
        **{(1, 0): 3, (1, 1): 1},
        **{(2, 0): 2, (2, 1): 2},
    }


def test_a_user_whose_features_changed_since_is_skew_and_one_without_a_hash_is_not_known():
    # the model takes the second column alone and fills 7
    as_scored = [int(h) for h in fingerprint(np.array([[5.0, 7.0, 5.0]]))]
    spec = {"edges": [[], [], []], "width": 2, "model": ([1], [7.0])}
    found = counted([batch([[1, 5], [2, None], [3, 6], [4, 5]], [0.0] * 4, [*as_scored, None])], spec)
    assert (found[(worker_drift.SKEW, 0)], found[(worker_drift.SKEW, 1)]) == (2, 1)


def test_a_day_without_users_counts_nothing():
    assert counted([], {"edges": [[]], "width": 0, "model": None}) == {}


USERS = 10  # scored by the version that is judged
THREE = {"rows": 1000, "edges": [1.0], "shares": [0.5, 0.4], "missing": 0.1}


def test_the_index_by_hand():
    index, missing, before, usual = population_stability({0: 6, 2: 4}, THREE)
    p, r = np.array([6.5, 0.5, 4.5]) / 11.5, np.array([500.5, 400.5, 100.5]) / 1001.5
    assert index == pytest.approx(((p - r) * np.log(p / r)).sum()) and (missing, before) == (0.4, 0.1)
    assert usual == pytest.approx(2 * (1 / 10 + 1 / 1000))
    assert population_stability({0: 500, 1: 400, 2: 100}, THREE)[0] == 0


def test_a_tenth_that_few_users_left_empty_by_chance_is_no_drift():
    tenths = {"rows": 20_000, "edges": list(range(1, 10)), "shares": [0.1] * 10, "missing": 0.0}
    index, _, _, usual = population_stability({n: 4 for n in range(9)}, tenths)
    # an empty bin taken as a share of 1e-4 would alone add 0.69
    assert index < 0.3 and usual == pytest.approx(9 * (1 / 36 + 1 / 20_000))


def index(seen, expected, users, rows=20_000):
    """Population stability index of shares, each count half a row larger; releases without rows have 20,000."""
    p, r = (np.array(shares) * count + 0.5 for shares, count in ((seen, users), (expected, rows)))
    used = np.array(seen) + np.array(expected) > 0
    p, r = p[used] / p[used].sum(), r[used] / r[used].sum()
    return float(((p - r) * np.log(p / r)).sum())


def test_drift_is_that_of_the_scored_users_against_training(judged):
    found = {r["feature"]: r for r in judged["feature_drift"]}
    assert set(found) == {"logins_7d", "crashes_7d"}
    assert found["logins_7d"]["psi"] == pytest.approx(index([0, 1, 0], [0.5, 0.5, 0], USERS))
    assert found["crashes_7d"]["psi"] == pytest.approx(index([0.5, 0, 0.5], [0.5, 0.5, 0], USERS))
    assert (found["crashes_7d"]["missing_share"], found["crashes_7d"]["reference_missing_share"]) == (0.5, 0.0)
    assert {r["reference_day"] for r in found.values()} == {date(2025, 7, 28)}


@pytest.mark.case(32)
def test_drift_of_the_margin_and_skew_by_late_data_are_metrics_of_the_version(judged):
    found = {r["metric"]: r["metric_value"] for r in of_all(judged)}
    assert found["margin_psi"] == pytest.approx(index([0.2, 0.8, 0], [0.5, 0.5, 0], USERS))
    assert found["skew_share"] == pytest.approx(0.2)
    assert {r["model_version"] for r in judged["model_quality"]} == {"3"}


def test_skew_is_found_where_missing_values_are_filled_with_the_mean_of_training(spark, app_settings):
    features = ["logins_7d", "crashes_7d"]
    # a release of before schemas told what features mean
    schema = replace(schema_of(features, app_settings), meanings=()).with_fills({"crashes_7d": 0.3})
    told = json.dumps({"logins_7d": HALVES | {"fill": 0.0}, "crashes_7d": HALVES | {"fill": 0.3}, "(margin)": HALVES})
    scored = int(fingerprint(np.array([[2.0], [0.3]]))[0])  # two logins, crashes unknown
    rows = {
        "scores": [score(u, 0.5, n, 4) | {"features_hash": scored} for n, u in enumerate("abcd")],
        "features": [{"day": ON, "user_id": u, "logins_7d": 3.0 if u == "d" else 2.0, "crashes_7d": None} for u in "abcd"],
        "model_runs": [release(app_settings, schema_hash=schema.hash, reference=told)],
    }
    assert measure_drift(frames(spark, app_settings, rows, READS), 4, ON, app_settings).skew_share == 1 / 4
