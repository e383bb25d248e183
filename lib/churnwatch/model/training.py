"""The job train_model: from features and mature labels to a released or refused model."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from churnwatch.core import Refused
from churnwatch.model import card, gate, pictures, run_rows, shipping
from churnwatch.model import frame as fr
from churnwatch.model import origins as og
from churnwatch.model import recipe as rc
from churnwatch.model import spans as sp
from churnwatch.model.algorithms import algorithm
from churnwatch.model.evaluation import evaluate
from churnwatch.model.reference import build_reference
from churnwatch.model.run_rows import Attempt, Final, Tested
from churnwatch.model.schema import Schema, category_features, schema_of
from churnwatch.model.season import with_season
from churnwatch.model.segment_quality import quality_by_segment
from churnwatch.model.tuning import Budget
from churnwatch.model.worker_model import WorkerModel
from churnwatch.settings import Settings, feature_names
from churnwatch.settings.terms import RELEASED
from churnwatch.tables import tables


def train(inputs: Mapping[str, DataFrame], days: Sequence[date], models: Any, settings: Settings) -> dict[str, DataFrame]:
    """Rows of model_runs, one an algorithm: the attempt of run day D, released or refused by the gate. A repeated run with
    the same run_id returns its stored rows.

    Reads snapshots whose labels are mature. Tunes and fits on the train span, calibrates on a later span and tests on a still
    later one; does the same at earlier origins. A model that passes the gate is fitted again on the newest settled days.
    Raises Refused where history is too short, a span holds one class alone or xgboost is not installed; JobFailed where MLflow
    cannot be reached (before anything is fitted) or every trial failed.
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
    """The row of the newest release of the primary definition on or before ``day``; of several on a day, the latest."""
    released = model_runs.where((F.col("outcome") == RELEASED) & (F.col("definition") == settings.churn.primary))
    newest = released.where(F.col("day") <= F.lit(day)).orderBy(F.desc("day"), F.desc("at"), F.desc("run_id"))
    return newest.first()


def _attempt(inputs: Mapping[str, DataFrame], today: date, models: Any, settings: Settings) -> list[dict[str, Any]]:
    stored = fr.snapshot_days(inputs, settings)
    origins = sp.rolling_origins(stored, today, settings)
    newest = sp.newest_spans(stored, origins[0], settings)
    days = sorted({day for spans in (*origins, newest) for day in spans.days})
    indicators, others = category_features(fr.category_values(inputs["features"], origins[0].train[-1], settings))
    whole = schema_of([*feature_names(settings), *indicators], settings, others)
    # every span is a part of this frame: features and labels are read and joined once
    frame = fr.training_frame(inputs, days, whole, settings).cache()
    try:
        *sizes, newest_sizes = fr.span_sizes(frame, [*origins, newest])
        attempt = Attempt(today, origins, sizes, newest, newest_sizes, frame, whole)
        return _fit_and_release(attempt, inputs, models, settings)
    finally:
        frame.unpersist()


def _fit_and_release(attempt: Attempt, inputs: Mapping[str, DataFrame], models: Any, settings: Settings) -> list[dict[str, Any]]:
    _refuse_one_class(attempt)
    data = gate.Data(attempt.sizes[0], len(attempt.spans.train), None, len(attempt.origins))
    if not (early := gate.check_data(data, settings)).passed:
        row = run_rows.base_row(attempt, models, settings) | {"conditions": list(early.conditions)}
        return models.release([row], {}, {}, None)
    attempt = with_season(attempt, models, settings)
    tested = _test(attempt, inputs, models, settings)
    final = _refit(attempt, tested, models, settings)
    rows = run_rows.rows_of(attempt, tested, final, models, settings)
    files = run_rows.files_of(tested, final, settings) | {"card.md": card.markdown(card.parts(rows[0], settings))}
    if tested.verdict.passed:
        # drift is measured against the reference of a release; a refused model needs none
        trained = fr.only_span(fr.with_span(attempt.frame, final.spans), "train")
        reference = build_reference(
            trained, attempt.whole, final.sizes["train"].rows, final.model.text, final.model.schema, settings
        )
        files["reference.json"] = json.dumps(reference)
        rows[0]["reference"] = json.dumps(reference["bins"])
    full = models.release(rows, files, pictures.draw_curves(tested.evaluation.curves), final.model.model)
    models.forget_trials()
    return full


