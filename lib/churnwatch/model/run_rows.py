"""The rows of model_runs and the artifacts of an attempt to train, from what was tested and what is released."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from typing import Any

from pyspark.sql import DataFrame

from churnwatch.model import frame as fr
from churnwatch.model import origins as og
from churnwatch.model.contest import Option
from churnwatch.model.recipe import Candidate, Recipe
from churnwatch.model.release_in_use import ReleaseInUse
from churnwatch.model.schema import Schema
from churnwatch.model.selection import SelectedFeatures
from churnwatch.model.single_feature import SingleFeature
from churnwatch.model.spans import Spans
from churnwatch.settings import Settings
from churnwatch.settings.terms import RECALIBRATED, REFUSED, RELEASED


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
    """The newest origin: the candidates, the best first; the single feature and the release in use that the best one was compared
    with; ``rivals``, the names of the features ``rule`` and ``column``; all origins; the options that went to the gate, the best
    candidate first, and the one that is released (None: nothing is)."""

    candidates: list[Candidate]
    recipe: Recipe
    selection: SelectedFeatures
    feature: SingleFeature
    rivals: Mapping[str, str]
    in_use: ReleaseInUse | None
    origins: list[og.Origin]
    options: list[Option]
    released: Option | None

    @property
    def shown(self) -> Option:
        """The option of the attempt's first row: what is released, else the best candidate."""
        return self.released or self.options[0]


@dataclass(frozen=True)
class Final:
    """What goes out, or would have, and its spans, without a test span unless it was tested as it is. ``checks``: conditions on a
    model that was fitted again; ``metrics``: the numbers behind them."""

    model: Candidate
    spans: Spans
    checks: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


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
    """One row an algorithm: first what is released (else the best candidate), then the best candidate where something else is
    released, then the candidates that did not go to the gate."""
    base = base_row(attempt, models, settings)
    first = _option_row(base, tested.shown, attempt, tested)
    conditions = [*tested.shown.verdict.conditions, *final.checks]
    if tested.released is None:
        conditions += [f"instead {one.title}, {text}" for one in tested.options[1:] for text in _failed(one)]
    elif final.spans is not attempt.spans:
        first["spans"] = first["spans"] | {f"released_{name}": text for name, text in final.spans.as_text().items()}
    first |= {
        "curves": json.dumps(tested.shown.evaluation.curves),
        "outcome": REFUSED if tested.released is None else RELEASED,
        "conditions": conditions,
        "features": list(final.model.schema.features),
        "schema_hash": final.model.schema.hash,
        "origins": json.dumps([origin.to_json() for origin in tested.origins]),
        "left_out": tested.selection.left,
    }
    first["metrics"] = {**first["metrics"], **og.summary(tested.origins), **final.metrics}
    rows = [first]
    if tested.shown is not tested.options[0] and tested.shown.candidate is not tested.options[0].candidate:
        refused = tested.options[0]
        rows.append(_option_row(base, refused, attempt, tested) | {"conditions": list(refused.verdict.conditions)})
    best = tested.candidates[0]
    rows += [
        base
        | _candidate_columns(one)
        | {"metrics": _counts(attempt.sizes[0]) | _search_metrics(one), "conditions": [_not_best(one, best)]}
        for one in tested.candidates[1:]
    ]
    return rows


def _option_row(base: Mapping[str, Any], option: Option, attempt: Attempt, tested: Tested) -> dict[str, Any]:
    """What is equal in the row of an option, released or refused."""
    own = _candidate_columns(option.candidate)
    counts = {**_counts(attempt.sizes[0]), **_search_metrics(option.candidate)}
    counts["missing_share"] = round(tested.selection.missing_share, 6)
    spans = base["spans"]
    if option.candidate.algorithm == RECALIBRATED and tested.in_use:
        first, last = tested.in_use.fitted
        spans = spans | {"train": f"{first}..{last}"}
    snapshots = {"snapshots": "of the same season" if attempt.season else "all"}
    more = {
        "parameters": own["parameters"] | snapshots | tested.rivals,
        "metrics": option.evaluation.metrics | counts,
        "spans": spans,
    }
    return {**base, **own, **more}


def _failed(option: Option) -> list[str]:
    return [text for text in option.verdict.conditions if text.endswith(": failed")]


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
        "curves.json": json.dumps(tested.shown.evaluation.curves),
        "trials.json": json.dumps({one.algorithm: one.tuned.trials for one in tested.candidates}),
        "selection.json": json.dumps(tested.selection.to_json()),
        "tested/model.txt": tested.shown.candidate.text,
        "tested/calibration.json": json.dumps(tested.shown.candidate.calibration),
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
    searched = {} if math.isnan(one.tuned.loss) else {"search_loss": one.tuned.loss}
    return {**searched, "calibration_auc": round(one.rank, 6)}


def _not_best(one: Candidate, best: Candidate) -> str:
    return f"auc on the calibration span: {one.rank:.4f} >= {best.rank:.4f} of {best.algorithm}, which went to the gate: failed"


def _counts(sizes: Mapping[str, fr.Size]) -> dict[str, float]:
    return {
        f"{span}_{what}": float(getattr(size, what)) for span, size in sizes.items() for what in ("users", "rows", "positives")
    }
