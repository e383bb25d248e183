"""Sums over labelled rows, made in Spark's workers: histograms of scores, bootstrap sums, segments, moments.

The functions travel by value (``shipping``), as ``worker`` does, and yield bounded tables that the driver adds up. ``users``
and ``churned`` are sums of the rows' weights (``frame.labelled_rows``); ``rows`` and ``hits`` (churned rows) are unweighted
counts, which decide whether there are enough data.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import churnwatch.model.worker as worker
from churnwatch.model.worker_model import WorkerModel

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Batches = Iterator[pa.RecordBatch]

MODEL, FIRST_COLUMN = 0, 8  # scores: the judged model's margin, then its rivals', then the columns of the values
LOSSES, PROBABILITY_SUMS = 100_000, 100_001  # in the place of a score: sums that belong to no score
LEAST_LIKELIHOOD = 1e-15
CODE_BITS = 24  # of a float32's 32: sign, exponent and 15 bits of fraction; whole numbers to 65,536 keep codes of their own
COARSE_BITS = 16  # with 7 bits of fraction, for all columns at once: the tables stay small


@dataclass(frozen=True)
class Scores:
    """What is computed for each row: the margins of ``models``, and columns of the array of ``width`` values.

    ``by_bin``: margins are counted by the models' bins, else by order code. ``bits``: of the order codes.
    """

    models: Sequence[WorkerModel]
    width: int
    columns: Sequence[int] = ()
    by_bin: bool = True
    bits: int = CODE_BITS


@dataclass(frozen=True)
class Bootstrap:
    """What is resampled: the scores in ``edges`` (codes that begin a new group, by score), losses of the models calibrated with
    ``calibrations``, and the judged model's probabilities by calibration bin (``bin_of_group``)."""

    scores: Scores
    calibrations: Sequence[Mapping[str, Any]]
    edges: Mapping[int, Sequence[int]]
    bin_of_group: Sequence[int]
    replicates: int


@dataclass(frozen=True)
class Segments:
    """What is summed by segment: the model's margin in groups (``edges``: codes that begin a new one), for each of ``names``."""

    scores: Scores
    calibration: Mapping[str, Any]
    edges: Sequence[int]
    names: Sequence[str]


def order_codes(values: Floats, kept: int = CODE_BITS) -> Whole:
    """Whole numbers below 2^``kept`` in the order of ``values``: the upper bits of a float32. NaN gets the greatest."""
    bits = np.where(np.isnan(values), np.float32(np.inf), values.astype(np.float32)).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (ordered >> np.uint32(32 - kept)).astype(np.int64)


