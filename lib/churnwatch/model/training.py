"""The job train_model: from features and mature labels to a released or refused model."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pyspark.sql import DataFrame, Row

from churnwatch.core import Refused
from churnwatch.model import card, gate, pictures, run_rows, single_feature
from churnwatch.model import frame as fr
from churnwatch.model import origins as og
from churnwatch.model import recipe as rc
from churnwatch.model import spans as sp
from churnwatch.model.algorithms import algorithm
from churnwatch.model.contest import Contest
from churnwatch.model.reference import build_reference
from churnwatch.model.release_in_use import last_release, release_in_use
from churnwatch.model.rolling import final_release
from churnwatch.model.run_rows import Attempt, Final, Tested
from churnwatch.model.schema import category_features, schema_of
from churnwatch.model.season import with_season
from churnwatch.model.segment_quality import quality_by_segment
from churnwatch.model.tuning import Budget
from churnwatch.settings import Settings, feature_names
from churnwatch.settings.terms import RECALIBRATED, RULE
from churnwatch.tables import tables


def train(inputs: Mapping[str, DataFrame], days: Sequence[date], models: Any, settings: Settings) -> dict[str, DataFrame]:
    """Rows of model_runs, one an algorithm: the attempt of run day D, released or refused by the gate. A repeated run with
    the same run_id returns its stored rows.

    Reads snapshots whose labels are mature. Tunes and fits on the train span, calibrates on a later span and tests on a still
    later one; does the same at earlier origins. What passes the gate is the new model, else the last release calibrated again,
    else the best single feature; it is fitted again on the newest settled days.
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
    if tested.released is None:
        final = Final(tested.shown.candidate, attempt.spans)
    else:
        final = final_release(attempt, tested, tested.released, models, settings)
    rows = run_rows.rows_of(attempt, tested, final, models, settings)
    files = run_rows.files_of(tested, final, settings) | {"card.md": card.markdown(card.parts(rows[0], settings))}
    model = None
    if tested.released is not None:
        model = _spark_model(final, tested, attempt, models)
        # drift is measured against the reference of a release; a refused model needs none
        reference = _reference(attempt, tested, final, settings)
        if reference is not None:
            files["reference.json"] = json.dumps(reference)
            rows[0]["reference"] = json.dumps(reference["bins"])
    full = models.release(rows, files, pictures.draw_curves(tested.shown.evaluation.curves), model)
    models.forget_trials()
    return full


def _spark_model(final: Final, tested: Tested, attempt: Attempt, models: Any) -> Any:
    if final.model.algorithm == RECALIBRATED and tested.in_use:
        return models.spark_model(tested.in_use.row["model_version"])
    if final.model.algorithm == RULE:
        return single_feature.spark_model(final.model.text, attempt.frame.sparkSession)
    return final.model.model


def _reference(attempt: Attempt, tested: Tested, final: Final, settings: Settings) -> dict[str, Any] | None:
    """The reference of what is released: of the rows that it was fitted on; of a release that was calibrated again its own."""
    if final.model.algorithm == RECALIBRATED and tested.in_use:
        return tested.in_use.artifacts.reference
    trained = fr.only_span(fr.with_span(attempt.frame, final.spans), "train")
    sizes = attempt.newest_sizes if final.spans is attempt.newest else attempt.sizes[0]
    return build_reference(trained, attempt.whole, sizes["train"].rows, final.model.text, final.model.schema, settings)


def _refuse_one_class(attempt: Attempt) -> None:
    for span, size in attempt.sizes[0].items():
        if size.positives in (0, size.rows):
            raise Refused(
                f"the {span} span {attempt.spans.as_text()[span]} holds one class alone: {size.positives:,} of {size.rows:,} "
                "rows churned; look at the churn definition and at the labels of these days"
            )


def _test(attempt: Attempt, inputs: Mapping[str, DataFrame], models: Any, settings: Settings) -> Tested:
    """Test the procedure at several origins; fit the candidates at the newest one, and ask the gate what is released."""
    spans, whole, names = attempt.spans, attempt.whole, attempt.whole.features
    several = len(attempt.origins) > 1
    origins = og.evaluate_origins(attempt.frame, attempt.origins, attempt.sizes, whole, models, settings) if several else []
    in_use, notes = release_in_use(inputs["model_runs"], attempt.today, models, whole, settings)
    with rc.cached_span(attempt.frame, spans, attempt.sizes[0], whole, settings) as span:
        selection = rc.select(span, settings)
        recipe = rc.tune(span, selection.kept, selection.moments, Budget.of(settings), rc.Trials(models, "newest"), settings)
        candidates = rc.fit_candidates(span, recipe, selection.moments, models, settings)
        feature, rule = single_feature.best_features(fr.only_span(span.later, "calibration"), names, selection.kept)
        rivals = {gate.RULE: rule.name, gate.COLUMN: feature.name}
        data = gate.Data(attempt.sizes[0], len(spans.train), selection.missing_share, max(len(origins), 1))
        capacity = og.capacity_share(attempt.sizes[0]["test"].weight, len(spans.test), settings)
        first = last_release(inputs["model_runs"], attempt.today, settings) is None
        contest = Contest(span, spans.test, capacity, data, in_use, notes, first, settings)
        options = contest.options(candidates[0], single_feature.fit_single_feature(span, feature, settings), rivals)
        released = contest.released(options)
        shown = released or options[0]
        shown.evaluation.curves["segments"] = quality_by_segment(
            fr.only_span(span.later, "test"),
            shown.candidate.worker_model(whole),
            shown.candidate.calibration,
            shown.evaluation.margins,
            names,
            fr.segments_of(inputs["features"], settings),
            settings,
        )
    if not several:
        evaluation = options[0].evaluation
        origins = [og.Origin(spans, candidates[0].algorithm, evaluation.metrics, evaluation.replicates)]
    return Tested(candidates, recipe, selection, feature, rivals, in_use, origins, options, released)
