"""The job train_model: from features and mature labels to a released or refused model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from churnwatch.core import Refused
from churnwatch.model import card, gate, pictures, reference, shipped
from churnwatch.model import frame as fr
from churnwatch.model import origins as og
from churnwatch.model import recipe as rc
from churnwatch.model import spans as sp
from churnwatch.model.algorithms import algorithm
from churnwatch.model.by_segment import by_segment
from churnwatch.model.evaluation import Evaluation, evaluated
from churnwatch.model.recipe import Candidate
from churnwatch.model.schema import Schema, schema_of
from churnwatch.model.selection import Selected
from churnwatch.model.tuning import Budget
from churnwatch.settings import Settings, feature_names
from churnwatch.settings.meanings import feature_meanings
from churnwatch.settings.terms import REFUSED, RELEASED
from churnwatch.tables import tables


@dataclass(frozen=True)
class Attempt:
    """The days and rows of an attempt: ``origins`` newest first, ``rows`` of all days, ``sizes`` of the newest origin."""

    today: date
    origins: tuple[sp.Spans, ...]
    rolled: sp.Spans
    rows: DataFrame
    sizes: Mapping[str, fr.Size]
    whole: Schema

    @property
    def spans(self) -> sp.Spans:
        """The newest origin: what the gate judges."""
        return self.origins[0]


@dataclass(frozen=True)
class Judged:
    """The newest origin: candidates, the best first, how it did on the test span, and what the gate says."""

    candidates: list[Candidate]
    recipe: rc.Recipe
    selection: Selected
    seen: Evaluation
    origins: list[og.Origin]
    verdict: gate.Verdict

    @property
    def best(self) -> Candidate:
        """The candidate that went to the gate."""
        return self.candidates[0]


@dataclass(frozen=True)
class Final:
    """The model that is released, if any is: its spans and their sizes."""

    model: Candidate
    spans: sp.Spans
    sizes: Mapping[str, fr.Size]


def train(inputs: Mapping[str, DataFrame], days: Sequence[date], models: Any, settings: Settings) -> dict[str, DataFrame]:
    """A row of model_runs an algorithm: the attempt of D, released or refused by the gate; the same run_id returns its
    stored rows.

    Reads weekly snapshots whose labels are mature, tunes and fits on the train span, calibrates on a later one and tests on
    a later one still; the same at earlier origins. What passes the gate is fitted again on the newest settled days.
    Raises Refused where history is too short, a span holds one class alone or xgboost is not installed, JobFailed where
    MLflow cannot be reached (before anything is fitted) or every trial failed.
    """
    (today,) = days
    for name in settings.model.algorithms:
        algorithm(name).ready()
    stored = models.find(models.run_id)
    if stored is None:
        stored = _attempt(inputs, today, models, settings)
    schema = tables(settings).model_runs.schema
    made = [Row(*schema.names)(*(row.get(name) for name in schema.names)) for row in stored]
    return {"model_runs": inputs["features"].sparkSession.createDataFrame(made, schema)}


def last_release(model_runs: DataFrame, day: date, settings: Settings) -> Row | None:
    """The row of the newest release of the primary definition with ``day`` <= the given one, the latest of a day."""
    released = model_runs.where((F.col("outcome") == RELEASED) & (F.col("definition") == settings.churn.primary))
    newest = released.where(F.col("day") <= F.lit(day)).orderBy(F.desc("day"), F.desc("at"), F.desc("run_id"))
    return newest.first()


def _attempt(inputs: Mapping[str, DataFrame], today: date, models: Any, settings: Settings) -> list[dict[str, Any]]:
    attempt = _opened(inputs, today, settings)
    _refuse_one_class(attempt)
    data = gate.Data(attempt.sizes, len(attempt.spans.train), None, len(attempt.origins))
    if not (early := gate.enough(data, settings)).passed:
        return models.release([_row(attempt, models, settings) | {"conditions": list(early.conditions)}], {}, {}, None)
    judged = _judged(attempt, inputs, models, settings)
    final = _rolled(attempt, judged, models, settings)
    rows = _rows(attempt, judged, final, models, settings)
    files = _files(judged, final, settings) | {"card.md": card.markdown(card.parts(rows[0], settings))}
    if judged.verdict.passed:
        # what drift is measured against: nobody asks it of a model that was refused
        count, one = final.sizes["train"].rows, final.model
        trained = fr.only_span(fr.with_span(attempt.rows, final.spans), "train")
        seen = reference.of(trained, count, one.text, one.schema, settings)
        files["reference.json"] = json.dumps(seen)
        rows[0]["reference"] = json.dumps(seen["bins"])
    full = models.release(rows, files, pictures.drawn(judged.seen.curves), final.model.model)
    models.forget_trials()
    return full


def _opened(inputs: Mapping[str, DataFrame], today: date, settings: Settings) -> Attempt:
    stored = fr.snapshots_of(inputs, settings)
    origins = sp.origins(stored, today, settings)
    rolled = sp.rolled(stored, origins[0], settings)
    days = sorted({day for spans in (*origins, rolled) for day in spans.days})
    rows = fr.labelled_rows(inputs, days, settings)
    sizes = fr.sizes(fr.with_span(rows, origins[0]))
    return Attempt(today, origins, rolled, rows, sizes, schema_of(feature_names(settings), settings))


def _refuse_one_class(attempt: Attempt) -> None:
    for span, size in attempt.sizes.items():
        if size.positives in (0, size.rows):
            raise Refused(
                f"the {span} span {attempt.spans.as_text()[span]} holds one class alone: {size.positives:,} of {size.rows:,} "
                "rows churned; look at the churn definition and at the labels of these days"
            )


def _judged(attempt: Attempt, inputs: Mapping[str, DataFrame], models: Any, settings: Settings) -> Judged:
    spans, whole, names = attempt.spans, attempt.whole, attempt.whole.features
    with rc.opened(attempt.rows, spans, attempt.sizes, whole, settings) as span:
        selection = rc.chosen(span, settings)
        trials = rc.Trials(models, "newest")
        recipe = rc.found(span, selection.kept, selection.moments, Budget.of(settings), trials, settings)
        candidates = rc.made(span, recipe, selection.moments, models, settings)
        best = candidates[0]
        last, note = _last(inputs, attempt.today, models, names, settings)
        packed = [best.packed(whole)] if last is None else [best.packed(whole), last]
        test = fr.only_span(span.later, "test")
        capacity = og.capacity_of(attempt.sizes["test"].weight, len(spans.test), settings)
        seen = evaluated(test, packed, best.calibration, names, capacity, settings)
        segments = fr.segments_of(attempt.rows, settings)
        seen.curves["segments"] = by_segment(test, packed[0], best.calibration, seen.margins, names, segments, settings)
    origins = og.earlier(attempt.rows, attempt.origins, whole, models, settings)
    origins.append(og.Origin(spans, best.algorithm, seen.metrics))
    data = gate.Data(attempt.sizes, len(spans.train), selection.missing_share, len(origins))
    verdict = gate.judged(seen.metrics, data, {"rule": seen.rule, "column": seen.column}, note, settings)
    return Judged(candidates, recipe, selection, seen, origins, verdict)


def _last(
    inputs: Mapping[str, DataFrame], today: date, models: Any, names: Sequence[str], settings: Settings
) -> tuple[dict[str, Any] | None, list[str]]:
    """The last release over ``names`` as workers take it, or None and a note why it cannot be compared."""
    row = last_release(inputs["model_runs"], today, settings)
    if row is None:
        return None, ["no earlier release to beat: ok"]
    release = models.load(row["model_version"], row["mlflow_run_id"], row["artifacts_hash"])
    schema = Schema.from_json(release.schema)
    if gone := [name for name in schema.features if name not in names]:
        return None, [f"release {row['model_version']} reads {len(gone)} features that are gone ({gone[0]}): not compared: ok"]
    if other := [*schema.redefined(feature_meanings(settings))]:
        told = f"{len(other)} features that mean something else by now ({other[0]})"
        return None, [f"release {row['model_version']} reads {told}: not compared: ok"]
    return shipped.packed(release.text, schema, tuple(names)), []


def _rolled(attempt: Attempt, judged: Judged, models: Any, settings: Settings) -> Final:
    """What passed the gate, fitted and calibrated on the newest settled days; as tested where that is not asked for."""
    tested = Final(judged.best, attempt.spans, attempt.sizes)
    if not (settings.model.roll and judged.verdict.passed) or attempt.rolled is attempt.spans:
        return tested
    sizes = fr.sizes(fr.with_span(attempt.rows, attempt.rolled))
    if any(sizes[span].positives in (0, sizes[span].rows) for span in ("train", "calibration")):
        return tested
    with rc.opened(attempt.rows, attempt.rolled, sizes, attempt.whole, settings) as span:
        again = rc.again(span, judged.recipe, judged.best.algorithm, models, settings)
    return Final(again, attempt.rolled, sizes)


# --- what is written ------------------------------------------------------------------------------------------------


def _row(attempt: Attempt, models: Any, settings: Settings) -> dict[str, Any]:
    """What every row of the attempt says; refused until more is known."""
    return {
        "day": attempt.today,
        "run_id": models.run_id,
        "algorithm": settings.model.algorithms[0],
        "at": models.now(),
        "definition": settings.churn.primary,
        "spans": attempt.spans.as_text(),
        "trials": 0,
        "parameters": {},
        "metrics": _counts(attempt.sizes),
        "curves": "{}",
        "outcome": REFUSED,
        "conditions": [],
        "features": list(attempt.whole.features),
        "schema_hash": attempt.whole.hash,
    }


def _rows(attempt: Attempt, judged: Judged, final: Final, models: Any, settings: Settings) -> list[dict[str, Any]]:
    """A row an algorithm, the one that went to the gate first."""
    base = _row(attempt, models, settings)
    best = judged.best
    spans = base["spans"]
    if final.model is not best:
        spans = spans | {f"released_{name}": text for name, text in final.spans.as_text().items()}
    metrics = {**judged.seen.metrics, **_counts(attempt.sizes), **og.summary(judged.origins), **_compared(best)}
    first = base | {
        **_told(best),
        "spans": spans,
        "parameters": _told(best)["parameters"] | {"rule": judged.seen.rule, "column": judged.seen.column},
        "metrics": metrics | {"missing_share": round(judged.selection.missing_share, 6)},
        "curves": json.dumps(judged.seen.curves),
        "outcome": judged.verdict.outcome,
        "conditions": list(judged.verdict.conditions),
        "features": list(final.model.schema.features),
        "schema_hash": final.model.schema.hash,
        "origins": json.dumps([origin.to_json() for origin in judged.origins]),
        "left_out": judged.selection.left,
    }
    others = [
        base | _told(one) | {"metrics": _counts(attempt.sizes) | _compared(one), "conditions": [_not_best(one, best)]}
        for one in judged.candidates[1:]
    ]
    return [first, *others]


def _told(one: Candidate) -> dict[str, Any]:
    size = {"maxIter": "trees", "n_estimators": "trees", "numTrees": "trees"}
    parameters = {size.get(name, name): str(value) for name, value in one.tuned.parameters.items()}
    return {
        "algorithm": one.algorithm,
        "trials": len(one.tuned.trials),
        "parameters": parameters | {"calibration": one.calibration["kind"], "search_ended": one.tuned.ended},
        "features": list(one.schema.features),
        "schema_hash": one.schema.hash,
    }


def _compared(one: Candidate) -> dict[str, float]:
    return {"search_loss": one.tuned.loss, "calibration_auc": round(one.rank, 6)}


def _not_best(one: Candidate, best: Candidate) -> str:
    return f"auc on the calibration span: {one.rank:.4f} >= {best.rank:.4f} of {best.algorithm}, which went to the gate: failed"


def _counts(sizes: Mapping[str, fr.Size]) -> dict[str, float]:
    return {
        f"{span}_{what}": float(getattr(size, what)) for span, size in sizes.items() for what in ("users", "rows", "positives")
    }


def _files(judged: Judged, final: Final, settings: Settings) -> dict[str, str]:
    released = final.model
    schema = released.schema.to_json(
        algorithm=released.algorithm,
        definition=settings.churn.primary,
        horizon_days=settings.primary.horizon_days,
        lead_days=settings.primary.lead_days,
        spans=final.spans.as_text(),
        versions={name: version(name) for name in ("pyspark", "lightgbm", "numpy")},
    )
    tested = {"model.txt": judged.best.text, "calibration.json": json.dumps(judged.best.calibration)}
    return {
        "model.txt": released.text,
        "calibration.json": json.dumps(released.calibration),
        "schema.json": json.dumps(schema),
        "curves.json": json.dumps(judged.seen.curves),
        "trials.json": json.dumps({one.algorithm: one.tuned.trials for one in judged.candidates}),
        "selection.json": json.dumps(judged.selection.to_json()),
        **{f"tested/{name}": text for name, text in tested.items()},
    }
