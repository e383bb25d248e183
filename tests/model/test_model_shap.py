"""Exact Shapley values of trees against the shap package, against all orders of features, and without tables."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest
import shap

from churnwatch.model import shap as tables
from churnwatch.model.schema import Schema
from churnwatch.model.shap import expected_value, shapley_tables, tree_tables
from churnwatch.model.shipping import worker_model_of
from churnwatch.model.trees import base_value, parse, to_text
from churnwatch.model.worker_model import DeepTreeModel, TreeModel

FEATURES = 6
NAMES = [f"f{n}_1d" for n in range(FEATURES)]
SCHEMA = Schema(tuple(NAMES), (0.5,) * FEATURES, tuple(NAMES))


def grown(rng, depth, rows=4000):
    """Nodes of a tree as Spark stores them; some paths end early, features come back on a path."""
    nodes = []

    def grow(at, left, count):
        node = {"id": at, "prediction": float(rng.normal()), "count": count, "gain": 1.0, "left": -1, "right": -1}
        nodes.append(node | {"feature": -1, "threshold": 0.0})
        if left and count > 3 and (at == 0 or rng.random() < 0.9):
            part = int(rng.integers(1, count))
            split = {"feature": int(rng.integers(FEATURES)), "threshold": float(rng.normal())}
            nodes[-1] |= {"left": 2 * at + 1, "right": 2 * at + 2, **split}
            grow(2 * at + 1, left - 1, part)
            grow(2 * at + 2, left - 1, count - part)

    grow(0, depth, rows)
    return nodes


@pytest.fixture(scope="module", params=[1, 3, 5, 8])
def forest(request):
    """Text of trees of a depth, and rows with missing values."""
    rng = np.random.default_rng(request.param)
    trees = [(0.3, grown(rng, request.param)) for _ in range(6)]
    rows = rng.normal(size=(200, FEATURES))
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return to_text(trees, NAMES, range(FEATURES)), rows


def exact(model, rows):
    """Contributions, one row a user."""
    return model.shapley(model.features(rows))[1].T


def of_package(text, rows):
    """Values and base of the shap package, from the text's own numbers."""
    trees = []
    for tree in parse(text):
        inner = len(tree.feature)
        place = [child if child >= 0 else inner - 1 - child for pair in (tree.left, tree.right) for child in pair]
        leaves = len(tree.leaf_value)
        trees.append(
            {
                "children_left": np.array(place[:inner] + [-1] * leaves),
                "children_right": np.array(place[inner:] + [-1] * leaves),
                "children_default": np.array(place[inner:] + [-1] * leaves),
                "features": np.array(list(tree.feature) + [-2] * leaves),
                "thresholds": np.array(list(tree.threshold) + [0.0] * leaves),
                "values": np.concatenate([tree.internal_value, tree.leaf_value])[:, None],
                "node_sample_weight": np.concatenate([tree.internal_count, tree.leaf_count]),
            }
        )
    model = {"trees": trees, "input_dtype": np.float64, "internal_dtype": np.float64}
    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    return explainer.shap_values(rows, check_additivity=False), float(np.ravel(explainer.expected_value)[0])


def test_values_are_those_of_the_shap_package(forest):
    text, rows = forest
    made = worker_model_of(text, SCHEMA, NAMES, reasons=True)
    values, base = of_package(text, np.where(np.isnan(rows), 0.5, rows))
    assert np.abs(exact(made, rows) - values).max() < 1e-6
    assert made.expected == pytest.approx(base, abs=1e-6)
    assert np.abs(values).max() > 0.01


def test_tables_and_lightgbm_agree_and_add_up(forest, monkeypatch):
    text, rows = forest
    ours = worker_model_of(text, SCHEMA, NAMES, reasons=True)
    monkeypatch.setattr(tables, "MOST_BYTES", 10)
    deep = worker_model_of(text, SCHEMA, NAMES, reasons=True)
    assert isinstance(ours, TreeModel) and isinstance(deep, DeepTreeModel)
    features = ours.features(rows)
    margin, added = ours.shapley(features)
    assert np.array_equal(ours.margin(features), margin)
    assert np.abs(deep.margin(features) - margin).max() < 1e-12
    assert all(np.abs(a - b).max() < 1e-12 for a, b in zip((margin, added), deep.shapley(features), strict=True))
    assert np.abs(added.sum(axis=0) + ours.expected - margin).max() < 1e-12
    # along the paths: other contributions, the same margin
    path_margin, along = deep.along_paths(features)
    assert np.abs(path_margin - margin).max() < 1e-12
    assert deep.base == base_value(parse(text)) and np.abs(along.sum(axis=0) + deep.base - margin).max() < 1e-12


