"""Bins of margins: they keep the ranking, whatever the margins' distribution is."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from churnwatch.model import linear, margin_bins, trees
from churnwatch.model.margin_bins import margin_edges
from churnwatch.model.schema import Schema
from churnwatch.model.shipping import worker_model_of

ONE = Schema(("x",), (0.0,), ("x",))


def ranked(margin, edges):
    return np.searchsorted(edges, margin, side="right")


@pytest.mark.parametrize("outlier", [6.0, 5_000.0, 50_000.0])
def test_an_outlier_leaves_the_ranking_of_all_others_as_it_is(outlier):
    rng = np.random.default_rng(5)
    margin = np.append(rng.normal(-2, 2, 20_000), outlier)
    churned = rng.random(len(margin)) < 1 / (1 + np.exp(-margin))
    bins = ranked(margin, margin_edges(margin, np.ones(len(margin))))
    assert roc_auc_score(churned, bins) == pytest.approx(roc_auc_score(churned, margin), abs=0.002)
    top, exact = (churned[np.argsort(-values, kind="stable")[:1000]].mean() for values in (bins, margin))
    assert top == pytest.approx(exact, abs=0.01)


def test_bins_keep_the_order_and_hold_about_equally_many_rows():
    rng = np.random.default_rng(6)
    margin = np.sort(np.exp(rng.normal(0, 3, 50_000)))
    edges = margin_edges(margin, np.ones(len(margin)))
    bins = ranked(margin, edges)
    assert (np.diff(edges) > 0).all() and len(edges) < margin_bins.MOST
    assert (np.diff(bins) >= 0).all() and np.bincount(bins).max() <= 12  # 50,000 rows in 9,000 bins


def test_margins_beyond_those_that_were_seen_keep_their_order():
    edges = margin_edges(np.linspace(-1, 1, 500), np.ones(500))
    beyond = np.array([-400.0, -40.0, -4.0, -1.5, 1.5, 4.0, 40.0, 400.0])
    assert (np.diff(ranked(beyond, edges)) > 0).all()


def test_few_different_margins_have_bins_of_their_own_whatever_their_last_digits_are():
    edges = margin_edges(np.array([-1.0, 0.3, 0.3 + 1e-14, 2.0]), np.array([5.0, 1.0, 1.0, 1.0]))
    assert len({*ranked(np.array([-1.0, 0.3, 2.0]), edges).tolist()}) == 3
    assert len({*ranked(0.3 + np.array([-1e-12, 0.0, 1e-14, 1e-12]), edges).tolist()}) == 1
    assert len(margin_edges(np.array([0.0]), np.ones(1))) > 0 and len(margin_edges(np.zeros(0), np.zeros(0))) == 0


@pytest.mark.parametrize(
    "text",
    [
        linear.to_text([2.0], 0.5, [0.0]),
        trees.to_text([(1.0, [{"id": 0, "prediction": 0.5, "left": -1, "right": -1, "count": 3}])], ["x"], [0]),
    ],
    ids=["linear", "trees"],
)
def test_edges_travel_in_the_text_of_a_model(text):
    edges = np.array([-1.0, 0.1, 1e-300, 7.25])
    for given in (edges, edges / 3):  # the second edges replace the first ones
        text = margin_bins.with_edges(text, given)
        model = worker_model_of(text, ONE, ["x"])
        assert model.edges.tolist() == given.tolist()
    assert model.margin(np.array([[1.0, 2.0]])).shape == (2,)


def test_releases_without_edges_keep_bins_of_equal_width():
    kind, tree = linear.to_text([2.0], 0.5, [0.0]).split("\n", 1)
    old = f'{kind}\n{tree.rstrip()[:-1]}, "low": -2.0, "high": 2.0}}\n'
    made = worker_model_of(old, ONE, ["x"])
    assert made.margin_bins(np.array([-3.0, -2.0, 0.0, 1.9999, 3.0])).tolist() == [0, 0, 5000, 9999, 9999]
