"""The rows of model_runs and the artifacts of an attempt to train, from what was tested and what is released."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from typing import Any

from pyspark.sql import DataFrame

from churnwatch.model import frame as fr
from churnwatch.model import gate
from churnwatch.model import origins as og
from churnwatch.model.evaluation import Evaluation
from churnwatch.model.recipe import Candidate, Recipe
from churnwatch.model.schema import Schema
from churnwatch.model.selection import SelectedFeatures
from churnwatch.model.spans import Spans
from churnwatch.settings import Settings
from churnwatch.settings.terms import REFUSED


@dataclass(frozen=True)
class Attempt:
    """The days and rows of an attempt: ``origins`` newest first with their ``sizes``, ``newest`` the spans for the final fit with
    ``newest_sizes``, ``frame`` the cached training frame of all days, ``whole`` the schema of all features; ``season``: whether
    train spans hold the snapshots of one season alone."""

    today: date
    origins: tuple[Spans, ...]
    sizes: Sequence[Mapping[str, fr.Size]]
    newest: Spans
    newest_sizes: Mapping[str, fr.Size]
    frame: DataFrame
    whole: Schema
    season: bool = False

    @property
    def spans(self) -> Spans:
        """The spans of the newest origin, which the gate checks."""
        return self.origins[0]


@dataclass(frozen=True)
class Tested:
    """The newest origin: the candidates, the best first, the evaluation of the best one, all origins, and the gate's verdict."""

    candidates: list[Candidate]
    recipe: Recipe
    selection: SelectedFeatures
    evaluation: Evaluation
    origins: list[og.Origin]
    verdict: gate.Verdict

    @property
    def best(self) -> Candidate:
        """The candidate that went to the gate."""
        return self.candidates[0]


@dataclass(frozen=True)
class Final:
    """The model that is released if the gate was passed, its spans and their sizes."""

    model: Candidate
    spans: Spans
    sizes: Mapping[str, fr.Size]


def base_row(attempt: Attempt, models: Any, settings: Settings) -> dict[str, Any]:
    """The columns that are equal in every row of the attempt; the outcome is ``refused``."""
    return {
        "day": attempt.today,
        "run_id": models.run_id,
        "algorithm": settings.model.algorithms[0],
        "at": models.now(),
        "definition": settings.churn.primary,
        "spans": attempt.spans.as_text(),
        "trials": 0,
        "parameters": {},
        "metrics": _counts(attempt.sizes[0]),
        "curves": "{}",
        "outcome": REFUSED,
        "conditions": [],
        "features": list(attempt.whole.features),
        "schema_hash": attempt.whole.hash,
    }


def rows_of(attempt: Attempt, tested: Tested, final: Final, models: Any, settings: Settings) -> list[dict[str, Any]]:
    """One row an algorithm, the one that went to the gate first."""
    base = base_row(attempt, models, settings)
    best, evaluation = tested.best, tested.evaluation
    spans = base["spans"]
    if final.model is not best:
        spans = spans | {f"released_{name}": text for name, text in final.spans.as_text().items()}
    metrics = {**evaluation.metrics, **_counts(attempt.sizes[0]), **og.summary(tested.origins), **_search_metrics(best)}
    own, snapshots = _candidate_columns(best), {"snapshots": "of the same season" if attempt.season else "all"}
    first = base | {
        **own,
        "spans": spans,
        "parameters": own["parameters"] | snapshots | {"rule": evaluation.rule, "column": evaluation.column},
        "metrics": metrics | {"missing_share": round(tested.selection.missing_share, 6)},
        "curves": json.dumps(evaluation.curves),
        "outcome": tested.verdict.outcome,
        "conditions": list(tested.verdict.conditions),
        "features": list(final.model.schema.features),
        "schema_hash": final.model.schema.hash,
        "origins": json.dumps([origin.to_json() for origin in tested.origins]),
        "left_out": tested.selection.left,
    }
    others = [
        base
        | _candidate_columns(one)
        | {"metrics": _counts(attempt.sizes[0]) | _search_metrics(one), "conditions": [_not_best(one, best)]}
        for one in tested.candidates[1:]
    ]
    return [first, *others]


def files_of(tested: Tested, final: Final, settings: Settings) -> dict[str, str]:
    """The text artifacts by file name: what scoring needs of the final model, and what was measured."""
    released = final.model
    schema = released.schema.to_json(
        algorithm=released.algorithm,
        definition=settings.churn.primary,
        horizon_days=settings.primary.horizon_days,
        lead_days=settings.primary.lead_days,
        spans=final.spans.as_text(),
        versions={name: version(name) for name in ("pyspark", "lightgbm", "numpy")},
    )
    return {
        "model.txt": released.text,
        "calibration.json": json.dumps(released.calibration),
        "schema.json": json.dumps(schema),
        "curves.json": json.dumps(tested.evaluation.curves),
        "trials.json": json.dumps({one.algorithm: one.tuned.trials for one in tested.candidates}),
        "selection.json": json.dumps(tested.selection.to_json()),
        "tested/model.txt": tested.best.text,
        "tested/calibration.json": json.dumps(tested.best.calibration),
    }


def _candidate_columns(one: Candidate) -> dict[str, Any]:
    size = {"maxIter": "trees", "n_estimators": "trees", "numTrees": "trees"}
    parameters = {size.get(name, name): str(value) for name, value in one.tuned.parameters.items()}
    return {
        "algorithm": one.algorithm,
        "trials": len(one.tuned.trials),
        "parameters": parameters | {"calibration": one.calibration["kind"], "search_ended": one.tuned.ended},
        "features": list(one.schema.features),
        "schema_hash": one.schema.hash,
    }


def _search_metrics(one: Candidate) -> dict[str, float]:
    return {"search_loss": one.tuned.loss, "calibration_auc": round(one.rank, 6)}


def _not_best(one: Candidate, best: Candidate) -> str:
    return f"auc on the calibration span: {one.rank:.4f} >= {best.rank:.4f} of {best.algorithm}, which went to the gate: failed"


def _counts(sizes: Mapping[str, fr.Size]) -> dict[str, float]:
    return {
        f"{span}_{what}": float(getattr(size, what)) for span, size in sizes.items() for what in ("users", "rows", "positives")
    }
