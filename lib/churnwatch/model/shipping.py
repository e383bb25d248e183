"""Sends models and functions to Spark's workers by value, and maps frames with them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from pyspark import cloudpickle
from pyspark.sql import DataFrame

from churnwatch.model import linear, margin_bins, rule_text, shap, trees, worker, worker_model, worker_sums
from churnwatch.model.schema import Schema
from churnwatch.model.worker_model import DeepTreeModel, LinearModel, Path, SingleFeatureModel, TreeModel, WorkerModel

# executors need numpy, pyarrow and lightgbm, and nothing of ours
for module in (worker_model, worker, worker_sums):
    cloudpickle.register_pickle_by_value(module)


def worker_model_of(text: str, schema: Schema, names: Sequence[str], reasons: bool = False) -> WorkerModel:
    """The model of a text as workers apply it; ``names``: the columns in the array of values, in order.

    ``reasons``: with the tables that contributions need. Margins of a text without edges have bins of equal width between the
    least and the greatest one: one bin for a linear text that has just been made.
    """
    text, edges = margin_bins.split_edges(text)
    place, measures = {name: n for n, name in enumerate(names)}, schema.measure_numbers
    places, fills = [place[name] for name in schema.features], list(schema.fills)
    if linear.is_linear(text):
        parts = linear.parse(text)
        coefficients, means = np.array(parts["coefficients"]), np.array(parts["means"])
        expected = parts["intercept"] + float(np.dot(coefficients, means))
        if edges is None:  # releases made before a text held edges have the least and the greatest margin of training
            edges = margin_bins.equal_widths(parts["low"], parts["high"]) if "low" in parts else np.zeros(0)
        return LinearModel(places, fills, edges, expected, measures, coefficients, means, parts["intercept"])
    if rule_text.is_rule(text):
        parts = rule_text.parse(text)
        knots, margins = np.array(parts["knots"]), np.array(parts["margins"])
        if edges is None:
            edges = margin_bins.equal_widths(float(margins.min()), float(margins.max()))
        return SingleFeatureModel(places, fills, edges, parts["expected"], measures, knots, margins)
    parsed = trees.parse(text)
    if edges is None:
        edges = margin_bins.equal_widths(*trees.bounds(parsed))
    common = (places, fills, edges, shap.expected_value(parsed), measures)
    tables = shap.tree_tables(parsed, measures if reasons else None)
    if tables is not None:
        return TreeModel(*common, tables)
    paths = [_path(tree, len(schema.features)) for tree in parsed] if reasons else []
    return DeepTreeModel(*common, text, trees.base_value(parsed), paths)


def _path(tree: trees.Tree, features: int) -> Path:
    table = trees.path_contributions(tree, features)
    return Path(tree.leaf_value, [(int(n), np.ascontiguousarray(table[:, n])) for n in np.unique(tree.feature)])


def map_batches(frame: DataFrame, function: Callable[..., Any], spec: Any, schema: str) -> DataFrame:
    """``function(batches, spec)`` over the Arrow batches of each partition; ``function(batches)`` where ``spec`` is None."""
    return frame.mapInArrow(function if spec is None else partial(function, spec=spec), schema)
