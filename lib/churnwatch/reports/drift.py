"""Drift: how far features and margins of the users scored on a day differ from training, and what late data changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from pyspark import cloudpickle
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core.chance import share_of
from churnwatch.model import last_release
from churnwatch.model.metrics import stability_index, usual_stability_index
from churnwatch.model.reference import MARGIN, SAMPLE_ROWS
from churnwatch.model.schema import Schema, raw_values, schema_of
from churnwatch.model.shipping import map_batches
from churnwatch.reports import worker_drift
from churnwatch.settings import Settings
from churnwatch.settings.attributes import source_column

cloudpickle.register_pickle_by_value(worker_drift)

MOST_USERS = 1_000_000  # are compared, chosen by hash: more would not change an index in its third digit
DIGITS = 9
COUNTED = "feature int, bin int, users long"


@dataclass(frozen=True)
class Drift:
    """Drift of one model version.

    ``features``: stability index, share of missing values, the same share in training, and the index that is usual where nothing
    has changed, by feature. ``margin_psi``: index of the margin. ``skew_share``: share of users whose features late data changed
    after they were scored; null when unknown.
    """

    model_version: str
    reference_day: date
    features: Mapping[str, tuple[float, float, float, float]]
    margin_psi: float | None
    skew_share: float | None


def measure_drift(inputs: Mapping[str, DataFrame], users: int, day: date, settings: Settings) -> Drift | None:
    """Measure the drift of the users who were scored on ``day`` (about ``users``); None without a release with a reference.

    The skew compares a hash of the values that were scored (``features_hash``) with that of the day's features as they are
    now. One pass over scores joined with features, of at most a million users.
    """
    row = last_release(inputs["model_runs"], day, settings)
    if row is None or row["reference"] is None:
        return None
    stored = inputs["features"].columns
    bins = {name: of for name, of in json.loads(row["reference"]).items() if name == MARGIN or source_column(name) in stored}
    names = [name for name in bins if name != MARGIN]
    spec = {"edges": [bins[name]["edges"] for name in (*names, MARGIN)], "width": len(names), "model": None}
    # releases made before fills were stored have those of trees
    meanings = {name: of["meaning"] for name, of in bins.items() if "meaning" in of}
    schema = schema_of(row["features"], settings, meanings)
    schema = schema.with_fills({name: of["fill"] for name, of in bins.items() if "fill" in of})
    # where a feature was redefined since, a changed hash is no sign of late data
    if schema.matches(row["schema_hash"]) and set(schema.features) <= set(names):
        spec["model"] = ([names.index(name) for name in schema.features], list(schema.fills))
    counts: dict[int, dict[int, int]] = {}
    for found in _counts(inputs, row["model_version"], schema_of(names, settings, meanings), spec, users):
        counts.setdefault(found["feature"], {})[found["bin"]] = found["users"]
    if not any(feature != worker_drift.SKEW for feature in counts):
        return None
    skew = counts.get(worker_drift.SKEW, {})
    found_of = [population_stability(counts.get(n, {}), bins[name]) for n, name in enumerate((*names, MARGIN))]
    return Drift(
        row["model_version"],
        date.fromisoformat(row["spans"].get("released_train", row["spans"]["train"]).split("..")[1]),
        dict(zip(names, found_of, strict=False)),
        found_of[-1][0],
        round(skew.get(1, 0) / sum(skew.values()), DIGITS) if skew else None,
    )


def _counts(inputs: Mapping[str, DataFrame], version: str, schema: Schema, spec: dict[str, Any], users: int) -> list[Any]:
    scored = inputs["scores"].where(F.col("model_version") == version).select("user_id", "margin", "features_hash")
    values = inputs["features"].select("user_id", raw_values(schema).alias("values"))
    both = scored.join(values, "user_id")  # one row a user on both sides
    if users > MOST_USERS:
        both = both.where(share_of(F.col("user_id"), "drift") < MOST_USERS / users)
    counted = map_batches(both.drop("user_id"), worker_drift.binned, spec, COUNTED)
    return counted.groupBy("feature", "bin").agg(F.sum("users").alias("users")).collect()


def population_stability(counts: Mapping[int, int], reference: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Population stability index of users by bin against training, their share without a value, that share in training, and the
    index that is usual where nothing has changed.

    Bins are deciles of training, equal ones taken together, and one for missing.
    """
    rows = reference.get("rows", SAMPLE_ROWS)  # releases made before rows were stored: about as many as the sample has
    expected = np.array([*reference["shares"], reference["missing"]]) * rows
    seen = np.array([counts.get(n, 0) for n in range(len(expected))], dtype=np.float64)
    bins = int(((seen + expected) > 0).sum())
    usual = usual_stability_index(bins, float(seen.sum()), rows)
    missing = float(seen[-1] / seen.sum())
    return round(stability_index(seen, expected), DIGITS), round(missing, DIGITS), reference["missing"], round(usual, DIGITS)


def drift_rows(drift: Drift | None, day: date) -> list[tuple[Any, ...]]:
    """The rows of feature_drift; none where nothing can be compared."""
    if drift is None:
        return []
    return [(day, name, drift.reference_day, *drift.features[name]) for name in sorted(drift.features)]
