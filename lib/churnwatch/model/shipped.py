"""Sends functions to Spark's workers by value, and gathers their bounded results."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark import cloudpickle
from pyspark.sql import DataFrame

from churnwatch.model import trees, worker
from churnwatch.model.schema import Schema

# executors need numpy, pyarrow and lightgbm, and nothing of ours
cloudpickle.register_pickle_by_value(worker)

Batches = Iterator[pa.RecordBatch]


def forest(text: str, schema: Schema, names: tuple[str, ...]) -> dict[str, Any]:
    """A model as workers take it; ``names``: the columns in the array of values, in order."""
    place = {name: n for n, name in enumerate(names)}
    low, high = trees.bounds(trees.parsed(text))
    return {
        "text": text,
        "columns": [place[name] for name in schema.features],
        "fills": list(schema.fills),
        "low": low,
        "high": high,
    }


def mapped(frame: DataFrame, function: Callable[..., Any], spec: dict[str, Any] | None, schema: str) -> DataFrame:
    """``function(batches, spec)`` over the Arrow batches of ``frame``; without a spec ``function(batches)``."""
    return frame.mapInArrow(function if spec is None else partial(function, spec=spec), schema)
