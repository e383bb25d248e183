"""The best single feature: the rival that every model must beat, and what is released where none does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.ml.functions import array_to_vector
from pyspark.ml.regression import IsotonicRegression
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from churnwatch.model import frame as fr
from churnwatch.model import rule_text
from churnwatch.model.evaluation import calibration_of, count_margins, score_histograms
from churnwatch.model.margin_bins import margin_edges, with_edges
from churnwatch.model.recipe import CachedSpan, Candidate
from churnwatch.model.schema import Schema
from churnwatch.model.shipping import worker_model_of
from churnwatch.model.tuning import SearchResult
from churnwatch.model.worker_model import Floats
from churnwatch.model.worker_sums import COARSE_BITS, FIRST_COLUMN, Scores
from churnwatch.settings import Settings
from churnwatch.settings.terms import RULE

RECENCY = "_days_since"
KNOTS = 200  # at most, at quantiles of the feature
LEAST_SHARE = 1e-3  # for the log-odds, shares of churned users stay this far from 0 and 1
TILT = 0.1  # log-odds between the first and the last knot: values that churned alike keep their order


@dataclass(frozen=True)
class SingleFeature:
    """A feature, and whether its high values are the risky ones (``rising``)."""

    name: str
    rising: bool


def best_features(rows: DataFrame, names: Sequence[str], kept: Sequence[str]) -> tuple[SingleFeature, SingleFeature]:
    """The feature among ``kept`` with the best AUC on ``rows`` (``frame.evaluation_rows``) in its better direction, and the best
    recency rule: of all ``names`` that end in ``_days_since``, longer ago is riskier. A missing value counts as the greatest.

    They are chosen on the calibration span, as algorithms are, so that their AUC on the test span is not the luck of a choice.
    """
    counts = score_histograms(rows, Scores([], len(names), range(len(names)), bits=COARSE_BITS))
    aucs = {name: counts[FIRST_COLUMN + n].auc() for n, name in enumerate(names)}
    best = max(kept, key=lambda name: max(aucs[name], 1 - aucs[name]))
    recency = max((name for name in names if name.endswith(RECENCY)), key=lambda name: aucs[name])
    return SingleFeature(best, aucs[best] >= 0.5), SingleFeature(recency, True)


def fit_single_feature(span: CachedSpan, feature: SingleFeature, settings: Settings) -> Candidate:
    """Log-odds of churn as a monotone curve over the feature, fitted on a sample of the train span, calibrated as models are.

    The curve is an isotonic regression at up to 200 quantiles of the feature, with a slight slope where it is flat: users are
    ranked as the feature ranks them.
    """
    place = span.whole.features.index(feature.name)
    sample = fr.only_sample(span.fit, span.sample_share)
    # collects three numbers a row of the search sample, which model.search_users bounds
    table = sample.select(F.get("values", F.lit(place)).alias("value"), "label", "weight").toArrow()
    value, label, weight = (table[name].to_numpy() for name in ("value", "label", "weight"))
    schema = _schema(span.whole, feature.name, value)
    filled = np.where(np.isnan(value), schema.fills[0], value)
    knots, margins = _curve(filled, label, weight, feature.rising)
    expected = float(np.average(np.interp(filled, knots, margins), weights=weight))
    text = rule_text.to_text(knots.tolist(), margins.tolist(), expected)
    made = worker_model_of(text, schema, span.whole.features)
    seen = count_margins(fr.only_span(span.later, "calibration"), made, len(span.whole.features))
    text = with_edges(text, margin_edges(seen.mean, seen.rows))
    calibration = calibration_of(seen, settings.model.calibration)
    riskier = "high values" if feature.rising else "low values"
    searched = SearchResult({"feature": feature.name, "riskier": riskier}, float("nan"), [], "nothing to search")
    return Candidate(RULE, None, text, schema, calibration, seen.auc(), searched)


def _schema(whole: Schema, name: str, value: Floats) -> Schema:
    """The schema of the feature alone. A missing value is imputed above all others, as in the choice of the feature."""
    schema = whole.only([name])
    if name.endswith(RECENCY):
        return schema
    greatest = float(np.nanmax(value, initial=0.0))
    return schema.with_fills({name: greatest + max(1.0, abs(greatest) * 1e-6)})


def _curve(value: Floats, label: Floats, weight: Floats, rising: bool) -> tuple[Floats, Floats]:
    from sklearn.isotonic import IsotonicRegression as Isotonic

    knots = np.unique(np.quantile(value, np.linspace(0, 1, KNOTS), method="lower"))
    fit = Isotonic(y_min=LEAST_SHARE, y_max=1 - LEAST_SHARE, increasing=rising, out_of_bounds="clip")
    share = fit.fit(value, label, sample_weight=weight).predict(knots)
    tilt = np.linspace(0, TILT, len(knots)) * (1 if rising else -1)
    return knots, np.log(share / (1 - share)) + tilt


def spark_model(text: str, session: SparkSession) -> Any:
    """The curve as a Spark model, for MLflow: its prediction over ``vector``, which holds the feature, is the margin."""
    parts = rule_text.parse(text)
    points = session.createDataFrame(pa.table({"knot": parts["knots"], "margin": parts["margins"]}))
    rising = parts["margins"][-1] >= parts["margins"][0]
    regression = IsotonicRegression(featuresCol="vector", labelCol="margin", isotonic=rising)
    return regression.fit(points.withColumn("vector", array_to_vector(F.array("knot"))))
