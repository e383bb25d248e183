"""Trees prepared as tables: a row only looks up what its splits decided, for margins, leaves and exact Shapley values.

The game of the values is TreeSHAP's path-dependent one (Lundberg et al., From local explanations to global understanding
with explainable AI for trees, Nature Machine Intelligence 2 (2020)): a feature that is not known goes both ways, in the
shares of the rows that went there in training. What a leaf adds depends on nothing but which features of its path the row
satisfies, so all its values stand in a table of 2^features rows (Yang, Fast TreeSHAP, 2021). Leaves whose paths share
splits are added up beforehand into one table, a *piece*: a tree of depth 5 is four tables of 512 rows, not 32 leaves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churnwatch.model.trees import Floats, Tree

PIECE_SPLITS = 9  # of the tables of a piece each column then lies in the fastest cache: 4 KB
MOST_BYTES = 64_000_000  # deeper forests are left to LightGBM's own recursion, which needs no tables and 50 times as long

Step = tuple[int, bool]  # an inner node, and whether the path goes left there


@dataclass(frozen=True)
class Leaf:
    """A leaf and the way to it from the root."""

    leaf: int
    path: tuple[Step, ...]


def expected_value(trees: Sequence[Tree]) -> float:
    """The mean margin of the rows that the trees were grown on: what exact contributions start from."""
    return float(sum(_mean(tree) for tree in trees))


def _mean(tree: Tree) -> float:
    # the text of a leaf alone has no counts
    return float(np.average(tree.leaf_value, weights=tree.leaf_count if len(tree.feature) else None))


def pieces(trees: Sequence[Tree], reasons: bool) -> list[dict[str, Any]] | None:
    """What workers need of each tree: ``splits`` (feature, threshold), and ``pieces`` with the places of theirs and tables.

    Bit n of a table's row says whether the user goes left at the piece's n-th split. Tables: ``values`` and ``leaves``, 0 where
    the leaf lies in another piece; for ``reasons`` also ``effects`` (feature, Shapley value). None where they would be too large.
    """
    cut = [list(_cut(tree)) for tree in trees]
    sizes = (8 * len(nodes) << len(nodes) for one in cut for nodes, _ in one)
    if sum(sizes) > MOST_BYTES:
        return None
    return [_prepared(tree, one, reasons) for tree, one in zip(trees, cut, strict=True)]


def _cut(tree: Tree) -> Iterator[tuple[list[int], list[Leaf]]]:
    """Parts of the tree with all splits that lead into and stand in them: as many as ``PIECE_SPLITS`` where the path is no
    longer."""
    waiting: list[tuple[int, tuple[Step, ...]]] = [(0, ())] if len(tree.feature) else []
    while waiting:
        node, path = waiting.pop()
        inner, leaves = _below(tree, node, path)
        if node < 0 or len(path) + len(inner) <= PIECE_SPLITS or not _can_split(tree, node):
            yield [step[0] for step in path] + inner, leaves
        else:
            waiting += [(int(tree.left[node]), (*path, (node, True))), (int(tree.right[node]), (*path, (node, False)))]


def _can_split(tree: Tree, node: int) -> bool:
    return tree.left[node] >= 0 or tree.right[node] >= 0


def _below(tree: Tree, node: int, path: tuple[Step, ...]) -> tuple[list[int], list[Leaf]]:
    inner: list[int] = []
    leaves: list[Leaf] = []
    waiting = [(node, path)]
    while waiting:
        here, way = waiting.pop()
        if here < 0:
            leaves.append(Leaf(-1 - here, way))
        else:
            inner.append(here)
            waiting += [(int(tree.left[here]), (*way, (here, True))), (int(tree.right[here]), (*way, (here, False)))]
    return inner, leaves


def _prepared(tree: Tree, cut: list[tuple[list[int], list[Leaf]]], reasons: bool) -> dict[str, Any]:
    if not cut:
        # a leaf alone: a split that sends everybody to it
        alone = {"splits": [0], "values": np.repeat(tree.leaf_value, 2), "leaves": np.zeros(2, np.int64), "effects": []}
        return {"splits": [(0, 0.0)], "pieces": [alone]}
    splits = list(zip(tree.feature.tolist(), tree.threshold.tolist(), strict=True))
    return {"splits": splits, "pieces": [_piece(tree, nodes, leaves, reasons) for nodes, leaves in cut]}


def _piece(tree: Tree, nodes: list[int], leaves: list[Leaf], reasons: bool) -> dict[str, Any]:
    codes = np.arange(1 << len(nodes))
    went_left = {node: (codes >> place & 1).astype(bool) for place, node in enumerate(nodes)}
    values, places = np.zeros(len(codes)), np.zeros(len(codes), dtype=np.int64)
    for leaf in leaves:
        here = np.logical_and.reduce([went_left[node] == left for node, left in leaf.path])
        values[here], places[here] = tree.leaf_value[leaf.leaf], leaf.leaf
    added = _effects(tree, leaves, went_left) if reasons else {}
    return {"splits": nodes, "values": values, "leaves": places, "effects": sorted(added.items())}


def _effects(tree: Tree, leaves: list[Leaf], went_left: Mapping[int, NDArray[np.bool_]]) -> dict[int, Floats]:
    """Of each feature a table by row of decisions: what it adds through these leaves."""
    steps = [_by_feature(tree, leaf) for leaf in leaves]
    added: dict[int, Floats] = {}
    for count in {len(own) for own in steps}:
        chosen = [n for n, own in enumerate(steps) if len(own) == count]
        shares = np.array([[np.prod([_share(tree, step) for step in own]) for own in steps[n].values()] for n in chosen])
        tables = effects(np.array([tree.leaf_value[leaves[n].leaf] for n in chosen]), shares)
        for n, table in zip(chosen, tables, strict=True):
            held = [np.logical_and.reduce([went_left[node] == left for node, left in own]) for own in steps[n].values()]
            row = sum(one.astype(np.int64) << place for place, one in enumerate(held))
            for place, feature in enumerate(steps[n]):
                added[feature] = added.get(feature, 0.0) + table[:, place].take(row)
    return added


def _by_feature(tree: Tree, leaf: Leaf) -> dict[int, list[Step]]:
    """The steps of the path to a leaf by the feature that they ask for."""
    steps: dict[int, list[Step]] = {}
    for node, left in leaf.path:
        steps.setdefault(int(tree.feature[node]), []).append((node, left))
    return steps


def _share(tree: Tree, step: Step) -> float:
    """Share of the node's rows that went where the step goes."""
    node, left = step
    child = int(tree.left[node] if left else tree.right[node])
    rows = tree.internal_count[child] if child >= 0 else tree.leaf_count[-1 - child]
    return float(rows / tree.internal_count[node])


def effects(values: Floats, shares: Floats) -> Floats:
    """Shapley values on the paths to leaves of ``values``, with the ``shares`` of their features: [leaf, row, feature].

    A row is a set of satisfied features, bit by bit. v(S) = value x product over S of (satisfied) x product over the others
    of their shares. The sum over sets S is taken by their size: coefficients of the product of (share + satisfied y),
    weighted s! (d - s - 1)! / d!.
    """
    d = shares.shape[1]
    satisfied = (np.arange(1 << d)[:, None] >> np.arange(d) & 1).astype(np.float64)
    weights = np.array([factorial(s) * factorial(d - s - 1) / factorial(d) for s in range(d)])
    table = np.zeros((len(values), 1 << d, d))
    for own in range(d):
        by_size = np.zeros((d, len(values), 1 << d))
        by_size[0] = 1.0
        for other in range(d):
            if other != own:
                grown = by_size * shares[:, other, None]
                grown[1:] += by_size[:-1] * satisfied[:, other]
                by_size = grown
        weighted = np.tensordot(weights, by_size, axes=1)
        table[:, :, own] = values[:, None] * (satisfied[:, own] - shares[:, own, None]) * weighted
    return table