def poisson_weights(user_hash: Whole, replicates: int) -> Floats:
    """Bootstrap weights, Poisson with mean 1: one row a user, one column a replicate. Replicate 0 is the data, weight 1.

    A user has the same weights on all days and partitions, because they are a hash (splitmix64) of user and replicate.
    """
    salts = np.arange(1, replicates + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = user_hash.astype(np.int64).view(np.uint64)[:, None] + salts[None, :]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    uniform = ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    terms = np.exp(-1.0) / np.cumprod(np.concatenate([[1.0], np.arange(1.0, 16.0)]))
    weights = np.searchsorted(np.cumsum(terms), uniform, side="right").astype(np.float64)
    return np.hstack([np.ones((len(user_hash), 1)), weights])


def _numbers(batch: pa.RecordBatch, name: str) -> Any:
    return worker.column_of(batch, name).to_numpy(zero_copy_only=False)


def count_scores(batches: Batches, spec: Scores) -> Batches:
    """Histogram of every score of ``spec`` by label: rows of (score, code, users, churned, total, rows, hits).

    ``code``: the margin's bin, or the column's order code; ``total``: the weighted sum of the margins, 0 for columns.
    """
    sums: dict[tuple[int, int], Floats] = {}
    for batch in batches:
        values = worker.matrix(worker.column_of(batch, "values"), spec.width)
        label, weight = _numbers(batch, "label"), _numbers(batch, "weight")
        for score, model in enumerate(spec.models):
            margin = model.margin(model.features(values))
            codes = model.margin_bins(margin) if spec.by_bin else order_codes(margin, spec.bits)
            _count(sums, score, codes, label, weight, margin)
        for column in spec.columns:
            codes = order_codes(values[:, column], spec.bits)
            _count(sums, FIRST_COLUMN + column, codes, label, weight, np.zeros(len(label)))
    keys = sorted(sums)
    table = np.array([(*key, *sums[key]) for key in keys]).reshape(-1, 7)
    yield pa.RecordBatch.from_arrays(
        [pa.array(table[:, 0].astype(np.int32)), pa.array(table[:, 1].astype(np.int64))]
        + [pa.array(table[:, n]) for n in range(2, 7)],
        names=["score", "code", "users", "churned", "total", "rows", "hits"],
    )


def _count(sums: dict[tuple[int, int], Floats], score: int, codes: Whole, label: Floats, weight: Floats, margin: Floats) -> None:
    distinct, place = np.unique(codes, return_inverse=True)
    numbers = (weight, weight * label, weight * margin, np.ones(len(label)), label)
    parts = np.column_stack([np.bincount(place, part) for part in numbers])
    for code, part in zip(distinct.tolist(), parts, strict=True):
        key = (score, code)
        sums[key] = sums[key] + part if key in sums else part


def key_of(score: int, group: Any, label: Any) -> Any:
    """Key of a bootstrap sum: score, group of the score's codes, label."""
    return (score * (1 << CODE_BITS) + group) * 2 + label


def resample(batches: Batches, spec: Bootstrap) -> Batches:
    """Bootstrap sums: rows of (key, sum by replicate) for the scores in ``spec.edges``, losses and probabilities."""
    models = spec.scores.models
    sums: dict[int, Any] = {}
    for batch in batches:
        values = worker.matrix(worker.column_of(batch, "values"), spec.scores.width)
        label = _numbers(batch, "label").astype(np.int64)
        if not len(label):
            continue
        weights = poisson_weights(_numbers(batch, "user_hash"), spec.replicates) * _numbers(batch, "weight")[:, None]
        margins = [model.margin(model.features(values)) for model in models]
        for score, edges in spec.edges.items():
            column = score - FIRST_COLUMN
            codes = order_codes(values[:, column]) if column >= 0 else models[score].margin_bins(margins[score])
            group = np.searchsorted(edges, codes, side="right")
            _add(sums, key_of(score, group, label), weights)
            if column >= 0:
                continue
            probability = worker.probabilities(margins[score], spec.calibrations[score])
            _add_losses(sums, score, label, probability, weights)
            if score == MODEL:
                bins = np.asarray(spec.bin_of_group)[group]
                _add(sums, key_of(PROBABILITY_SUMS, bins, 0), weights * probability[:, None])
    yield _table_of(sums)


def _losses(label: Whole, probability: Floats) -> Floats:
    # a wrong probability that rounds to 0 or 1 would have an infinite log loss
    likelihood = np.maximum(np.where(label == 1, probability, 1.0 - probability), LEAST_LIKELIHOOD)
    return np.column_stack([(probability - label) ** 2, -np.log(likelihood)])


def _add_losses(sums: dict[int, Any], score: int, label: Whole, probability: Floats, weights: Floats) -> None:
    for place, total in enumerate(_losses(label, probability).T @ weights):
        key = key_of(LOSSES, 2 * score + place, 0)
        sums[key] = sums.get(key, 0.0) + total


def _add(sums: dict[int, Any], keys: Whole, weights: Floats) -> None:
    order = np.argsort(keys, kind="stable")
    distinct, starts = np.unique(keys[order], return_index=True)
    for key, total in zip(distinct, np.add.reduceat(weights[order], starts, axis=0), strict=True):
        sums[int(key)] = sums.get(int(key), 0.0) + total


def add_by_key(batches: Batches) -> Batches:
    """Add up the rows of each key: (key, sums)."""
    sums: dict[int, Any] = {}
    for batch in batches:
        arrays = batch.column(1)
        if not len(arrays):
            continue
        rows = worker.matrix(arrays, len(arrays[0]))
        for key, row in zip(batch.column(0).to_pylist(), rows, strict=True):
            sums[key] = sums.get(key, 0.0) + row
    yield _table_of(sums)


def _table_of(sums: dict[int, Any]) -> pa.RecordBatch:
    keys = sorted(sums)
    return pa.RecordBatch.from_arrays(
        [pa.array(keys, pa.int64()), pa.array([sums[key] for key in keys], pa.list_(pa.float64()))],
        names=["key", "sums"],
    )


def sum_by_segment(batches: Batches, spec: Segments) -> Batches:
    """Sums by segment, value and group of the margin: rows of (segment, value, bin, users, churned, probability, squared,
    log_loss, rows, hits). Rows whose segment is null are left out of that segment."""
    (model,) = spec.scores.models
    sums = dict[tuple[str, str, int], Any]()
    for batch in batches:
        label = _numbers(batch, "label").astype(np.int64)
        if not len(label):
            continue
        values = worker.matrix(worker.column_of(batch, "values"), spec.scores.width)
        margin = model.margin(model.features(values))
        probability = worker.probabilities(margin, spec.calibration)
        parts = np.column_stack([np.ones(len(label)), label, probability, _losses(label, probability)])
        parts = np.column_stack([parts * _numbers(batch, "weight")[:, None], np.ones(len(label)), label])
        group = np.searchsorted(spec.edges, model.margin_bins(margin), side="right")
        flat = worker.column_of(batch, "segments").flatten()
        for place, name in enumerate(spec.names):
            coded = flat.take(pa.array(np.arange(place, len(flat), len(spec.names)))).dictionary_encode()
            codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
            keys = codes * (1 << CODE_BITS) + group
            distinct, inverse = np.unique(keys, return_inverse=True)
            totals = np.column_stack([np.bincount(inverse, part) for part in parts.T])
            known = coded.dictionary.to_pylist()
            for key, total in zip(distinct.tolist(), totals, strict=True):
                if key >= 0:
                    full = (name, known[key >> CODE_BITS], key & ((1 << CODE_BITS) - 1))
                    sums[full] = sums.get(full, 0.0) + total
    yield pa.RecordBatch.from_arrays(
        [pa.array([key[0] for key in sums], pa.string()), pa.array([key[1] for key in sums], pa.string())]
        + [pa.array([key[2] for key in sums], pa.int64())]
        + [pa.array([total[n] for total in sums.values()], pa.float64()) for n in range(7)],
        names=["segment", "value", "bin", "users", "churned", "probability", "squared", "log_loss", "rows", "hits"],
    )


def sum_moments(batches: Batches, spec: Sequence[float]) -> Batches:
    """Sums for the moments of the features, missing values imputed with ``spec``: one table a partition, rows (key, numbers).

    Key n: rows, missing, sum of the present values, sum, least and greatest of feature n; key features + n: the sums of its
    products with every feature.
    """
    width = len(spec)
    rows, products = 0, np.zeros((width, width))
    added, least, greatest = np.zeros((3, width)), np.full(width, np.inf), np.full(width, -np.inf)
    for batch in batches:
        raw = worker.matrix(worker.column_of(batch, "values"), width)
        if not len(raw):
            continue
        values = np.where(np.isnan(raw), np.asarray(spec), raw)
        rows += len(raw)
        added += np.vstack([np.isnan(raw).sum(axis=0), np.nansum(raw, axis=0), values.sum(axis=0)])
        least, greatest = np.minimum(least, values.min(axis=0)), np.maximum(greatest, values.max(axis=0))
        products += values.T @ values
    ends = [[float(rows), *added[:, n], least[n], greatest[n]] for n in range(width)]
    numbers = pa.array([*ends, *products.tolist()], pa.list_(pa.float64()))
    yield pa.RecordBatch.from_arrays([pa.array(range(2 * width), pa.int64()), numbers], names=["key", "numbers"])
