"""Metrics from histograms against scikit-learn, weights and codes of the workers."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from churnwatch.model import evaluation, origins, segment_quality, worker, worker_sums
from churnwatch.model import metrics as m
from churnwatch.model.calibration import fit_calibration
from churnwatch.model.evaluation import Histogram
from churnwatch.model.margin_bins import equal_widths
from churnwatch.model.worker_model import LinearModel
from churnwatch.model.worker_sums import Scores, Segments
from smallworld import settings

RNG = np.random.default_rng(11)
SCORE = RNG.integers(0, 60, 400) / 7.0  # many ties
LABEL = (RNG.random(400) < 1 / (1 + np.exp(3 - SCORE))).astype(int)
WEIGHT = RNG.integers(0, 4, 400)
# the margin is the value, 0 where it is missing
IDENTITY = LinearModel([0], [0.0], equal_widths(-2.0, 2.0), 0.0, [0], np.ones(1), np.zeros(1), 0.0)


def of_plain_rows(margin, users, churned, kind="auto"):
    """The calibration of rows with weight 1."""
    return fit_calibration(margin, users, churned, min(churned.sum(), (users - churned).sum()), kind)


def histogram(weight):
    values = np.unique(SCORE)
    group = np.searchsorted(values, SCORE)
    return (np.bincount(group, weight * (y == LABEL), len(values))[None, :] for y in (1, 0))


@pytest.mark.parametrize("weight", [np.ones(400), WEIGHT], ids=["plain", "weighted"])
def test_rankings_equal_scikit_learn(weight):
    churned, others = histogram(weight)
    assert m.auc(churned, others)[0] == pytest.approx(roc_auc_score(LABEL, SCORE, sample_weight=weight), abs=1e-12)
    expected = average_precision_score(LABEL, SCORE, sample_weight=weight)
    assert m.average_precision(churned, others)[0] == pytest.approx(expected, abs=1e-12)
    assert m.base_rate(churned, others)[0] == pytest.approx(np.average(LABEL, weights=weight))


def test_the_top_decile_lift_counts_the_bin_at_the_edge_in_proportion():
    # 40 rows, lowest risk first: the riskiest tenth are 2 rows (both churned) and half of the next 4 (1 churned of 4)
    churned, others = np.array([[3.0, 1.0, 2.0]]), np.array([[31.0, 3.0, 0.0]])
    assert m.top_decile_lift(churned, others)[0] == pytest.approx((2 + 0.5) / 4 / (6 / 40))


def test_the_calibration_error_weighs_bins_by_rows():
    error = m.calibration_error(np.array([[1.0, 6.0]]), np.array([[10.0, 30.0]]), np.array([[2.0, 9.0]]))
    assert error[0] == pytest.approx((10 * 0.1 + 30 * 0.1) / 40)


def test_bootstrap_weights_are_a_hash_of_the_user_and_poisson_with_mean_one():
    users = np.arange(50_000, dtype=np.int64) * 7919 - 3
    weights = worker_sums.poisson_weights(users, 3)
    assert weights[:, 0].tolist() == [1.0] * len(users)
    shares = [(weights[:, 1:] == n).mean() for n in range(4)]
    assert shares == pytest.approx(np.exp(-1) / np.array([1, 1, 2, 6]), abs=0.006)
    assert abs(np.corrcoef(weights[:, 1:].T)[0, 1]) < 0.02
    # splitmix64 and the inverse of Poisson's distribution in plain Python gave these
    golden = [[1, 2, 3, 1, 1, 2], [1, 2, 1, 2, 0, 0], [3, 3, 4, 1, 0, 0]]
    assert worker_sums.poisson_weights(np.array([1, 2, -3], dtype=np.int64), 6)[:, 1:].astype(int).tolist() == golden
    assert (worker_sums.poisson_weights(users[::-1], 3)[::-1] == weights).all()


def test_codes_keep_the_order_and_small_whole_numbers_apart():
    values = np.array([-1e9, -300.0, -2.5, -0.0, 0.0, 1.0, 2.0, 255.0, 256.0, 1e30, np.nan])
    codes = worker_sums.order_codes(values)
    assert (np.diff(codes[[0, 1, 2, 4, 5, 6, 7, 8, 9, 10]]) > 0).all()
    assert len(set(worker_sums.order_codes(np.arange(65_537.0)).tolist())) == 65_537 and codes.max() < 2**24
    coarse = worker_sums.order_codes(np.arange(257.0), worker_sums.COARSE_BITS)
    assert len(set(coarse.tolist())) == 257 and coarse.max() < 2**16


def test_rows_of_one_key_are_added_up():
    batch = pa.RecordBatch.from_arrays(
        [pa.array([4, 2, 4]), pa.array([[1.0, 2.0], [5.0, 6.0], [10.0, 20.0]])], names=["key", "sums"]
    )
    (found,) = worker_sums.add_by_key(iter([batch]))
    assert found.to_pylist() == [{"key": 2, "sums": [5.0, 6.0]}, {"key": 4, "sums": [11.0, 22.0]}]


def test_many_rows_are_calibrated_by_scikit_learns_isotonic_regression():
    margin = np.sort(RNG.normal(size=5000))
    users = np.ones(5000)
    churned = (RNG.random(5000) < 1 / (1 + np.exp(-2 * margin))).astype(float)
    found = of_plain_rows(margin, users, churned)
    assert found["kind"] == "isotonic"
    grid = np.linspace(-4, 4, 50)
    expected = IsotonicRegression(y_min=1 / 5002, y_max=1 - 1 / 5002, out_of_bounds="clip").fit(margin, churned).predict(grid)
    ours = worker.probabilities(grid, found)
    assert ours == pytest.approx(expected, abs=1e-6)
    assert ours.min() > 0 and ours.max() < 1


def test_few_rows_are_calibrated_by_a_logistic():
    margin = np.linspace(-3, 3, 200)
    users = np.full(200, 2.0)
    churned = np.round(users * (RNG.random(200) < 1 / (1 + np.exp(1 - 0.5 * margin))))
    found = of_plain_rows(margin, users, churned)
    assert found["kind"] == "platt" and found["slope"] > 0
    x = np.repeat(margin, 2)[:, None]
    y = np.concatenate([[1.0] * int(c) + [0.0] * int(2 - c) for c in churned])
    plain = LogisticRegression(C=1e9).fit(x, y)
    # Platt's targets hold the ends off a little
    assert found["slope"] == pytest.approx(plain.coef_[0, 0], rel=0.05)


def test_calibration_never_reverses_the_ranking():
    margin = np.linspace(-1, 1, 100)
    found = of_plain_rows(margin, np.ones(100), (margin < 0).astype(float))
    assert (np.diff(worker.probabilities(margin, found)) >= 0).all()


def test_quality_at_the_capacity_of_the_team():
    churned, others = np.array([[3.0, 1.0, 2.0]]), np.array([[31.0, 3.0, 0.0]])
    # 4 of 40: the riskiest 2, and half of the next 4, of whom 1 churned
    found = m.at_capacity(churned, others, 0.1)
    assert found["precision"][0] == pytest.approx(2.5 / 4)
    assert found["recall"][0] == pytest.approx(2.5 / 6)
    assert found["lift"][0] == pytest.approx((2.5 / 4) / (6 / 40))
    everybody = m.at_capacity(churned, others, 1.0)
    assert (everybody["recall"][0], everybody["lift"][0]) == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize(("kind", "rows"), [("isotonic", 60), ("platt", 4000)])
def test_the_kind_of_calibration_can_be_configured(kind, rows):
    margin = np.linspace(-2, 2, rows)
    churned = (RNG.random(rows) < 1 / (1 + np.exp(-margin))).astype(float)
    assert of_plain_rows(margin, np.ones(rows), churned, kind)["kind"] == kind
    assert of_plain_rows(margin, np.ones(rows), churned)["kind"] != kind


def test_few_rows_with_large_weights_count_as_few_in_calibration():
    margin, rows = np.linspace(-2, 2, 600), np.ones(600)
    churned = (RNG.random(600) < 1 / (1 + np.exp(-margin))).astype(float)
    weight = np.full(600, 3.0)
    # 600 rows weigh 1,800, of which about half churned
    seen = Histogram(np.arange(600), weight, weight * churned, weight * margin, rows, churned)
    assert evaluation.calibration_of(seen, "auto")["kind"] == "platt" and seen.auc() == pytest.approx(
        roc_auc_score(churned, margin)
    )
    assert fit_calibration(margin, weight, weight * churned, 400.0)["kind"] == "isotonic"


def test_a_histogram_has_weights_and_plain_counts():
    spec = Scores([IDENTITY], 1)
    columns = [pa.array([[1.0], [1.0], [1.0]]), pa.array([1.0, 0.0, 1.0]), pa.array([5.0, 1.0, 2.0])]
    batch = pa.RecordBatch.from_arrays(columns, names=["values", "label", "weight"])
    (found,) = worker_sums.count_scores(iter([batch, batch]), spec)
    ((row),) = found.to_pylist()
    assert {name: row[name] for name in ("users", "churned", "total", "rows", "hits")} == {
        "users": 16.0,
        "churned": 14.0,
        "total": 16.0,
        "rows": 6.0,
        "hits": 4.0,
    }


def test_a_segment_of_few_rows_with_large_weights_has_no_auc():
    # users, churned, probability, squared, log_loss, rows, hits of two bins: 38 rows weigh 380
    bins = np.array([[190.0, 30.0, 38.0, 20.0, 60.0, 19.0, 3.0], [190.0, 160.0, 152.0, 30.0, 90.0, 19.0, 16.0]])
    found = segment_quality._quality(bins)
    assert (found["rows"], found["base_rate"], found["brier"]) == pytest.approx((38.0, 190 / 380, 50 / 380))
    assert "auc" not in found  # 19 churned
    bins[1, -1] = 17.0
    bins[0, -2] = 20.0
    assert "auc" not in segment_quality._quality(bins)  # 20 churned, 19 others
    bins[0, -2] = 21.0
    assert segment_quality._quality(bins)["auc"] == pytest.approx((160 * 160 + (30 * 160 + 160 * 30) / 2) / 190**2)


def test_the_capacity_is_a_share_of_the_weights():
    one = settings(model={"capacity_users": 10, "capacity_share": 0.3})
    assert origins.capacity_share(400.0, 2, one) == pytest.approx(20 / 400)
    assert origins.capacity_share(5.0, 2, one) == 1.0
    assert origins.capacity_share(400.0, 2, settings(model={"capacity_share": 0.3})) == 0.3


def test_segments_are_summed_by_value_and_null_is_no_group():
    spec = Segments(Scores([IDENTITY], 1), {"kind": "platt", "slope": 1.0, "intercept": 0.0}, [5000], ["plan", "region"])
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([[1.0], [-1.0], [None], [1.0]]),
            pa.array([1.0, 0.0, 0.0, 0.0]),
            pa.array([1.0, 1.0, 1.0, 3.0]),
            pa.array([["gold", "n"], ["gold", None], [None, "n"], ["basic", "n"]]),
        ],
        names=["values", "label", "weight", "segments"],
    )
    (found,) = worker_sums.sum_by_segment(iter([batch, batch]), spec)
    rows = {(r["segment"], r["value"], r["bin"]): r for r in found.to_pylist()}
    assert sorted(rows) == [("plan", "basic", 1), ("plan", "gold", 0), ("plan", "gold", 1), ("region", "n", 1)]
    p = 1 / (1 + np.exp(-1.0))
    basic, north = rows["plan", "basic", 1], rows["region", "n", 1]
    assert (basic["users"], basic["churned"], basic["probability"]) == pytest.approx((6.0, 0.0, 6 * p))
    assert (basic["squared"], basic["log_loss"]) == pytest.approx((6 * p**2, -6 * np.log(1 - p)))
    assert (north["users"], north["churned"]) == (10.0, 2.0)
    # the fourth user weighs 3: two rows in the two batches, none of which churned
    assert (basic["rows"], basic["hits"], north["rows"], north["hits"]) == (2.0, 0.0, 6.0, 2.0)
