"""What Spark's workers run to score: margins, probabilities and reasons of an Arrow batch in one pass.

Numpy, pyarrow and lightgbm alone; travels by value (``model.shipped``).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import churnwatch.model.applied as a
import churnwatch.model.worker as w

HASH_PARTS = 100  # ties of a margin bin are told apart by so many parts of a hash
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


def cells(margin: Floats, user_hash: Whole, packed: dict[str, Any]) -> Whole:
    """Cell of each user: margin bin x 100 + part of the hash; users are ranked by it."""
    part = (user_hash.view(np.uint64) >> np.uint64(32)) * np.uint64(HASH_PARTS) >> np.uint64(32)
    return w.margin_bins(margin, packed) * HASH_PARTS + part.astype(np.int64)


def counted(batches: Iterator[pa.RecordBatch], spec: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Users by cell: rows of (cell, users)."""
    model = a.opened(spec["model"])
    users = np.zeros(w.MARGIN_BINS * HASH_PARTS, dtype=np.int64)
    for batch in batches:
        if batch.num_rows:
            margin = model.margin(model.columns(w.stacked(batch, FEATURE, spec["width"]).T))
            hashes = w.column_of(batch, "user_hash").to_numpy(zero_copy_only=False)
            users += np.bincount(cells(margin, hashes, spec["model"]), minlength=len(users))
    taken = np.flatnonzero(users)
    yield pa.RecordBatch.from_arrays([pa.array(taken), pa.array(users[taken])], names=["cell", "users"])


def scored(batches: Iterator[pa.RecordBatch], spec: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """``user_id, value_cents, user_group`` as they came, with margin, probability, cell, reasons and a hash of the values."""
    model = a.opened(spec["model"])
    for batch in batches:
        if not batch.num_rows:
            continue
        raw = w.stacked(batch, FEATURE, spec["width"]).T
        hashes = w.column_of(batch, "user_hash").to_numpy(zero_copy_only=False)
        columns = model.columns(raw)
        margin, added, base = contributions(model, columns, hashes, spec)
        yield pa.RecordBatch.from_arrays(
            [
                w.column_of(batch, "user_id"),
                w.column_of(batch, "value_cents"),
                w.column_of(batch, "user_group"),
                pa.array(margin),
                pa.array(w.probabilities(margin, spec["calibration"])),
                pa.array(cells(margin, hashes, spec["model"])),
                reasons(raw, added, base, like(batch, spec), spec),
                pa.array(a.fingerprint(columns)),
            ],
            names=["user_id", "value_cents", "user_group", "margin", "probability", "cell", "reasons", "features_hash"],
        )


def contributions(model: Any, columns: Floats, user_hash: Whole, spec: dict[str, Any]) -> tuple[Floats, Floats, Floats]:
    """Margin, contributions and what they start from: exact ones, of deep forests where ``spec["exactly"]`` says so alone.

    Elsewhere those follow the paths of the trees.
    """
    packed, exactly = spec["model"], spec["exactly"]
    if exactly is None:
        margin, added = model.exact(columns)
        return margin, added, np.full(len(margin), packed["expected"])
    margin, added = model.explained(columns)
    base = np.full(len(margin), packed["base"])
    chosen = np.zeros(len(margin), dtype=bool)
    if exactly["cell"] is not None:
        chosen |= cells(margin, user_hash, packed) >= exactly["cell"]
    if exactly["least"] is not None:
        chosen |= w.probabilities(margin, spec["calibration"]) >= exactly["least"]
    if chosen.any():
        added[:, chosen] = model.exact(columns[:, chosen])[1]
        base[chosen] = packed["expected"]
    return margin, added, base


def like(batch: pa.RecordBatch, spec: dict[str, Any]) -> Whole:
    """Row of ``spec["usual"]`` for each user: that of the segment's value, the last one for values that training did not know."""
    if not spec["segments"]:
        return np.zeros(batch.num_rows, np.int64)
    found = pc.index_in(w.column_of(batch, "segment"), value_set=pa.array(spec["segments"], pa.string()))
    return pc.fill_null(found, len(spec["segments"])).to_numpy(zero_copy_only=False).astype(np.int64)


def reasons(values: Floats, added: Floats, base: Floats, group: Whole, spec: dict[str, Any]) -> pa.ListArray:
    """The measures that moved each margin most, with the rest and the base: contributions add up to the margin.

    ``values``: one row a user; ``added``: one row a feature. ``value`` is that of the measure's feature with the greatest part
    in it, null where it is missing; ``usual`` is what that feature usually is for users like this one; ``cause`` stands only
    by measures that raised the risk.
    """
    of_measure = per_measure(added, spec)
    size = np.abs(of_measure)
    users, count = np.arange(len(values)), min(spec["reasons"], len(size))
    chosen = np.empty((len(values), count), dtype=np.int64)
    parts, shown, usual = (np.empty((len(values), count)) for _ in range(3))
    for n in range(count):
        most = chosen[:, n] = size.argmax(axis=0)
        parts[:, n] = of_measure[most, users]
        feature = leading(added, most, spec)
        shown[:, n], usual[:, n] = values[users, feature], spec["usual"][group, feature]
        size[most, users] = -1.0
    other = of_measure.sum(axis=0) - parts.sum(axis=1)
    names = [*spec["measures"], OTHER, BASE]
    ends = np.broadcast_to([len(names) - 2, len(names) - 1], (len(values), 2))
    cause = np.hstack([np.where(parts > 0, chosen, len(names) - 1), ends])
    nothing = np.full((len(values), 2), np.nan)
    items = pa.StructArray.from_arrays(
        [
            pc.take(pa.array(names, pa.string()), pa.array(np.hstack([chosen, ends]).ravel())),
            pa.array(np.hstack([shown, nothing]).ravel(), from_pandas=True),
            pa.array(np.column_stack([parts, other, base]).ravel()),
            pc.take(pa.array([*spec["causes"], None, None], pa.string()), pa.array(cause.ravel())),
            pa.array(np.hstack([usual, nothing]).ravel(), from_pandas=True),
        ],
        fields=list(REASON),
    )
    offsets = np.arange(len(values) + 1, dtype=np.int32) * (count + 2)
    return pa.ListArray.from_arrays(pa.array(offsets), items)


def per_measure(added: Floats, spec: dict[str, Any]) -> Floats:
    """What the features of each measure (a row) added together."""
    of_measure = np.zeros((len(spec["measures"]), added.shape[1]))
    for part, measure in zip(added, spec["group"], strict=True):
        of_measure[measure] += part
    return of_measure


def leading(added: Floats, measure: Whole, spec: dict[str, Any]) -> Whole:
    """The feature of each user's ``measure`` that added the most."""
    users, members = np.arange(added.shape[1]), np.asarray(spec["members"])
    leader = members[measure, 0]
    greatest = np.abs(added[leader, users])
    for n in range(1, members.shape[1]):
        feature = members[measure, n]
        size = np.abs(added[feature, users])
        leader = np.where(size > greatest, feature, leader)
        greatest = np.maximum(greatest, size)
    return leader
