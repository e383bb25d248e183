"""Users by bin of training, as workers count them."""

import math

import numpy as np
import pyarrow as pa
import pytest

from churnwatch.model.worker_model import fingerprint
from churnwatch.reports import worker_drift
from churnwatch.reports.drift import population_stability


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
    spec = {"edges": [[], [], []], "width": 2, "model": {"columns": [1], "fills": [7.0]}}
    found = counted([batch([[1, 5], [2, None], [3, 6], [4, 5]], [0.0] * 4, [*as_scored, None])], spec)
    assert (found[(worker_drift.SKEW, 0)], found[(worker_drift.SKEW, 1)]) == (2, 1)


def test_a_day_without_users_counts_nothing():
    assert counted([], {"edges": [[]], "width": 0, "model": None}) == {}


def test_the_index_by_hand():
    index, missing, before = population_stability({0: 6, 2: 4}, {"edges": [1.0], "shares": [0.5, 0.4], "missing": 0.1})
    expected = 0.1 * math.log(0.6 / 0.5) + (1e-4 - 0.4) * math.log(1e-4 / 0.4) + 0.3 * math.log(0.4 / 0.1)
    assert index == pytest.approx(expected) and (missing, before) == (0.4, 0.1)
    assert population_stability({0: 5, 1: 4, 2: 1}, {"edges": [1.0], "shares": [0.5, 0.4], "missing": 0.1})[0] == 0
