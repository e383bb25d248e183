"""What Spark's workers run to score: margins, probabilities and reasons of an Arrow batch in one pass.

Numpy, pyarrow and lightgbm alone; travels by value (``model.shipped``).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import churnwatch.model.worker as w

HASH_PARTS = 100  # ties of a margin bin are told apart by so many parts of a hash
REASON = pa.struct([("measure", pa.string()), ("value", pa.float64()), ("contribution", pa.float64()), ("cause", pa.string())])
OTHER, BASE = "(other)", "(base)"

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


def cells(margin: Floats, user_hash: Whole, forest: dict[str, Any]) -> Whole:
    """Cell of each user: margin bin x 100 + part of the hash; users are ranked by it."""
    part = (user_hash.view(np.uint64) >> np.uint64(32)) * np.uint64(HASH_PARTS) >> np.uint64(32)
    return w.margin_bins(margin, forest) * HASH_PARTS + part.astype(np.int64)


def counted(batches: Iterator[pa.RecordBatch], spec: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Users by cell: rows of (cell, users)."""
    forest = spec["forest"]
    model = w.booster(forest["text"])
    users = np.zeros(w.MARGIN_BINS * HASH_PARTS, dtype=np.int64)
    for batch in batches:
        if batch.num_rows:
            margin = w.margins(model, forest, w.matrix(w.column_of(batch, "values"), spec["width"]))
            hashes = w.column_of(batch, "user_hash").to_numpy(zero_copy_only=False)
            users += np.bincount(cells(margin, hashes, forest), minlength=len(users))
    taken = np.flatnonzero(users)
    yield pa.RecordBatch.from_arrays([pa.array(taken), pa.array(users[taken])], names=["cell", "users"])


def counted_by_group(batches: Iterator[pa.RecordBatch], spec: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Users by group and cell: rows of (user_group, cell, users), each batch for itself, so that nothing grows with groups."""
    forest = spec["forest"]
    model = w.booster(forest["text"])
    for batch in batches:
        if not batch.num_rows:
            continue
        margin = w.margins(model, forest, w.matrix(w.column_of(batch, "values"), spec["width"]))
        hashes = w.column_of(batch, "user_hash").to_numpy(zero_copy_only=False)
        groups = w.column_of(batch, "user_group").dictionary_encode()
        span = w.MARGIN_BINS * HASH_PARTS
        keys = groups.indices.to_numpy(zero_copy_only=False).astype(np.int64) * span + cells(margin, hashes, forest)
        taken, users = np.unique(keys, return_counts=True)
        names = groups.dictionary.take(pa.array(taken // span))
        yield pa.RecordBatch.from_arrays([names, pa.array(taken % span), pa.array(users)], names=["user_group", "cell", "users"])


def scored(batches: Iterator[pa.RecordBatch], spec: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """``user_id, value_cents`` as they came, with margin, probability, percentile, tier and reasons."""
    forest = spec["forest"]
    model = w.booster(forest["text"])
    for batch in batches:
        if not batch.num_rows:
            continue
        raw = w.matrix(w.column_of(batch, "values"), spec["width"])
        hashes = w.column_of(batch, "user_hash").to_numpy(zero_copy_only=False)
        margin, added = explained(model, spec, raw)
        probability = w.probabilities(margin, spec["calibration"])
        place = np.searchsorted(spec["cells"], cells(margin, hashes, forest))
        tier = tiers(probability, np.asarray(spec["position"])[place], spec["tiers"])
        yield pa.RecordBatch.from_arrays(
            [
                w.column_of(batch, "user_id"),
                w.column_of(batch, "value_cents"),
                pa.array(margin),
                pa.array(probability),
                pa.array(np.asarray(spec["percentile"])[place]),
                pa.array(np.asarray(spec["tier_names"], dtype=object)[tier], pa.string()),
                reasons(raw[:, forest["columns"]], added, spec),
            ],
            names=["user_id", "value_cents", "margin", "probability", "percentile", "tier", "reasons"],
        )


def explained(model: Any, spec: dict[str, Any], raw: Floats) -> tuple[Floats, Floats]:
    """Margin of each row, and what each feature added to it: one look at the leaves gives both."""
    forest = spec["forest"]
    rows = w.filled(raw[:, forest["columns"]], forest["fills"])
    leaves = np.asarray(model.predict(rows, pred_leaf=True, num_threads=1)).astype(np.int64).reshape(len(rows), -1)
    margin = np.zeros(len(rows))
    added = np.zeros(rows.shape)
    for tree, (values, used, table) in enumerate(spec["paths"]):
        leaf = leaves[:, tree]
        margin += values[leaf]
        added[:, used] += table[leaf]
    return margin, added


def tiers(probability: Floats, position: Whole, cuts: list[dict[str, Any]]) -> Whole:
    """Index of the first tier whose cut holds: ``least`` probability, or a ``last`` position from the riskiest; else the last."""
    holds = [probability >= cut["least"] if cut["least"] is not None else position <= cut["last"] for cut in cuts[:-1]]
    return np.select(holds, list(range(len(holds))), default=len(cuts) - 1) if holds else np.zeros(len(position), np.int64)


def reasons(values: Floats, added: Floats, spec: dict[str, Any]) -> pa.ListArray:
    """The measures that moved each margin most, with the rest and the base: contributions add up to the margin.

    ``value`` is that of the measure's feature with the greatest part in it, null where it is missing; ``cause`` stands only
    by measures that raised the risk.
    """
    groups, names, causes = np.asarray(spec["group"]), spec["measures"], spec["causes"]
    of_measure = np.zeros((len(added), len(names)))
    leading = np.zeros((len(added), len(names)), dtype=np.int64)
    for group in range(len(names)):
        members = np.flatnonzero(groups == group)
        of_measure[:, group] = added[:, members].sum(axis=1)
        leading[:, group] = members[np.abs(added[:, members]).argmax(axis=1)]
    count = min(spec["reasons"], len(names))
    chosen = np.argsort(-np.abs(of_measure), axis=1, kind="stable")[:, :count]
    row = np.arange(len(added))[:, None]
    parts = of_measure[row, chosen]
    shown = values[row, leading[row, chosen]]
    other = of_measure.sum(axis=1) - parts.sum(axis=1)
    measure = np.column_stack([np.asarray(names, dtype=object)[chosen], _same(OTHER, row), _same(BASE, row)])
    contribution = np.column_stack([parts, other, np.full(len(added), spec["base"])])
    nothing = np.full((len(added), 2), np.nan)
    cause = np.asarray(causes, dtype=object)[chosen]
    cause[parts <= 0] = None
    items = pa.StructArray.from_arrays(
        [
            pa.array(measure.ravel(), pa.string()),
            pa.array(np.column_stack([shown, nothing]).ravel(), from_pandas=True),
            pa.array(contribution.ravel()),
            pa.array(np.column_stack([cause, _same(None, row), _same(None, row)]).ravel(), pa.string()),
        ],
        fields=list(REASON),
    )
    offsets = np.arange(len(added) + 1, dtype=np.int32) * (count + 2)
    return pa.ListArray.from_arrays(pa.array(offsets), items)


def _same(value: str | None, row: Whole) -> NDArray[Any]:
    return np.full((len(row), 1), value, dtype=object)
