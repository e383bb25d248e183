"""The reference of a release: the distribution of each feature and of the margin in training, and the usual values.

It is made from a sample of the training rows, chosen by hash: about 20,000 rows at most.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core.chance import share_of
from churnwatch.model.schema import Schema
from churnwatch.model.shipping import worker_model_of
from churnwatch.model.worker import matrix
from churnwatch.model.worker_model import Floats
from churnwatch.settings import Settings
from churnwatch.settings.names import segment_names

SAMPLE_ROWS = 20_000
DECILES = np.arange(1, 10) / 10
MARGIN = "(margin)"  # stands among the features for the model's own margin
DIGITS = 9


def build_reference(rows: DataFrame, whole: Schema, count: int, text: str, schema: Schema, settings: Settings) -> dict[str, Any]:
    """The reference of ``count`` training ``rows`` (of a ``frame.training_frame`` over ``whole``) and of the model ``text`` over
    ``schema``.

    ``bins``, for each feature and the margin: the distinct deciles (``edges``), the share of rows in each bin, up to an edge
    or above the last one (``shares``), the share ``missing``, and for a feature the ``fill`` imputed for missing values, which
    is a training mean in linear models. ``usual``: the median of each feature for each value of the segment ``usual_by``, then
    for all rows; values with fewer rows than ``privacy.min_group_size`` have none.
    """
    sample = _sample(rows, count, settings)
    place = {name: n for n, name in enumerate(whole.features)}
    values = matrix(sample.column("values"), len(place))[:, [place[name] for name in schema.features]]
    model = worker_model_of(text, schema, schema.features)
    margin = model.margin(model.features(values))
    features = zip(schema.features, values.T, schema.fills, strict=True)
    bins = {name: {**bin_shares(column), "fill": fill} for name, column, fill in features}
    return {
        "rows": len(values),
        "bins": {**bins, MARGIN: bin_shares(margin)},
        "usual": _usual(values, sample.column("segment"), schema, settings),
    }


def _sample(rows: DataFrame, count: int, settings: Settings) -> pa.Table:
    keyed = rows.withColumn("_key", F.concat_ws(" ", "user_id", F.col("day").cast("string")))
    share = share_of(F.col("_key"), f"reference:{settings.model.seed}")
    segment = F.get("segments", F.lit(0)) if usual_by(settings) else F.lit(None).cast("string")
    return keyed.where(share < SAMPLE_ROWS / max(count, 1)).select(segment.alias("segment"), "values").toArrow()


def usual_by(settings: Settings) -> str | None:
    """The segment column for whose values there are separate usual values: the first configured one, None without segments."""
    return next(iter(segment_names(settings)), None)


def bin_shares(column: Floats) -> dict[str, Any]:
    """``edges``: distinct deciles of the known values; ``shares`` of all rows in each bin (value <= edge); share ``missing``."""
    known = column[~np.isnan(column)]
    edges = np.unique(np.quantile(known, DECILES, method="lower")) if len(known) else np.zeros(0)
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    rows = max(len(column), 1)
    return {
        "edges": edges.tolist(),
        "shares": [round(float(n / rows), DIGITS) for n in counts],
        "missing": round(float((len(column) - len(known)) / rows), DIGITS),
    }


def _usual(values: Floats, segment: pa.ChunkedArray, schema: Schema, settings: Settings) -> dict[str, Any]:
    counts = {one["values"]: one["counts"] for one in pc.value_counts(segment).to_pylist()}
    least = settings.privacy.min_group_size
    enough = sorted(name for name, count in counts.items() if name is not None and count >= least)
    groups = [values[np.asarray(pc.fill_null(pc.equal(segment, name), False))] for name in enough]
    medians = [_medians(group) for group in [*groups, values]]
    return {
        "by": usual_by(settings),
        "values": enough,
        "medians": {name: [of_group[n] for of_group in medians] for n, name in enumerate(schema.features)},
    }


def _medians(rows: Floats) -> list[float | None]:
    known = [column[~np.isnan(column)] for column in rows.T]
    return [round(float(np.median(column)), DIGITS) if len(column) else None for column in known]


def usual_matrix(reference: Mapping[str, Any] | None, features: Sequence[str]) -> tuple[str | None, list[str], Floats]:
    """The segment column, its values, and the medians: one row a value and a last one for all other users, one column a feature.
    NaN where the reference does not know the feature."""
    if not reference:
        return None, [], np.full((1, len(features)), np.nan)
    usual = reference["usual"]
    unknown = [None] * (len(usual["values"]) + 1)
    columns = [usual["medians"].get(name, unknown) for name in features]
    return usual["by"], usual["values"], np.array(columns, dtype=np.float64).T
