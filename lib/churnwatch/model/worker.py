"""What Spark's workers run on Arrow batches: numpy, pyarrow and lightgbm alone.

The functions travel by value (``shipped``), so that an executor needs nothing of ours installed; so do models, as plain
dictionaries (``shipped.packed``).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

MARGIN_BINS = 10_000


def column_of(batch: pa.RecordBatch, name: str) -> pa.Array:
    """The batch's column of that name."""
    return batch.column(batch.schema.get_field_index(name))


def matrix(column: pa.Array | pa.ChunkedArray, width: int) -> Floats:
    """An Arrow column of lists of ``width`` numbers as a matrix; null becomes NaN."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float64).reshape(-1, width)


def stacked(batch: pa.RecordBatch, prefix: str, width: int) -> Floats:
    """The columns ``prefix`` 0, 1, ... of numbers as a matrix with a row each; null becomes NaN."""
    rows = np.empty((width, batch.num_rows))
    for n, row in enumerate(rows):
        row[:] = column_of(batch, f"{prefix}{n}").to_numpy(zero_copy_only=False)
    return rows


def margin_bins(margin: Floats, packed: Mapping[str, Any]) -> Whole:
    """Bin 0 .. 9,999 of each margin: equal widths between the least and the greatest that the model knows."""
    place = (margin - packed["low"]) / (packed["high"] - packed["low"]) * MARGIN_BINS
    return np.clip(place, 0, MARGIN_BINS - 1).astype(np.int64)


def probabilities(margin: Floats, calibration: Mapping[str, Any]) -> Floats:
    """Calibrated probabilities: Platt's logistic, or straight lines between isotonic points, flat beyond them."""
    if calibration["kind"] == "platt":
        return 1.0 / (1.0 + np.exp(-(calibration["slope"] * margin + calibration["intercept"])))
    return np.interp(margin, calibration["margins"], calibration["probabilities"])
