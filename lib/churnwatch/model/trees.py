"""Write Spark's trees as LightGBM's text, and read the text. A margin is the sum of one leaf of each tree.

Boosted trees: a leaf is 2 x Spark's weight x Spark's prediction, because Spark's probability is the logistic of twice its
margin; the margin is a log-odds. Trees that vote (a forest, a single tree): a leaf is its share of churned rows / the number
of trees; the margin is Spark's probability. A value <= the threshold goes left in both libraries. Inner nodes keep their own
value as ``internal_value``: its difference along a path is what the split's feature added (Saabas, Interpreting random
forests, 2014). Counts are Spark's rows of each node, in the sample that the tree was grown on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAN_RIGHT = 8  # LightGBM's decision_type: numerical, NaN is missing and goes right, because `NaN <= t` is false in Spark
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    """A tree in LightGBM's numbering: children >= 0 are inner nodes, -1 - n is leaf n."""

    feature: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    threshold: Floats
    internal_value: Floats
    internal_count: Floats
    leaf_value: Floats
    leaf_count: Floats


def to_text(
    trees: Sequence[tuple[float, Sequence[Mapping[str, Any]]]],
    names: Sequence[str],
    kept: Sequence[int],
    votes: bool = False,
) -> str:
    """LightGBM's text of ``trees``: (weight, nodes as Spark stores them), over the features ``kept`` of ``names``.

    ``kept``: Spark's indexes of the features; raises ValueError when a tree splits on another one. ``votes``: the trees are a
    forest or a single tree, whose leaves hold rows by class.
    """
    position = {index: place for place, index in enumerate(kept)}
    head = [
        "tree",
        "version=v4",
        "num_class=1",
        "num_tree_per_iteration=1",
        "label_index=0",
        f"max_feature_idx={len(kept) - 1}",
        "objective=binary sigmoid:1",
        f"feature_names={' '.join(names[index] for index in kept)}",
        f"feature_infos={' '.join(['[-1e308:1e308]'] * len(kept))}",
        "",
    ]
    scales = [1.0 / len(trees) if votes else 2.0 * weight for weight, _ in trees]
    value = _share if votes else _prediction
    blocks = [
        _tree_text(number, {node["id"]: {**node, "value": scale * value(node)} for node in nodes}, position)
        for number, (scale, (_, nodes)) in enumerate(zip(scales, trees, strict=True))
    ]
    return "\n".join([*head, *blocks, "end of trees", "", "pandas_categorical:null", ""])


def _prediction(node: Mapping[str, Any]) -> float:
    return float(node["prediction"])


def _share(node: Mapping[str, Any]) -> float:
    stayed, churned = node["classes"]
    return float(churned / (stayed + churned))


def _tree_text(number: int, by_id: Mapping[int, Mapping[str, Any]], position: Mapping[int, int]) -> str:
    inner, leaves = _in_order(by_id)
    places = {node_id: n for n, node_id in enumerate(inner)} | {node_id: -1 - n for n, node_id in enumerate(leaves)}

    def line(key: str, values: Sequence[Any]) -> str:
        return f"{key}={' '.join(repr(v) for v in values)}"

    splits = [by_id[node_id] for node_id in inner]
    lines = [f"Tree={number}", f"num_leaves={len(leaves)}", "num_cat=0"]
    if splits:
        lines += [
            line("split_feature", [_position(node, position) for node in splits]),
            line("split_gain", [float(node["gain"]) for node in splits]),
            line("threshold", [float(node["threshold"]) for node in splits]),
            line("decision_type", [NAN_RIGHT] * len(splits)),
            line("left_child", [places[node["left"]] for node in splits]),
            line("right_child", [places[node["right"]] for node in splits]),
        ]
    lines.append(line("leaf_value", [by_id[node_id]["value"] for node_id in leaves]))
    if splits:
        lines += [
            line("leaf_weight", [float(by_id[node_id]["count"]) for node_id in leaves]),
            line("leaf_count", [int(by_id[node_id]["count"]) for node_id in leaves]),
            line("internal_value", [node["value"] for node in splits]),
            line("internal_weight", [float(node["count"]) for node in splits]),
            line("internal_count", [int(node["count"]) for node in splits]),
        ]
    return "\n".join([*lines, "is_linear=0", "shrinkage=1", "", ""])


def _position(node: Mapping[str, Any], position: Mapping[int, int]) -> int:
    if node["feature"] not in position:
        raise ValueError(f"a tree splits on feature {node['feature']}, the model's schema has {sorted(position)}")
    return position[node["feature"]]


def _in_order(by_id: Mapping[int, Mapping[str, Any]]) -> tuple[list[int], list[int]]:
    """Ids of the inner nodes and of the leaves, both from the root down."""
    inner: list[int] = []
    leaves: list[int] = []
    waiting = [0]
    while waiting:
        node = by_id[waiting.pop()]
        if node["left"] < 0:
            leaves.append(node["id"])
        else:
            inner.append(node["id"])
            waiting += [node["right"], node["left"]]
    return inner, leaves


def parse(text: str) -> list[Tree]:
    """The trees of a text that ``to_text`` wrote."""
    trees = []
    for block in text.split("\nTree=")[1:]:
        fields = dict(line.split("=", 1) for line in block.splitlines()[1:] if "=" in line)
        trees.append(
            Tree(
                feature=_numbers(fields, "split_feature", np.int64),
                left=_numbers(fields, "left_child", np.int64),
                right=_numbers(fields, "right_child", np.int64),
                threshold=_numbers(fields, "threshold", np.float64),
                internal_value=_numbers(fields, "internal_value", np.float64),
                internal_count=_numbers(fields, "internal_count", np.float64),
                leaf_value=_numbers(fields, "leaf_value", np.float64),
                leaf_count=_numbers(fields, "leaf_count", np.float64),
            )
        )
    return trees


def _numbers(fields: Mapping[str, str], key: str, kind: type) -> NDArray[Any]:
    return np.array(fields.get(key, "").split(), dtype=kind)


def bounds(trees: Sequence[Tree]) -> tuple[float, float]:
    """The least and the greatest possible margin: sums of the trees' least and greatest leaves."""
    low = float(sum(tree.leaf_value.min() for tree in trees))
    high = float(sum(tree.leaf_value.max() for tree in trees))
    return low, max(high, low + 1e-9)


def base_value(trees: Sequence[Tree]) -> float:
    """The margin before any split: the sum of the roots."""
    return float(sum(tree.internal_value[0] if len(tree.internal_value) else tree.leaf_value[0] for tree in trees))


def path_contributions(tree: Tree, features: int) -> Floats:
    """What the splits on the way to each leaf added to the root's value: one row a leaf, one column a feature."""
    table = np.zeros((len(tree.leaf_value), features))
    if not len(tree.feature):
        return table
    waiting: list[tuple[int, Floats]] = [(0, np.zeros(features))]
    while waiting:
        node, so_far = waiting.pop()
        for child in (int(tree.left[node]), int(tree.right[node])):
            value = tree.internal_value[child] if child >= 0 else tree.leaf_value[-1 - child]
            path = so_far.copy()
            path[tree.feature[node]] += value - tree.internal_value[node]
            if child >= 0:
                waiting.append((child, path))
            else:
                table[-1 - child] = path
    return table
