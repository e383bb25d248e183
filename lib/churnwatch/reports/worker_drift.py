"""What Spark's workers run to compare a day's features with those of training: numpy and pyarrow alone; travels by value."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

import churnwatch.model.worker as w
from churnwatch.model.worker_model import fingerprint, imputed

SKEW = -1  # stands for a feature: bin 0 counts users whose values are as they were scored, bin 1 those that changed since


def binned(batches: Iterator[pa.RecordBatch], spec: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Users by feature and bin: rows of (feature, bin, users); the last bin is for missing, the last feature is the margin.

    Batches have ``values``, ``margin`` and ``features_hash``; bin n holds the values above n of ``spec["edges"]``.
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
