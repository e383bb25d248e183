"""What a model was trained on, in short: shares of each feature's values, and what is usual; shipped with the release.

Made from a sample of the training rows, chosen by hash: at most about 20,000, whatever the base.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core.chance import share_of
from churnwatch.model.applied import Floats, opened
from churnwatch.model.schema import Schema, raw_values
from churnwatch.model.shipped import packed
from churnwatch.model.worker import matrix
from churnwatch.settings import Settings
from churnwatch.settings.names import segment_names

SAMPLE_ROWS = 20_000
DECILES = np.arange(1, 10) / 10
MARGIN = "(margin)"  # among the features: the model's own margin
DIGITS = 9


def of(rows: DataFrame, count: int, text: str, schema: Schema, settings: Settings) -> dict[str, Any]:
    """The reference of ``count`` training ``rows`` (columns of user_features) and of the model ``text`` over ``schema``.

    ``bins``: of each feature and of the margin the deciles that differ (``edges``), the share of
    rows up to each and above the last (``shares``), and the share ``missing``; of a feature also the ``fill`` that stood for
    missing values, which with linear models is a mean of training. ``usual``: the median of each feature by value
    of the segment ``usual_by``, last that of all rows; a value with fewer rows than ``privacy.min_group_size`` has none.
    """
    sample = _sample(rows, count, schema, settings)
    values = matrix(sample.column("values"), len(schema.features))
    model = opened(packed(text, schema, schema.features))
    margin = model.margin(model.columns(values))
    features = zip(schema.features, values.T, schema.fills, strict=True)
    bins = {name: {**shares(column), "fill": fill} for name, column, fill in features}
    return {
        "rows": len(values),
        "bins": {**bins, MARGIN: shares(margin)},
        "usual": _usual(values, sample.column("segment"), schema, settings),
    }


def _sample(rows: DataFrame, count: int, schema: Schema, settings: Settings) -> pa.Table:
    keyed = rows.withColumn("_key", F.concat_ws(" ", "user_id", F.col("day").cast("string")))
    share = share_of(F.col("_key"), f"reference:{settings.model.seed}")
    segment = usual_by(settings)
    label = F.col(segment) if segment else F.lit(None).cast("string")
    wanted = keyed.where(share < SAMPLE_ROWS / max(count, 1))
    return wanted.select(label.alias("segment"), raw_values(schema).alias("values")).toArrow()


def usual_by(settings: Settings) -> str | None:
    """Column of user_features by which users are alike: the first configured segment."""
    return next(iter(segment_names(settings)), None)


def shares(column: Floats) -> dict[str, Any]:
    """Deciles of the known values without repeats, the share of all rows in each bin (``value <= edge``), the share missing."""
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
    found = pc.value_counts(segment).to_pylist()
    named = sorted(one["values"] for one in found if one["values"] is not None)
    sizes = {one["values"]: one["counts"] for one in found}
    enough = [name for name in named if sizes[name] >= settings.privacy.min_group_size]
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
    """Segment column, its values, and medians: a row a value and one for all others, a column a feature; NaN where unknown."""
    if not reference:
        return None, [], np.full((1, len(features)), np.nan)
    usual = reference["usual"]
    nothing = [None] * (len(usual["values"]) + 1)
    columns = [usual["medians"].get(name, nothing) for name in features]
    return usual["by"], usual["values"], np.array(columns, dtype=np.float64).T