def _refuse_one_class(attempt: Attempt) -> None:
    for span, size in attempt.sizes[0].items():
        if size.positives in (0, size.rows):
            raise Refused(
                f"the {span} span {attempt.spans.as_text()[span]} holds one class alone: {size.positives:,} of {size.rows:,} "
                "rows churned; look at the churn definition and at the labels of these days"
            )


def _test(attempt: Attempt, inputs: Mapping[str, DataFrame], models: Any, settings: Settings) -> Tested:
    """Fit the candidates at the newest origin, test the best one, repeat the procedure at earlier origins, ask the gate."""
    spans, whole, names = attempt.spans, attempt.whole, attempt.whole.features
    with rc.cached_span(attempt.frame, spans, attempt.sizes[0], whole, settings) as span:
        selection = rc.select(span, settings)
        recipe = rc.tune(span, selection.kept, selection.moments, Budget.of(settings), rc.Trials(models, "newest"), settings)
        candidates = rc.fit_candidates(span, recipe, selection.moments, models, settings)
        best = candidates[0]
        rival, notes = _last_release_model(inputs, attempt.today, models, whole, settings)
        own = best.worker_model(whole)
        test = fr.only_span(span.later, "test")
        capacity = og.capacity_share(attempt.sizes[0]["test"].weight, len(spans.test), settings)
        evaluation = evaluate(test, [own] if rival is None else [own, rival], best.calibration, names, capacity, settings)
        segments = fr.segments_of(inputs["features"], settings)
        evaluation.curves["segments"] = quality_by_segment(
            test, own, best.calibration, evaluation.margins, names, segments, settings
        )
    origins = og.evaluate_earlier_origins(attempt.frame, attempt.origins, attempt.sizes, whole, models, settings)
    origins.append(og.Origin(spans, best.algorithm, evaluation.metrics))
    data = gate.Data(attempt.sizes[0], len(spans.train), selection.missing_share, len(origins))
    rivals = {"rule": evaluation.rule, "column": evaluation.column}
    verdict = gate.check_release(evaluation.metrics, data, rivals, notes, settings)
    return Tested(candidates, recipe, selection, evaluation, origins, verdict)


def _last_release_model(
    inputs: Mapping[str, DataFrame], today: date, models: Any, whole: Schema, settings: Settings
) -> tuple[WorkerModel | None, list[str]]:
    """The last release over the columns of ``whole`` as workers apply it, or None and a note why it cannot be compared."""
    row = last_release(inputs["model_runs"], today, settings)
    if row is None:
        return None, ["no earlier release to beat: ok"]
    release = models.load(row["model_version"], row["mlflow_run_id"], row["artifacts_hash"])
    schema = Schema.from_json(release.schema)
    if gone := [name for name in schema.features if name not in whole.features]:
        return None, [f"release {row['model_version']} reads {len(gone)} features that are gone ({gone[0]}): not compared: ok"]
    if other := [*schema.redefined(dict(zip(whole.features, whole.meanings, strict=True)))]:
        why = f"{len(other)} features that mean something else by now ({other[0]})"
        return None, [f"release {row['model_version']} reads {why}: not compared: ok"]
    return shipping.worker_model_of(release.text, schema, whole.features), []


def _refit(attempt: Attempt, tested: Tested, models: Any, settings: Settings) -> Final:
    """Fit and calibrate a model that passed the gate again on the newest settled days; the tested model where ``model.roll``
    is off, it was refused, or a newest span holds one class alone."""
    as_tested = Final(tested.best, attempt.spans, attempt.sizes[0])
    if not (settings.model.roll and tested.verdict.passed) or attempt.newest is attempt.spans:
        return as_tested
    sizes = attempt.newest_sizes
    if any(sizes[span].positives in (0, sizes[span].rows) for span in ("train", "calibration")):
        return as_tested
    with rc.cached_span(attempt.frame, attempt.newest, sizes, attempt.whole, settings) as span:
        model = rc.refit(span, tested.recipe, tested.best.algorithm, models, settings)
    return Final(model, attempt.newest, sizes)
