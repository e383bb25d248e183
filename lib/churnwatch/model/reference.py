"""The reference of a release: the distribution of each feature and of the margin in training, and the usual values.

It is made from a sample of the training rows, chosen by hash: about 20,000 rows at most.

Usual values are medians for what people read beside a reason, and means and rates for what is rare: half of all users have no
crash, so the median says 0, while the mean says how many crashes are usual.
"""

from collections.abc import Callable, Mapping, Sequence
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
from churnwatch.settings.attributes import category_of
from churnwatch.settings.names import segment_names, summed_measures, window_column

SAMPLE_ROWS = 20_000
DECILES = np.arange(1, 10) / 10
MARGIN = "(margin)"  # stands among the features for the model's own margin
DIGITS = 9
PER = ("acts", "events")  # what rates are per: the first of these measures that has windows


def build_reference(rows: DataFrame, whole: Schema, count: int, text: str, schema: Schema, settings: Settings) -> dict[str, Any]:
    """The reference of ``count`` training ``rows`` (of a ``frame.training_frame`` over ``whole``) and of the model ``text`` over
    ``schema``.

    ``bins``, for each feature of the model and the margin: the distinct deciles (``edges``), the share of rows in each bin, up to
    an edge or above the last one (``shares``), the share ``missing``, and for a feature the ``fill`` imputed for missing values,
    which is a training mean in linear models; for a feature of a category also its ``meaning``.

    ``usual``, for each feature of ``whole``: one number for each value of the segment ``by`` in ``values``, then one for all
    rows. Values with fewer rows than ``privacy.min_group_size`` have none; ``rows`` counts the rows behind each number.
    ``medians`` and ``means`` are of the values present, ``sizes`` the mean of the values above 0. ``rates``, only for windows
    of summed measures: the sum of the measure / the sum of ``per`` over the same window. A number is null where nothing can be
    divided.
    """
    sample = _sample(rows, count, settings)
    place = {name: n for n, name in enumerate(whole.features)}
    values = matrix(sample.column("values"), len(place))
    model = worker_model_of(text, schema, whole.features)
    margin = model.margin(model.features(values))
    own = values[:, [place[name] for name in schema.features]]
    features = zip(schema.features, own.T, schema.fills, strict=True)
    bins = {name: {**bin_shares(column), "fill": fill} for name, column, fill in features}
    for name, meaning in zip(schema.features, schema.meanings, strict=True):
        if category_of(name):
            bins[name]["meaning"] = meaning
    return {
        "rows": len(values),
        "bins": {**bins, MARGIN: bin_shares(margin)},
        "usual": _usual(values, sample.column("segment"), whole, settings),
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
    """``edges``: distinct deciles of the known values; ``shares`` of the ``rows`` in each bin (<= its edge), and ``missing``."""
    known = column[~np.isnan(column)]
    edges = np.unique(np.quantile(known, DECILES, method="lower")) if len(known) else np.zeros(0)
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    rows = max(len(column), 1)
    return {
        "rows": len(column),
        "edges": edges.tolist(),
        "shares": [round(float(n / rows), DIGITS) for n in counts],
        "missing": round(float((len(column) - len(known)) / rows), DIGITS),
    }


def _usual(values: Floats, segment: pa.ChunkedArray, whole: Schema, settings: Settings) -> dict[str, Any]:
    counts = {one["values"]: one["counts"] for one in pc.value_counts(segment).to_pylist()}
    least = settings.privacy.min_group_size
    enough = sorted(name for name, count in counts.items() if name is not None and count >= least)
    groups = [values[np.asarray(pc.fill_null(pc.equal(segment, name), False))] for name in enough] + [values]
    per, pairs = rate_pairs(whole, settings)
    return {
        "by": usual_by(settings),
        "values": enough,
        "rows": [len(group) for group in groups],
        "medians": _by_feature(whole.features, groups, np.median),
        "means": _by_feature(whole.features, groups, np.mean),
        "sizes": _by_feature(whole.features, groups, _mean_above_0),
        "per": per,
        "rates": {whole.features[of]: [_rate(group[:, of], group[:, by]) for group in groups] for of, by in pairs},
    }


def rate_pairs(whole: Schema, settings: Settings) -> tuple[str | None, list[tuple[int, int]]]:
    """The measure that rates are per, and (place of a window of a summed measure, place of that measure over the same window)."""
    place = {name: n for n, name in enumerate(whole.features)}
    windows = settings.measures.windows_days
    per = next((name for name in PER if all(window_column(name, days) in place for days in windows)), None)
    if per is None:
        return None, []
    columns = [(window_column(name, days), days) for name in summed_measures(settings) if name != per for days in windows]
    return per, [(place[column], place[window_column(per, days)]) for column, days in columns if column in place]


def _by_feature(
    names: Sequence[str], groups: Sequence[Floats], statistic: Callable[[Floats], Any]
) -> dict[str, list[float | None]]:
    """``statistic`` of the values present, for each feature one number a group; None where a group has no value."""
    return {name: [_of_present(group[:, n], statistic) for group in groups] for n, name in enumerate(names)}


def _of_present(column: Floats, statistic: Callable[[Floats], Any]) -> float | None:
    known = column[~np.isnan(column)]
    found = float(statistic(known)) if len(known) else np.nan
    return None if np.isnan(found) else round(found, DIGITS)


def _mean_above_0(known: Floats) -> float:
    above = known[known > 0]
    return float(above.mean()) if len(above) else np.nan


def _rate(measure: Floats, per: Floats) -> float | None:
    both = ~(np.isnan(measure) | np.isnan(per))
    under = float(per[both].sum())
    return round(float(measure[both].sum()) / under, DIGITS) if under > 0 else None


def usual_matrix(
    reference: Mapping[str, Any] | None, features: Sequence[str], statistic: str = "medians"
) -> tuple[str | None, list[str], Floats]:
    """The segment column, its values, and the usual numbers by ``statistic`` (medians, means, sizes or rates).

    One row a value and a last one for all other users, one column a feature. NaN where the reference does not know the feature
    or the statistic.
    """
    if not reference:
        return None, [], np.full((1, len(features)), np.nan)
    usual = reference["usual"]
    unknown = [None] * (len(usual["values"]) + 1)
    of_feature = usual.get(statistic, {})  # releases made before means were stored have medians alone
    columns = [of_feature.get(name, unknown) for name in features]
    return usual["by"], usual["values"], np.array(columns, dtype=np.float64).T
