"""The model card of a released or refused model: identity, data, quality, quality by segment, gate and limits.

It is made from a row of model_runs alone, so that MLflow's Markdown and the page show the same.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from churnwatch.model.origins import SUMMARISED
from churnwatch.model.spans import SPANS
from churnwatch.settings import Settings
from churnwatch.settings.terms import RECALIBRATED, RULE

SHOWN = (
    *("rule_auc", "auc_minus_rule", "column_auc", "auc_minus_column", "release_auc", "auc_minus_release"),
    *("log_loss_minus_release", "rolled_auc", "rolled_auc_minus_tested", "empc_share"),
)
NAMES = {RULE: "a single feature", RECALIBRATED: "the last release with new probabilities"}


@dataclass(frozen=True)
class Part:
    """A section: title, sentences, and a table where there are ``columns``."""

    title: str
    lines: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def parts(run: Mapping[str, Any], settings: Settings) -> list[Part]:
    """The sections of the card, from the row of model_runs of the candidate that went to the gate."""
    metrics = {name: value for name, value in (run["metrics"] or {}).items() if value is not None and not math.isnan(value)}
    curves = json.loads(run["curves"] or "{}")
    made = [
        Part("What it is", _identity(run, settings)),
        Part("Data", _sampling(settings), ("span", "days", "users", "rows", "churned"), [*_spans(run, metrics)]),
        _features(run),
        Part("Quality on the test span", [], ("metric", "value", "95 % interval"), [*_quality(metrics, settings)]),
        _origins(run, metrics, settings),
        _segments(curves.get("segments") or []),
        Part("Gate", [], ("condition",), [[condition] for condition in run["conditions"] or []]),
        Part("Limits", _limits(metrics, settings)),
    ]
    return [part for part in made if part.lines or part.rows]


def markdown(sections: Sequence[Part]) -> str:
    """The card as Markdown."""
    lines = ["# Model card"]
    for part in sections:
        lines += ["", f"## {part.title}", "", *part.lines]
        if part.columns:
            lines += [""] * bool(part.lines) + [_line(part.columns), _line(["---"] * len(part.columns))]
            lines += [_line(row) for row in part.rows]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _identity(run: Mapping[str, Any], settings: Settings) -> list[str]:
    primary, algorithm, given = settings.primary, run["algorithm"], run.get("parameters") or {}
    lines = [
        f"Predicts churn of `{run['definition']}` within {primary.horizon_days} days after {primary.lead_days} days of lead, "
        f"by {NAMES.get(algorithm, algorithm)}, as of {run['day']}; outcome of the gate: {run['outcome']}."
    ]
    if algorithm == RULE:
        riskier = given.get("riskier", "some values")
        lines.append(
            f"No model was shown to rank users better than the single feature `{given.get('feature')}` ({riskier} are riskier): "
            "users are ranked by it, and its values became probabilities on the calibration span."
        )
    if algorithm == RECALIBRATED:
        lines.append(
            f"Users are ranked as by release {given.get('release')} ({given.get('ranked_by')}); only its probabilities were "
            "fitted again, because they no longer agreed with the churn that was seen."
        )
    elif "released_train" in (run["spans"] or {}):
        lines.append(
            "The released model is the recipe that was tested (same features, hyper-parameters and calibration method), fitted "
            "again on the newest settled days; the numbers below are the recipe's on days that it had not seen, not this fit's."
        )
    return lines


def _sampling(settings: Settings) -> list[str]:
    model = settings.model
    return [
        f"Snapshots every {model.snapshot_every_days} days; hyper-parameters by {model.max_evals} trials on "
        f"users with about {model.search_churners:,} churners, by hash. Users who got an offer while their label matured are "
        "left out; held-out users represent them with inverse-probability weights. Calibration and test keep natural rates."
    ]


def _spans(run: Mapping[str, Any], metrics: Mapping[str, float]) -> Iterator[list[str]]:
    spans = run["spans"] or {}
    for name in (*SPANS, *sorted(set(spans) - set(SPANS))):
        if name in spans:
            counts = (metrics.get(f"{name}_{what}") for what in ("users", "rows", "positives"))
            yield [name.replace("_", " "), spans[name], *("" if n is None else f"{n:,.0f}" for n in counts)]


def _features(run: Mapping[str, Any]) -> Part:
    left = run.get("left_out") or {}
    lines = [f"{len(run['features'] or [])} features; {len(left)} left before the fit."]
    return Part("Features", lines, ("left out", "why"), [[name, why] for name, why in left.items()])


def _quality(metrics: Mapping[str, float], settings: Settings) -> Iterator[list[str]]:
    for name in (*SUMMARISED, *SHOWN):
        if name in metrics:
            title = name.replace("_", " ")
            if name.endswith("at_capacity"):
                title += f" ({metrics['capacity_share']:.1%} of users)"
            yield [title, f"{metrics[name]:.4f}", _interval(metrics, name)]


def _interval(metrics: Mapping[str, float], name: str) -> str:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    return "" if low is None or high is None else f"{low:.4f} .. {high:.4f}"


def _origins(run: Mapping[str, Any], metrics: Mapping[str, float], settings: Settings) -> Part:
    origins = json.loads(run.get("origins") or "[]")
    names = [name for name in SUMMARISED if f"origins_{name}" in metrics]
    rows = []
    for name in names:
        each = ", ".join(f"{one['metrics'][name]:.4f}" for one in origins if name in one["metrics"])
        spread = metrics.get(f"origins_{name}_sd")
        mean = f"{metrics[f'origins_{name}']:.4f}"
        rows.append(
            [name.replace("_", " "), each, mean, "" if spread is None else f"{spread:.4f}", _interval(metrics, f"origins_{name}")]
        )
    tested = "; ".join(one["spans"]["test"] for one in origins)
    lines = [
        f"The procedure at {len(origins)} rolling origins, oldest first, tested on {tested}. Where there are several, all have "
        f"equal means: {settings.model.origin_evals} trials at the oldest one, models fitted on the search sample (about "
        f"{settings.model.search_churners:,} churners, at most {settings.model.search_users:,} users); the model that went to "
        "the gate had more. The interval is over users; how much quality changes from time to time is in the spread."
    ]
    columns = ("metric", "each", "mean", "spread", "95 % interval of the mean")
    return Part("Rolling origins", lines if origins else [], columns, rows)


def _segments(found: Sequence[Mapping[str, Any]]) -> Part:
    columns = ("segment", "rows", "churned", "predicted", "AUC", "Brier", "log loss", "calibration error")
    rows = [
        [
            f"{one['segment']} = {one['value']}",
            f"{one['rows']:,.0f}",
            *(f"{one[name]:.1%}" for name in ("base_rate", "predicted")),
            f"{one['auc']:.3f}" if "auc" in one else "",
            *(f"{one[name]:.4f}" for name in ("brier", "log_loss", "calibration_error")),
        ]
        for one in found
    ]
    return Part("Quality by segment, test span", [], columns, rows)


def _limits(metrics: Mapping[str, float], settings: Settings) -> list[str]:
    ahead = settings.primary.ahead_days
    lines = [
        f"- It ranks and scores users who are eligible for `{settings.churn.primary}`; users who already churned are not scored.",
        f"- It knows nothing of the {ahead} days after a snapshot: what changes the product or the market then, it has not seen.",
        "- Contributions and reasons are associations; they do not say what would keep a user.",
        "- It says who is likely to leave, not who would stay for an offer: hold-outs measure that.",
    ]
    if metrics.get("origins", 0) < 3:
        lines.append("- Fewer than three rolling origins: how much quality changes from month to month is not known.")
    return lines
