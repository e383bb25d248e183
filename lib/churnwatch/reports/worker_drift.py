"""Count users by bin of training inside Spark's workers. Imports numpy and pyarrow alone, because it travels by value."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

import churnwatch.model.worker as w
from churnwatch.model.worker_model import fingerprint, imputed

SKEW = -1  # in place of a feature: bin 0 counts users whose values are as when scored, bin 1 those whose values changed


def binned(batches: Iterator[pa.RecordBatch], spec: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Count users per feature and bin: rows of (feature, bin, users).

    Batches have ``values``, ``margin`` and ``features_hash``. Bin n holds the values above n of ``spec["edges"]``, the last bin
    the missing ones. The last feature is the margin.
    """
    edges = [np.asarray(of_feature) for of_feature in spec["edges"]]
    counts = [np.zeros(len(of_feature) + 2, dtype=np.int64) for of_feature in edges]
    skew = np.zeros(2, dtype=np.int64)
    for batch in batches:
        if not batch.num_rows:
            continue
        values = w.matrix(w.column_of(batch, "values"), spec["width"])
        margin = w.column_of(batch, "margin").to_numpy(zero_copy_only=False)
        for column, of_feature, count in zip([*values.T, margin], edges, counts, strict=True):
            place = np.searchsorted(of_feature, column, side="left")
            place[np.isnan(column)] = len(count) - 1
            count += np.bincount(place, minlength=len(count))
        if spec["model"]:
            stored = w.column_of(batch, "features_hash")
            known = stored.is_valid().to_numpy(zero_copy_only=False)
            now = fingerprint(imputed(values, *spec["model"]))[known]
            changed = int((now != stored.drop_null().to_numpy()).sum())
            skew += [len(now) - changed, changed]
    found = [(SKEW, skew), *enumerate(counts)]
    rows = [(feature, place, int(users)) for feature, count in found for place, users in enumerate(count) if users]
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    yield pa.RecordBatch.from_arrays(
        [pa.array(list(column), kind) for column, kind in zip(columns, (pa.int32(), pa.int32(), pa.int64()), strict=True)],
        names=["feature", "bin", "users"],
    )
