"""The job train_model: from features and mature labels to a released or refused model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from typing import Any

from pyspark.ml.stat import Summarizer
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from churnwatch.core import Refused
from churnwatch.model import frame as fr
from churnwatch.model import shipped
from churnwatch.model.evaluation import Evaluation, calibration_of, evaluated
from churnwatch.model.gate import judged
from churnwatch.model.schema import Schema, schema_of
from churnwatch.model.spans import Spans
from churnwatch.model.trees import to_text
from churnwatch.model.tuning import Tuned, fitted, searched
from churnwatch.settings import Settings, feature_names
from churnwatch.tables import tables

ALGORITHM = "gbt"


@dataclass(frozen=True)
class Fitted:
    """Trees, as Spark has them and as text, over the features that vary."""

    model: Any
    text: str
    schema: Schema
    tuned: Tuned


def train(inputs: Mapping[str, DataFrame], days: Sequence[date], models: Any, settings: Settings) -> dict[str, DataFrame]:
    """One row of model_runs: the attempt of D, released or refused by the gate; the same run_id returns its stored row.

    Reads weekly snapshots whose labels are mature, tunes and fits on the train span, calibrates on a later one and tests on
    a later one still. Raises Refused where history is too short or a span holds one class alone, JobFailed where MLflow
    cannot be reached (before anything is fitted) or every trial failed.
    """
    (today,) = days
    stored = models.find(models.run_id)
    if stored is None:
        stored = _attempt(inputs, today, models, settings)
    schema = tables(settings).model_runs.schema
    row = Row(*schema.names)(*(stored.get(name) for name in schema.names))
    return {"model_runs": inputs["features"].sparkSession.createDataFrame([row], schema)}


def last_release(model_runs: DataFrame, day: date, settings: Settings) -> Row | None:
    """The row of the newest release of the primary definition with ``day`` <= the given one, the latest of a day."""
    released = model_runs.where("outcome = 'released'").where(F.col("definition") == settings.churn.primary)
    newest = released.where(F.col("day") <= F.lit(day)).orderBy(F.desc("day"), F.desc("at"), F.desc("run_id"))
    return newest.first()


def _attempt(inputs: Mapping[str, DataFrame], today: date, models: Any, settings: Settings) -> dict[str, Any]:
    spans = fr.spans_of(inputs, today, settings)
    rows = fr.labelled_rows(inputs, spans, settings)
    sizes = fr.sizes(rows)
    _refuse_one_class(sizes, spans)
    names = tuple(feature_names(settings))
    fit = _fit(rows, sizes, spans, models, settings)
    later = fr.for_evaluation(rows, schema_of(names, settings), sizes, settings).cache()
    try:
        ours = shipped.packed(fit.text, fit.schema, names)
        calibration = calibration_of(fr.only_span(later, "calibration"), ours, len(names))
        last, note = _last(inputs, today, models, names, settings)
        forests = [ours] if last is None else [ours, last]
        seen = evaluated(fr.only_span(later, "test"), forests, calibration, names, settings)
    finally:
        later.unpersist()
    verdict = judged(seen.metrics, sizes, seen.rule, settings)
    row = {
        "day": today,
        "run_id": models.run_id,
        "algorithm": ALGORITHM,
        "at": models.now(),
        "definition": settings.churn.primary,
        "spans": spans.as_text(),
        "trials": len(fit.tuned.trials),
        "parameters": _parameters(fit, seen, calibration),
        "metrics": {**seen.metrics, **_counts(sizes)},
        "curves": json.dumps(seen.curves),
        "outcome": verdict.outcome,
        "conditions": [*verdict.conditions, *note],
        "features": list(fit.schema.features),
        "schema_hash": fit.schema.hash,
    }
    return models.release(row, _files(fit, calibration, seen, spans, settings), fit.model)


def _refuse_one_class(sizes: Mapping[str, fr.Size], spans: Spans) -> None:
    for span, size in sizes.items():
        if size.positives in (0, size.rows):
            raise Refused(
                f"the {span} span {spans.as_text()[span]} holds one class alone: {size.positives:,} of {size.rows:,} rows "
                "churned; look at the churn definition and at the labels of these days"
            )


def _fit(rows: DataFrame, sizes: Mapping[str, fr.Size], spans: Spans, models: Any, settings: Settings) -> Fitted:
    names = feature_names(settings)
    schema = schema_of(names, settings)
    fit = fr.for_fit(fr.only_span(rows, "train"), schema, spans, settings).cache()
    try:
        ends = fit.select(Summarizer.metrics("min", "max").summary(fit["vector"]).alias("s")).select("s.*").first()
        least, greatest = (ends["min"].toArray(), ends["max"].toArray()) if ends else ([], [])
        kept = [n for n in range(len(names)) if least[n] < greatest[n]]
        if not kept:
            raise Refused(f"every one of the {len(names)} features is constant over the train span: nothing to learn from")
        tuned = searched(fit, sizes["train"].users, settings)
        model = fitted(fit, tuned.parameters, settings)
    finally:
        fit.unpersist()
    # constant features stay in Spark's vector, which no tree splits on, and leave the text and the schema
    text = to_text(models.trees(model), names, kept)
    return Fitted(model, text, schema.only([names[n] for n in kept]), tuned)


def _last(
    inputs: Mapping[str, DataFrame], today: date, models: Any, names: Sequence[str], settings: Settings
) -> tuple[dict[str, Any] | None, list[str]]:
    """The last release as a forest over ``names``, or None and a note why it cannot be compared."""
    row = last_release(inputs["model_runs"], today, settings)
    if row is None:
        return None, ["no earlier release to beat: ok"]
    release = models.load(row["model_version"], row["mlflow_run_id"], row["artifacts_hash"])
    schema = Schema.from_json(release.schema)
    if gone := [name for name in schema.features if name not in names]:
        return None, [f"release {row['model_version']} reads {len(gone)} features that are gone ({gone[0]}): not compared: ok"]
    return shipped.packed(release.text, schema, names), []


def _parameters(fit: Fitted, seen: Evaluation, calibration: Mapping[str, Any]) -> dict[str, str]:
    chosen = {name: str(value) for name, value in fit.tuned.parameters.items() if name != "maxIter"}
    return {
        **chosen,
        "trees": str(fit.model.getNumTrees),
        "calibration": calibration["kind"],
        "rule": seen.rule,
        "column": seen.column,
    }


def _counts(sizes: Mapping[str, fr.Size]) -> dict[str, float]:
    return {
        f"{span}_{what}": float(getattr(size, what)) for span, size in sizes.items() for what in ("users", "rows", "positives")
    }


def _files(fit: Fitted, calibration: Mapping[str, Any], seen: Evaluation, spans: Spans, settings: Settings) -> dict[str, str]:
    schema = fit.schema.to_json(
        definition=settings.churn.primary,
        horizon_days=settings.primary.horizon_days,
        lead_days=settings.primary.lead_days,
        spans=spans.as_text(),
        versions={name: version(name) for name in ("pyspark", "lightgbm", "numpy")},
    )
    return {
        "model.txt": fit.text,
        "calibration.json": json.dumps(calibration),
        "schema.json": json.dumps(schema),
        "curves.json": json.dumps(seen.curves),
        "trials.json": json.dumps(fit.tuned.trials),
    }
