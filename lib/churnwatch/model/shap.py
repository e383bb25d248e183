"""Trees as lookup tables, indexed by the outcomes of their splits: margins and exact Shapley values.

The values are TreeSHAP's path-dependent ones (Lundberg et al., From local explanations to global understanding with
explainable AI for trees, Nature Machine Intelligence 2 (2020)): an unknown feature goes both ways, weighted by the shares of
training rows that went there. Players are measures: all features of a measure are known or unknown together. What a leaf adds
depends only on which measures of its path the row satisfies, so all its values fit in a table of 2^measures rows (Yang, Fast
TreeSHAP, 2021). The leaves below one node share splits, so their tables are summed into one *piece*: a tree of depth 5 becomes
four tables of 512 rows instead of 32 leaves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

from churnwatch.model.trees import Floats, Tree
from churnwatch.model.worker_model import Piece, TreeTables

PIECE_SPLITS = 9  # a column of a piece's tables then has 4 KB and stays in the fastest cache
MOST_BYTES = 64_000_000  # of all ``values`` tables; larger forests are left to LightGBM, which takes 50 times as long

Step = tuple[int, bool]  # an inner node, and whether the path goes left there
Part = tuple[list[int], list["Leaf"]]  # the inner nodes whose outcomes decide on the leaves


@dataclass(frozen=True)
class Leaf:
    """A leaf and the path to it from the root."""

    leaf: int
    path: tuple[Step, ...]


def expected_value(trees: Sequence[Tree]) -> float:
    """The mean margin of the rows that the trees were grown on: where exact contributions start from."""
    return float(sum(_mean(tree) for tree in trees))


def _mean(tree: Tree) -> float:
    # the text of a tree without splits has no counts
    return float(np.average(tree.leaf_value, weights=tree.leaf_count if len(tree.feature) else None))


def tree_tables(trees: Sequence[Tree], measures: Sequence[int] | None) -> list[TreeTables] | None:
    """Each tree as lookup tables, with Shapley values by measure where ``measures`` gives the number of each feature's measure.
    None where the tables would be larger than 64 MB."""
    parts = [list(_parts(tree)) for tree in trees]
    sizes = (8 * len(nodes) << len(nodes) for one in parts for nodes, _ in one)
    if sum(sizes) > MOST_BYTES:
        return None
    return [_tables(tree, one, measures) for tree, one in zip(trees, parts, strict=True)]


def _parts(tree: Tree) -> Iterator[Part]:
    """Cut the tree into parts with at most ``PIECE_SPLITS`` inner nodes, those on the way to the part included; a longer path
    to a single leaf makes a larger part."""
    waiting: list[tuple[int, tuple[Step, ...]]] = [(0, ())] if len(tree.feature) else []
    while waiting:
        node, path = waiting.pop()
        inner, leaves = _below(tree, node, path)
        if node < 0 or len(path) + len(inner) <= PIECE_SPLITS or not _can_cut(tree, node):
            yield [step[0] for step in path] + inner, leaves
        else:
            waiting += [(int(tree.left[node]), (*path, (node, True))), (int(tree.right[node]), (*path, (node, False)))]


def _can_cut(tree: Tree, node: int) -> bool:
    return tree.left[node] >= 0 or tree.right[node] >= 0


def _below(tree: Tree, node: int, path: tuple[Step, ...]) -> Part:
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


def _tables(tree: Tree, parts: list[Part], measures: Sequence[int] | None) -> TreeTables:
    if not parts:
        # a leaf alone: one split with the same value on both sides
        return TreeTables([(0, 0.0)], [Piece([0], np.repeat(tree.leaf_value, 2), [])])
    splits = list(zip(tree.feature.tolist(), tree.threshold.tolist(), strict=True))
    return TreeTables(splits, [_piece(tree, nodes, leaves, measures) for nodes, leaves in parts])


def _piece(tree: Tree, nodes: list[int], leaves: list[Leaf], measures: Sequence[int] | None) -> Piece:
    masks = np.arange(1 << len(nodes))
    went_left = {node: (masks >> place & 1).astype(bool) for place, node in enumerate(nodes)}
    values = np.zeros(len(masks))
    for leaf in leaves:
        values[np.logical_and.reduce([went_left[node] == left for node, left in leaf.path])] = tree.leaf_value[leaf.leaf]
    effects = _effects(tree, leaves, went_left, measures) if measures is not None else {}
    return Piece(nodes, values, sorted(effects.items()))


def _effects(
    tree: Tree, leaves: list[Leaf], went_left: Mapping[int, NDArray[np.bool_]], measures: Sequence[int]
) -> dict[int, Floats]:
    """A table for each measure, by bit mask: what the measure adds through these leaves."""
    steps = [_by_measure(tree, leaf, measures) for leaf in leaves]
    added: dict[int, Floats] = {}
    for count in {len(own) for own in steps}:
        chosen = [n for n, own in enumerate(steps) if len(own) == count]
        shares = np.array([[np.prod([_share(tree, step) for step in own]) for own in steps[n].values()] for n in chosen])
        tables = shapley_tables(np.array([tree.leaf_value[leaves[n].leaf] for n in chosen]), shares)
        for n, table in zip(chosen, tables, strict=True):
            satisfied = [np.logical_and.reduce([went_left[node] == left for node, left in own]) for own in steps[n].values()]
            row = sum(one.astype(np.int64) << place for place, one in enumerate(satisfied))
            for place, measure in enumerate(steps[n]):
                added[measure] = added.get(measure, 0.0) + table[:, place].take(row)
    return added


def _by_measure(tree: Tree, leaf: Leaf, measures: Sequence[int]) -> dict[int, list[Step]]:
    """The steps of the path to a leaf by the measure of the feature that they split on."""
    steps: dict[int, list[Step]] = {}
    for node, left in leaf.path:
        steps.setdefault(measures[tree.feature[node]], []).append((node, left))
    return steps


def _share(tree: Tree, step: Step) -> float:
    """Share of the node's training rows that took the step."""
    node, left = step
    child = int(tree.left[node] if left else tree.right[node])
    rows = tree.internal_count[child] if child >= 0 else tree.leaf_count[-1 - child]
    return float(rows / tree.internal_count[node])


def shapley_tables(values: Floats, shares: Floats) -> Floats:
    """Shapley values of leaves with ``values``, whose paths have players with ``shares``: [leaf, set, player].

    A set is a bit mask of satisfied players. Here players are measures, and the share of one is the product over its steps.
    With v(S) = value x product over S of (satisfied) x product over the others of their shares, the sum over sets S is taken by
    their size: coefficients of the product of (share + satisfied y), weighted s! (d - s - 1)! / d!.
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
