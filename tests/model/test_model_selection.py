"""Which features are dropped, and the sums that decide it; only drift needs Spark."""

import numpy as np
import pyarrow as pa
import pytest

from churnwatch.core import Refused
from churnwatch.model import metrics as m
from churnwatch.model import selection, worker_sums
from churnwatch.model.evaluation import Histogram
from churnwatch.model.schema import Schema
from churnwatch.model.selection import Moments, drift_of_later_rows, reasons_left_out
from churnwatch.settings.model import Selection
from smallworld import settings

NAMES = ["a", "b", "twin_of_a", "still", "against_a"]


def seen(correlation, varies=(True, True, True, False, True)):
    width = len(NAMES)
    nothing = np.zeros(width)
    return Moments(100.0, nothing, nothing, nothing, nothing, np.array(varies), correlation)


def correlated():
    correlation = np.eye(5)
    for one, other, value in ((0, 2, 0.9999), (0, 4, -0.9999), (0, 1, 0.7)):
        correlation[one, other] = correlation[other, one] = value
    return correlation


def test_the_first_of_near_duplicates_is_kept_and_constants_are_dropped():
    left = reasons_left_out(NAMES, seen(correlated()), None, Selection(max_correlation=0.999))
    assert left == {
        "twin_of_a": "near-duplicate of a: correlation 0.99990",
        "still": "constant",
        "against_a": "near-duplicate of a: correlation -0.99990",
    }


def test_a_near_duplicate_of_a_dropped_feature_is_kept():
    left = reasons_left_out(NAMES, seen(correlated(), (False, True, True, True, True)), None, Selection(max_correlation=0.999))
    assert list(left) == ["a"]


def test_features_that_drift_are_dropped_and_limits_can_be_off():
    psi = [0.1, 3.0, 0.1, 0.0, 0.1]
    left = reasons_left_out(NAMES, seen(np.eye(5)), psi, Selection(max_psi=1.0))
    assert left == {"b": "unstable: psi 3.000 > 1.0", "still": "constant"}
    off = Selection(max_correlation=None, max_psi=None)
    assert list(reasons_left_out(NAMES, seen(correlated()), psi, off)) == ["still"]


def test_the_population_stability_index_by_hand():
    codes = np.arange(10)
    even = np.full(10, 100.0)
    assert drift_of_later_rows(Histogram(codes, 2 * even, even, codes * 0.0, 2 * even, even)) == pytest.approx(0.0, abs=1e-12)
    # two tenths: 150 and 50 of the later rows, 50 and 150 of the earlier
    rows = np.array([200.0, 200.0])
    shares = Histogram(np.arange(2), rows, np.array([150.0, 50.0]), np.zeros(2), rows, np.array([150.0, 50.0]))
    p, q = np.array([150.5, 50.5]) / 201, np.array([50.5, 150.5]) / 201
    assert drift_of_later_rows(shares) == pytest.approx(((p - q) * np.log(p / q)).sum())
    assert m.stability_index(np.array([150.0, 50.0, 0.0]), np.array([50.0, 150.0, 0.0])) == drift_of_later_rows(shares)
    # a feature that counts days: no value of the later rows was seen before
    apart = Histogram(np.arange(2), rows, np.array([0.0, 200.0]), np.zeros(2), rows, np.array([0.0, 200.0]))
    assert drift_of_later_rows(apart) > 5


@pytest.mark.case(30)
def test_features_that_never_vary_are_refused(monkeypatch):
    one = settings(model={"selection": {"max_psi": None}})
    still = seen(np.eye(5), (False,) * 5)
    monkeypatch.setattr(selection, "feature_moments", lambda *_: still)
    schema = Schema(tuple(NAMES), (0.0,) * 5, tuple(NAMES))
    with pytest.raises(Refused, match="every one of the 5 features is constant over the train span: nothing to learn from"):
        selection.select_features(None, None, schema, one)


def test_moments_are_numpys():
    rng = np.random.default_rng(3)
    raw = rng.normal(size=(50, 3))
    raw[::5, 1] = np.nan
    batches = [
        pa.RecordBatch.from_arrays([pa.array([[None if np.isnan(v) else v for v in row] for row in part])], names=["values"])
        for part in (raw[:20], raw[20:])
    ]
    (found,) = worker_sums.sum_moments(iter(batches), [0.0, 7.0, 0.0])
    numbers = found.column(1).to_pylist()
    filled = np.where(np.isnan(raw), 7.0, raw)
    rows, missing, present, total, least, greatest = numbers[1]
    assert (rows, missing) == (50.0, 10.0)
    assert (present, total) == pytest.approx((np.nansum(raw[:, 1]), filled[:, 1].sum()))
    assert (least, greatest) == (filled[:, 1].min(), 7.0)
    assert np.array(numbers[3:]) == pytest.approx(filled.T @ filled)


def test_drift_compares_the_last_third_and_the_error_says_what_to_loosen(spark):
    one = settings(model={"selection": {"max_psi": 0.5, "max_correlation": 0.99}})
    given = [(float(n % 7 + 10 * (n >= 60)), float(n % 5), n >= 60) for n in range(90)]
    frame = spark.createDataFrame(
        [([a, b], late, 1.0) for a, b, late in given], "values array<double>, last_third boolean, weight double"
    )

    def found(names):
        schema = Schema(tuple(names), (0.0,) * len(names), tuple(names))
        of = frame if len(names) == 2 else frame.selectExpr("array(values[0]) AS values", "last_third", "weight")
        return selection.select_features(of, of, schema, one)

    both = found(["moves", "stays"])
    assert both.kept == ("stays",) and both.left["moves"].startswith("unstable: psi ")
    with pytest.raises(Refused, match=r"no feature stays: \{'moves': 'unstable: .* loosen model.selection"):
        found(["moves"])
