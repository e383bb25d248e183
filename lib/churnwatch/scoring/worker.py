"""What Spark's workers run to score: margins, probabilities and reasons of an Arrow batch in one pass.

Numpy, pyarrow and lightgbm alone; travels by value (``model.shipping``).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import churnwatch.model.worker as w
from churnwatch.model.worker_model import DeepTreeModel, WorkerModel, fingerprint

HASH_PARTS = 100  # a margin bin is divided into this many cells by a hash of the user
REASON = pa.struct(
    [
        ("measure", pa.string()),
        ("value", pa.float64()),
        ("contribution", pa.float64()),
        ("cause", pa.string()),
        ("usual", pa.float64()),
    ]
)
OTHER, BASE = "(other)", "(base)"
FEATURE = "feature_"  # columns of the batches: feature_0, feature_1, ...

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class ExactBounds:
    """Users who get exact Shapley values of trees too deep for tables: ``cell`` and above, or ``probability`` and above; None:
    no users by this bound."""

    cell: int | None
    probability: float | None


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures by number: their ``names``, their ``causes`` (None without one), ``of_feature``: the measure of each feature, and
    ``members``: the features of each measure, one row a measure, padded with its first feature."""

    names: Sequence[str]
    causes: Sequence[str | None]
    of_feature: Sequence[int]
    members: Whole


@dataclass(frozen=True, eq=False)
class Scorer:
    """What is applied to each batch.

    ``reasons``: measures per user. ``usual``: the usual value of each feature (a column), one row for each of ``segments`` and
    a last one for all other users. ``exact``: where trees are too deep for tables, the users who get exact contributions.
    """

    model: WorkerModel
    calibration: Mapping[str, Any]
    measures: Measures
    reasons: int
    segments: Sequence[str]
    usual: Floats
    exact: ExactBounds | None = None


def cells_of(margin: Floats, user_hash: Whole, model: WorkerModel) -> Whole:
    """The cell of each user: margin bin x 100 + part of the hash. Users are ranked by cell."""
    part = (user_hash.view(np.uint64) >> np.uint64(32)) * np.uint64(HASH_PARTS) >> np.uint64(32)
    return model.margin_bins(margin) * HASH_PARTS + part.astype(np.int64)


def count_cells(batches: Iterator[pa.RecordBatch], spec: WorkerModel) -> Iterator[pa.RecordBatch]:
    """Count users per cell. Yield one row per non-empty cell with columns ``cell`` and ``users``."""
    users = np.zeros((len(spec.edges) + 1) * HASH_PARTS, dtype=np.int64)
    for batch in batches:
        if batch.num_rows:
            margin = spec.margin(spec.features(_raw(batch, spec)))
            hashes = w.column_of(batch, "user_hash").to_numpy(zero_copy_only=False)
            users += np.bincount(cells_of(margin, hashes, spec), minlength=len(users))
    taken = np.flatnonzero(users)
    yield pa.RecordBatch.from_arrays([pa.array(taken), pa.array(users[taken])], names=["cell", "users"])


def score_batches(batches: Iterator[pa.RecordBatch], spec: Scorer) -> Iterator[pa.RecordBatch]:
    """``user_id, value_cents, user_group`` unchanged, with margin, probability, cell, reasons and a hash of the features."""
    model = spec.model
    for batch in batches:
        if not batch.num_rows:
            continue
        raw = _raw(batch, model)
        hashes = w.column_of(batch, "user_hash").to_numpy(zero_copy_only=False)
        features = model.features(raw)
        margin, added, base = contributions(features, hashes, spec)
        yield pa.RecordBatch.from_arrays(
            [
                w.column_of(batch, "user_id"),
                w.column_of(batch, "value_cents"),
                w.column_of(batch, "user_group"),
                pa.array(margin),
                pa.array(w.probabilities(margin, spec.calibration)),
                pa.array(cells_of(margin, hashes, model)),
                reason_lists(raw, added, base, usual_rows(batch, spec), spec),
                pa.array(fingerprint(features)),
            ],
            names=["user_id", "value_cents", "user_group", "margin", "probability", "cell", "reasons", "features_hash"],
        )


def _raw(batch: pa.RecordBatch, model: WorkerModel) -> Floats:
    return w.stack_columns(batch, FEATURE, len(model.places)).T