def expected_of(tree, row, known, node=0):
    """The tree's mean margin for ``row`` where only the features ``known`` are known: others go both ways by counts."""
    if node < 0:
        return tree.leaf_value[-1 - node]
    ways = {int(tree.left[node]): row[tree.feature[node]] <= tree.threshold[node]}
    ways[int(tree.right[node])] = not ways[int(tree.left[node])]
    if tree.feature[node] in known:
        return expected_of(tree, row, known, next(child for child, taken in ways.items() if taken))
    rows = [tree.internal_count[child] if child >= 0 else tree.leaf_count[-1 - child] for child in ways]
    shares = [count / tree.internal_count[node] for count in rows]
    return sum(share * expected_of(tree, row, known, child) for share, child in zip(shares, ways, strict=True))


def test_measures_are_players_whose_features_become_known_together(forest):
    text, rows = forest
    measures = ("a", "b", "a", "c", "b", "a")  # a has three windows, b two
    made = worker_model_of(text, Schema(tuple(NAMES), (0.5,) * FEATURES, measures), NAMES, reasons=True)
    members, trees = [{0, 2, 5}, {1, 4}, {3}], parse(text)
    features = made.features(rows[:12])
    margin, added = made.shapley(features)
    assert added.shape == (3, 12) and np.abs(added.sum(axis=0) + made.expected - margin).max() < 1e-12
    for user, row in enumerate(features.T):

        def worth(players, row=row):
            return sum(expected_of(tree, row, set().union(*(members[one] for one in players))) for tree in trees)

        for own in range(3):
            orders = [(order[: order.index(own)], own) for order in permutations(range(3))]
            gains = [worth([*before, one]) - worth(before) for before, one in orders]
            assert added[own, user] == pytest.approx(sum(gains) / factorial(3), abs=1e-10)
    # the values of the windows one by one add up to something else: the sum is no substitute
    by_feature = worker_model_of(text, SCHEMA, NAMES, reasons=True).shapley(features)[1]
    summed = np.array([by_feature[sorted(own)].sum(axis=0) for own in members])
    deep = max(len({measures[f] for f in tree.feature}) for tree in trees) > 1 and len(trees[0].feature) > 3
    assert not deep or np.abs(summed - added).max() > 1e-3


def test_rows_are_looked_up_in_chunks(forest, monkeypatch):
    text, rows = forest
    model = worker_model_of(text, SCHEMA, NAMES, reasons=True)
    features = model.features(rows)
    whole = [model.margin(features), *model.shapley(features)]
    monkeypatch.setattr("churnwatch.model.worker_model.CHUNK_ROWS", 64)
    parts = [model.margin(features), *model.shapley(features)]
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_shapley_values_are_the_mean_over_all_orders_in_which_features_become_known():
    shares, value = np.array([0.2, 0.7, 0.5]), 3.0
    found = shapley_tables(np.array([1.0, value]), np.array([shares, shares]))[1]
    for code in range(8):
        satisfied = [code >> n & 1 for n in range(3)]

        def worth(known, satisfied=satisfied):
            return value * np.prod([satisfied[n] if n in known else shares[n] for n in range(3)])

        for own in range(3):
            gains = [
                worth({*order[: order.index(own) + 1]}) - worth({*order[: order.index(own)]}) for order in permutations(range(3))
            ]
            assert found[code, own] == pytest.approx(np.mean(gains), abs=1e-14)


def test_leaves_that_share_splits_share_tables():
    rng = np.random.default_rng(3)
    nodes = []

    def grow(at, left, count):
        inner = {"left": 2 * at + 1, "right": 2 * at + 2, "feature": int(rng.integers(FEATURES)), "threshold": 0.0}
        nodes.append({"id": at, "prediction": 1.0, "count": count, "gain": 1.0, **(inner if left else {"left": -1, "right": -1})})
        if left:
            grow(2 * at + 1, left - 1, count // 2)
            grow(2 * at + 2, left - 1, count // 2)

    grow(0, 5, 3200)
    grown_tree = parse(to_text([(0.5, nodes)], NAMES, range(FEATURES)))
    (tree,) = tree_tables(grown_tree, range(FEATURES))
    assert [len(piece.splits) for piece in tree.pieces] == [9, 9, 9, 9]
    assert {len(table) for piece in tree.pieces for _, table in piece.effects} == {512}
    (plain,) = tree_tables(grown_tree, None)
    assert [piece.effects for piece in plain.pieces] == [[]] * 4


def test_a_tree_without_splits_adds_to_the_expected_value_alone():
    leaf = [{"id": 0, "prediction": 0.3, "count": 10, "gain": 0.0, "left": -1, "right": -1, "feature": -1, "threshold": 0.0}]
    text = to_text([(0.5, leaf)], NAMES, range(FEATURES))
    made = worker_model_of(text, SCHEMA, NAMES, reasons=True)
    assert made.expected == expected_value(parse(text)) == pytest.approx(0.3)
    margin, added = made.shapley(np.zeros((FEATURES, 2)))
    assert margin.tolist() == made.margin(np.zeros((FEATURES, 2))).tolist() == pytest.approx([0.3, 0.3])
    assert (added == 0).all()
