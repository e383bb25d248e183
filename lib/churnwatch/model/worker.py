"""What Spark's workers need to read Arrow batches and to calibrate: numpy and pyarrow alone; travels by value (``shipping``)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def column_of(batch: pa.RecordBatch, name: str) -> pa.Array:
    """The batch's column of that name."""
    return batch.column(batch.schema.get_field_index(name))


def matrix(column: pa.Array | pa.ChunkedArray, width: int) -> Floats:
    """An Arrow column of lists of ``width`` numbers as a matrix; null becomes NaN."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float64).reshape(-1, width)


def stack_columns(batch: pa.RecordBatch, prefix: str, width: int) -> Floats:
    """The numeric columns ``prefix`` 0, 1, ... ``width`` - 1 as a matrix with one row each; null becomes NaN."""
    rows = np.empty((width, batch.num_rows))
    for n, row in enumerate(rows):
        row[:] = column_of(batch, f"{prefix}{n}").to_numpy(zero_copy_only=False)
    return rows


def probabilities(margin: Floats, calibration: Mapping[str, Any]) -> Floats:
    """Calibrated probabilities: Platt's logistic, or linear interpolation between isotonic points, constant beyond them."""
    if calibration["kind"] == "platt":
        return 1.0 / (1.0 + np.exp(-(calibration["slope"] * margin + calibration["intercept"])))
    return np.interp(margin, calibration["margins"], calibration["probabilities"])
