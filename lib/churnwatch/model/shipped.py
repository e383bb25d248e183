"""Sends models and functions to Spark's workers by value, and gathers their bounded results."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import cloudpickle
from pyspark.sql import DataFrame

from churnwatch.model import applied, linear, shap, trees, worker, worker_sums
from churnwatch.model.schema import Schema

# executors need numpy, pyarrow and lightgbm, and nothing of ours
for module in (applied, worker, worker_sums):
    cloudpickle.register_pickle_by_value(module)

Batches = Iterator[pa.RecordBatch]


def packed(text: str, schema: Schema, names: Sequence[str], reasons: bool = False) -> dict[str, Any]:
    """The model of a text as workers take it; ``names``: the columns in the array of values, in order.

    ``reasons``: with what contributions need (``applied``): ``base`` of those along paths, ``expected`` of exact ones.
    """
    place = {name: n for n, name in enumerate(names)}
    common = {"columns": [place[name] for name in schema.features], "fills": list(schema.fills)}
    if linear.is_linear(text):
        parts = linear.parsed(text)
        mean = parts["intercept"] + float(np.dot(parts["coefficients"], parts["means"]))
        return {"kind": linear.KIND, **common, **parts, "base": mean, "expected": mean}
    grown = trees.parsed(text)
    low, high = trees.bounds(grown)
    pieces = shap.pieces(grown, reasons)
    made = {"kind": "tree", **common, "low": low, "high": high, "pieces": pieces, "text": text if pieces is None else None}
    return {**made, **_explaining(grown, len(schema.features))} if reasons else made


def _explaining(grown: list[trees.Tree], features: int) -> dict[str, Any]:
    paths = []
    for tree in grown:
        table = trees.contributions(tree, features)
        parts = [(int(feature), np.ascontiguousarray(table[:, feature])) for feature in np.unique(tree.feature)]
        paths.append((tree.leaf_value, parts))
    return {
        "base": trees.base_value(grown),
        "expected": shap.expected_value(grown),
        "paths": paths,
    }


def mapped(frame: DataFrame, function: Callable[..., Any], spec: dict[str, Any] | None, schema: str) -> DataFrame:
    """``function(batches, spec)`` over the Arrow batches of ``frame``; without a spec ``function(batches)``."""
    return frame.mapInArrow(function if spec is None else partial(function, spec=spec), schema)
