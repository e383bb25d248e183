"""What Spark's workers run on Arrow batches: numpy, pyarrow and lightgbm alone.

The functions travel by value (``shipped``), so that an executor needs nothing of ours installed; so do models, as plain
dictionaries (``shipped.packed``).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import churnwatch.model.applied as a

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Batches = Iterator[pa.RecordBatch]

MARGIN_BINS = 10_000
LOSSES, PROBABILITY_SUMS = 100_000, 100_001  # keys of sums that belong to no score
CODE_BITS = 16  # of a float32's 32: sign, exponent and 7 bits of fraction; whole numbers to 256 stay apart


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


def order_codes(values: Floats) -> Whole:
    """Whole numbers in the order of ``values``, at most 2^16: the upper bits of a float32, NaN above all."""
    bits = np.where(np.isnan(values), np.float32(np.inf), values.astype(np.float32)).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (ordered >> np.uint32(32 - CODE_BITS)).astype(np.int64)


def poisson_weights(user_hash: Whole, replicates: int) -> Floats:
    """Weights 0, 1, 2, ... of each user in each replicate, Poisson with mean 1; replicate 0 is the data: weight 1.

    A user has the same weights on all days and partitions: they are a hash (splitmix64) of user and replicate.
    """
    salts = np.arange(1, replicates + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = user_hash.astype(np.int64).view(np.uint64)[:, None] + salts[None, :]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    uniform = ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    terms = np.exp(-1.0) / np.cumprod(np.concatenate([[1.0], np.arange(1.0, 16.0)]))
    weights = np.searchsorted(np.cumsum(terms), uniform, side="right").astype(np.float64)
    return np.hstack([np.ones((len(user_hash), 1)), weights])


def counted(batches: Batches, spec: Mapping[str, Any]) -> Batches:
    """Histogram of every score in ``spec`` by label: rows of (score, code, rows, churned, total of the margin).

    Score 0 is the model's margin, 1 the earlier release's where there is one, 2 + n the n-th column of the values.
    """
    models = [a.opened(packed) for packed in spec["forests"]]
    sums: dict[tuple[int, int], Floats] = {}
    for batch in batches:
        values = matrix(column_of(batch, "values"), spec["width"])
        label = column_of(batch, "label").to_numpy(zero_copy_only=False)
        for score, (model, packed) in enumerate(zip(models, spec["forests"], strict=True)):
            margin = model.margin(model.columns(values))
            _count(sums, score, margin_bins(margin, packed), label, margin)
        for column in spec["columns"]:
            _count(sums, 2 + column, order_codes(values[:, column]), label, np.zeros(len(label)))
    keys = sorted(sums)
    table = np.array([(*key, *sums[key]) for key in keys]).reshape(-1, 5)
    yield pa.RecordBatch.from_arrays(
        [pa.array(table[:, 0].astype(np.int32)), pa.array(table[:, 1].astype(np.int64))]
        + [pa.array(table[:, n]) for n in (2, 3, 4)],
        names=["score", "code", "users", "churned", "total"],
    )


def _count(sums: dict[tuple[int, int], Floats], score: int, codes: Whole, label: Floats, margin: Floats) -> None:
    distinct, place = np.unique(codes, return_inverse=True)
    parts = np.column_stack([np.bincount(place), np.bincount(place, label), np.bincount(place, margin)])
    for code, part in zip(distinct.tolist(), parts, strict=True):
        key = (score, code)
        sums[key] = sums[key] + part if key in sums else part


def key_of(score: int, group: Any, label: Any) -> Any:
    """Key of a bootstrap sum: score, group of the score's codes, label."""
    return (score * (1 << CODE_BITS) + group) * 2 + label


def resampled(batches: Batches, spec: Mapping[str, Any]) -> Batches:
    """Bootstrap sums: rows of (key, sum by replicate) for the scores in ``spec["edges"]``, losses and probabilities."""
    models = [a.opened(packed) for packed in spec["forests"]]
    sums: dict[int, Any] = {}
    for batch in batches:
        values = matrix(column_of(batch, "values"), spec["width"])
        label = column_of(batch, "label").to_numpy(zero_copy_only=False).astype(np.int64)
        if not len(label):
            continue
        hashes = column_of(batch, "user_hash").to_numpy(zero_copy_only=False)
        weights = poisson_weights(hashes, spec["replicates"])
        all_margins = [model.margin(model.columns(values)) for model in models]
        for score, edges in spec["edges"].items():
            column = score - 2
            codes = order_codes(values[:, column]) if column >= 0 else margin_bins(all_margins[score], spec["forests"][score])
            group = np.searchsorted(edges, codes, side="right")
            _add(sums, key_of(score, group, label), weights)
            if score == 0:
                probability = probabilities(all_margins[0], spec["calibration"])
                _add_losses(sums, label, probability, weights)
                bins = np.asarray(spec["bin_of_group"])[group]
                _add(sums, key_of(PROBABILITY_SUMS, bins, 0), weights * probability[:, None])
    yield _summed(sums)


def _add_losses(sums: dict[int, Any], label: Whole, probability: Floats, weights: Floats) -> None:
    likelihood = np.where(label == 1, probability, 1.0 - probability)
    losses = np.column_stack([(probability - label) ** 2, -np.log(likelihood)])
    for place, total in enumerate(losses.T @ weights):
        key = key_of(LOSSES, place, 0)
        sums[key] = sums.get(key, 0.0) + total


def _add(sums: dict[int, Any], keys: Whole, weights: Floats) -> None:
    order = np.argsort(keys, kind="stable")
    distinct, starts = np.unique(keys[order], return_index=True)
    for key, total in zip(distinct, np.add.reduceat(weights[order], starts, axis=0), strict=True):
        sums[int(key)] = sums.get(int(key), 0.0) + total


def added_up(batches: Batches) -> Batches:
    """Rows of equal key added up: (key, sums)."""
    sums: dict[int, Any] = {}
    for batch in batches:
        arrays = batch.column(1)
        if not len(arrays):
            continue
        rows = matrix(arrays, len(arrays[0]))
        for key, row in zip(batch.column(0).to_pylist(), rows, strict=True):
            sums[key] = sums.get(key, 0.0) + row
    yield _summed(sums)


def _summed(sums: dict[int, Any]) -> pa.RecordBatch:
    keys = sorted(sums)
    return pa.RecordBatch.from_arrays(
        [pa.array(keys, pa.int64()), pa.array([sums[key] for key in keys], pa.list_(pa.float64()))],
        names=["key", "sums"],
    )
