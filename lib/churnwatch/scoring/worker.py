"""What Spark's workers run to score: margins, probabilities, reasons and causes of an Arrow batch in one pass.

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
from churnwatch.scoring.worker_causes import CauseFinder, cause_columns, fired_rules

HASH_PARTS = 100  # a margin bin is divided into this many cells by a hash of the user
REASON = pa.struct(
    [
        ("measure", pa.string()),
        ("value", pa.float64()),
        ("contribution", pa.float64()),
        ("cause", pa.string()),
        ("usual", pa.float64()),
        ("feature", pa.string()),
    ]
)
IMPROVEMENT = pa.struct(
    [
        ("measure", pa.string()),
        ("feature", pa.string()),
        ("value", pa.float64()),
        ("usual", pa.float64()),
        ("probability", pa.float64()),
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
    """Measures by number: their ``names``, their ``causes`` (None without one), ``members``: the features of each measure that
    the model uses, one row a measure, padded with its first one, and numbers of the ``actionable`` ones.

    ``features``: names of the model's features, ``spread``: the usual range of each, by which deviations are compared.
    """

    names: Sequence[str]
    causes: Sequence[str | None]
    members: Whole
    actionable: Sequence[int]
    features: Sequence[str]
    spread: Floats


@dataclass(frozen=True, eq=False)
class Scorer:
    """What is applied to each batch.

    ``columns``: numeric columns of a batch, the model's features first. ``reasons``: measures per user. ``usual``: the usual
    value of each feature (a column), one row for each of ``segments`` and a last one for all other users. ``exact``: where trees
    are too deep for tables, the users who get exact contributions.
    """

    model: WorkerModel
    columns: int
    calibration: Mapping[str, Any]
    measures: Measures
    causes: CauseFinder
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
            margin = spec.margin(spec.features(_raw(batch, len(spec.places))))
            hashes = w.column_of(batch, "user_hash").to_numpy(zero_copy_only=False)
            users += np.bincount(cells_of(margin, hashes, spec), minlength=len(users))
    taken = np.flatnonzero(users)
    yield pa.RecordBatch.from_arrays([pa.array(taken), pa.array(users[taken])], names=["cell", "users"])


def score_batches(batches: Iterator[pa.RecordBatch], spec: Scorer) -> Iterator[pa.RecordBatch]:
    """``user_id, value_cents, user_group`` unchanged, with margin, probability, cell, reasons, causes and a hash of features."""
    model = spec.model
    for batch in batches:
        if not batch.num_rows:
            continue
        raw = _raw(batch, spec.columns)
        hashes = w.column_of(batch, "user_hash").to_numpy(zero_copy_only=False)
        features, usual_row = model.features(raw), usual_rows(batch, spec)
        margin, added, base = contributions(features, hashes, spec)
        leading = leading_features(raw, usual_row, spec)
        general_part = added[list(spec.causes.general_measures)].sum(axis=0)
        names = {name: w.column_of(batch, name) for _, name in spec.causes.rule_columns}
        fired = fired_rules(names, len(raw), spec.causes)
        made = {
            **{name: w.column_of(batch, name) for name in ("user_id", "value_cents", "user_group")},
            "margin": pa.array(margin),
            "probability": pa.array(w.probabilities(margin, spec.calibration)),
            "cell": pa.array(cells_of(margin, hashes, model)),
            "reasons": reason_lists(raw, added, base, leading, usual_row, spec),
            **cause_columns(raw, usual_row, fired, general_part, spec.causes),
            "improvement": improvements(raw, features, margin, leading, usual_row, spec),
            "features_hash": pa.array(fingerprint(features)),
        }
        yield pa.RecordBatch.from_arrays(list(made.values()), names=list(made))


def _raw(batch: pa.RecordBatch, columns: int) -> Floats:
    return w.stack_columns(batch, FEATURE, columns).T


def contributions(features: Floats, user_hash: Whole, spec: Scorer) -> tuple[Floats, Floats, Floats]:
    """Margin, contributions by measure, and the base that they start from. Exact Shapley values; of trees too deep for tables
    only for the users in ``spec.exact``, and contributions along the paths for the others."""
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


def leading_features(raw: Floats, usual_row: Whole, spec: Scorer) -> Whole:
    """The feature that is shown for each measure, [measure, user]: of those that the model uses the one farthest from its usual
    value, in units of its spread. A missing value or usual value counts as no distance."""
    measures, users = spec.measures, np.arange(len(raw))
    leading = np.repeat(measures.members[:, :1], len(raw), axis=1)
    for measure, features in enumerate(measures.members):
        farthest = np.full(len(raw), -1.0)
        for feature in dict.fromkeys(features.tolist()):
            away = np.nan_to_num(np.abs(raw[users, feature] - spec.usual[usual_row, feature]) / measures.spread[feature])
            leading[measure] = np.where(away > farthest, feature, leading[measure])
            farthest = np.maximum(farthest, away)
    return leading


def reason_lists(raw: Floats, added: Floats, base: Floats, leading: Whole, usual_row: Whole, spec: Scorer) -> pa.ListArray:
    """The measures that moved each margin most, then the rest and the base: contributions add up to the margin.

    ``raw``: one row a user; ``added``: one row a measure. ``feature``: the column of user_features in ``value``, see
    ``leading_features``; ``value`` is null where it is missing; ``usual``: the usual value of that feature among similar users;
    ``cause``: null unless the measure raised the risk.
    """
    measures, size = spec.measures, np.abs(added)
    users, count = np.arange(len(raw)), min(spec.reasons, len(size))
    chosen = np.empty((len(raw), count), dtype=np.int64)
    parts = np.empty((len(raw), count))
    for n in range(count):
        most = chosen[:, n] = size.argmax(axis=0)
        parts[:, n] = added[most, users]
        size[most, users] = -1.0
    feature = leading[chosen, users[:, None]]
    other = added.sum(axis=0) - parts.sum(axis=1)
    names = [*measures.names, OTHER, BASE]
    ends = np.broadcast_to([len(names) - 2, len(names) - 1], (len(raw), 2))
    cause = np.hstack([np.where(parts > 0, chosen, len(names) - 1), ends])
    missing, no_feature = np.full((len(raw), 2), np.nan), np.full((len(raw), 2), len(measures.features))
    items = pa.StructArray.from_arrays(
        [
            pc.take(pa.array(names, pa.string()), pa.array(np.hstack([chosen, ends]).ravel())),
            pa.array(np.hstack([raw[users[:, None], feature], missing]).ravel(), from_pandas=True),
            pa.array(np.column_stack([parts, other, base]).ravel()),
            pc.take(pa.array([*measures.causes, None, None], pa.string()), pa.array(cause.ravel())),
            pa.array(np.hstack([spec.usual[usual_row[:, None], feature], missing]).ravel(), from_pandas=True),
            pc.take(pa.array([*measures.features, None], pa.string()), pa.array(np.hstack([feature, no_feature]).ravel())),
        ],
        fields=list(REASON),
    )
    offsets = np.arange(len(raw) + 1, dtype=np.int32) * (count + 2)
    return pa.ListArray.from_arrays(pa.array(offsets), items)


def improvements(raw: Floats, features: Floats, margin: Floats, leading: Whole, usual_row: Whole, spec: Scorer) -> pa.StructArray:
    """Of the actionable measures the one whose usual value would lower each user's margin most; null where none would.

    All features of the measure are set to their usual values, a missing one to what the model imputes, and the model is applied
    again; only for users who differ in one of them. ``probability``: with the usual values.
    """
    best, lowest = np.full(len(raw), -1), margin.copy()
    for measure in spec.measures.actionable:
        own = list(dict.fromkeys(spec.measures.members[measure].tolist()))
        fills = np.array([spec.model.fills[feature] for feature in own])
        usual = spec.usual[usual_row[:, None], own]
        usual = np.where(np.isnan(usual), fills, usual).T
        chosen = np.flatnonzero((features[own] != usual).any(axis=0))
        if len(chosen):
            changed = features[:, chosen]
            changed[own] = usual[:, chosen]
            found = spec.model.margin(changed)
            lower = found < lowest[chosen]
            best[chosen[lower]], lowest[chosen[lower]] = measure, found[lower]
    users = np.arange(len(raw))
    feature = leading[np.maximum(best, 0), users]
    none = best < 0
    values = [raw[users, feature], spec.usual[usual_row, feature], w.probabilities(lowest, spec.calibration)]
    return pa.StructArray.from_arrays(
        [
            pc.take(pa.array(spec.measures.names, pa.string()), pa.array(np.maximum(best, 0))),
            pc.take(pa.array(spec.measures.features, pa.string()), pa.array(feature)),
            *(pa.array(value, from_pandas=True) for value in values),
        ],
        fields=list(IMPROVEMENT),
        mask=pa.array(none),
    )