def contributions(features: Floats, user_hash: Whole, spec: Scorer) -> tuple[Floats, Floats, Floats]:
    """Margin, contributions, and the base that they start from. Exact Shapley values; of trees too deep for tables only for the
    users in ``spec.exact``, and contributions along the paths for the others."""
    model, exact = spec.model, spec.exact
    if exact is None or not isinstance(model, DeepTreeModel):
        margin, added = model.shapley(features)
        return margin, added, np.full(len(margin), model.expected)
    margin, added = model.along_paths(features)
    base = np.full(len(margin), model.base)
    chosen = np.zeros(len(margin), dtype=bool)
    if exact.cell is not None:
        chosen |= cells_of(margin, user_hash, model) >= exact.cell
    if exact.probability is not None:
        chosen |= w.probabilities(margin, spec.calibration) >= exact.probability
    if chosen.any():
        added[:, chosen] = model.shapley(features[:, chosen])[1]
        base[chosen] = model.expected
    return margin, added, base


def usual_rows(batch: pa.RecordBatch, spec: Scorer) -> Whole:
    """The row of ``spec.usual`` for each user: the row of the user's segment, the last row where training had no such value."""
    if not spec.segments:
        return np.zeros(batch.num_rows, np.int64)
    found = pc.index_in(w.column_of(batch, "segment"), value_set=pa.array(spec.segments, pa.string()))
    return pc.fill_null(found, len(spec.segments)).to_numpy(zero_copy_only=False).astype(np.int64)


def reason_lists(raw: Floats, added: Floats, base: Floats, usual_row: Whole, spec: Scorer) -> pa.ListArray:
    """The measures that moved each margin most, then the rest and the base: contributions add up to the margin.

    ``raw``: one row a user; ``added``: one row a feature. ``value``: of the measure's feature with the largest contribution,
    null where it is missing; ``usual``: the usual value of that feature among similar users; ``cause``: null unless the measure
    raised the risk.
    """
    measures = spec.measures
    by_measure = per_measure(added, measures)
    size = np.abs(by_measure)
    users, count = np.arange(len(raw)), min(spec.reasons, len(size))
    chosen = np.empty((len(raw), count), dtype=np.int64)
    parts, shown, usual = (np.empty((len(raw), count)) for _ in range(3))
    for n in range(count):
        most = chosen[:, n] = size.argmax(axis=0)
        parts[:, n] = by_measure[most, users]
        feature = leading_features(added, most, measures)
        shown[:, n], usual[:, n] = raw[users, feature], spec.usual[usual_row, feature]
        size[most, users] = -1.0
    other = by_measure.sum(axis=0) - parts.sum(axis=1)
    names = [*measures.names, OTHER, BASE]
    ends = np.broadcast_to([len(names) - 2, len(names) - 1], (len(raw), 2))
    cause = np.hstack([np.where(parts > 0, chosen, len(names) - 1), ends])
    missing = np.full((len(raw), 2), np.nan)
    items = pa.StructArray.from_arrays(
        [
            pc.take(pa.array(names, pa.string()), pa.array(np.hstack([chosen, ends]).ravel())),
            pa.array(np.hstack([shown, missing]).ravel(), from_pandas=True),
            pa.array(np.column_stack([parts, other, base]).ravel()),
            pc.take(pa.array([*measures.causes, None, None], pa.string()), pa.array(cause.ravel())),
            pa.array(np.hstack([usual, missing]).ravel(), from_pandas=True),
        ],
        fields=list(REASON),
    )
    offsets = np.arange(len(raw) + 1, dtype=np.int32) * (count + 2)
    return pa.ListArray.from_arrays(pa.array(offsets), items)


def per_measure(added: Floats, measures: Measures) -> Floats:
    """The sum of the contributions of each measure's features: one row a measure."""
    by_measure = np.zeros((len(measures.names), added.shape[1]))
    for part, measure in zip(added, measures.of_feature, strict=True):
        by_measure[measure] += part
    return by_measure


def leading_features(added: Floats, measure: Whole, measures: Measures) -> Whole:
    """The feature of each user's ``measure`` with the largest absolute contribution."""
    users, members = np.arange(added.shape[1]), measures.members
    leader = members[measure, 0]
    greatest = np.abs(added[leader, users])
    for n in range(1, members.shape[1]):
        feature = members[measure, n]
        size = np.abs(added[feature, users])
        leader = np.where(size > greatest, feature, leader)
        greatest = np.maximum(greatest, size)
    return leader
