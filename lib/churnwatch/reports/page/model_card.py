"""The page's section on the model: the newest release on its test span, its gate, and its quality since then."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from churnwatch.model import card
from churnwatch.reports.page.blocks import Block, Column, Figure, Note, Section, Table, axis_of, badge, interval_cell
from churnwatch.reports.page.charts import Point, calibration_chart
from churnwatch.reports.page.facts import PageFacts, Rows
from churnwatch.reports.page.trends import from_when
from churnwatch.reports.page.words import NONE, day_text, number, percent, plural, whole
from churnwatch.reports.score_quality import TENTH
from churnwatch.settings import Settings
from churnwatch.settings.feature_words import measure_title
from churnwatch.settings.terms import ALL, RECALIBRATED, REFUSED, RELEASED, RULE

# name in model_runs.metrics -> (title, what it says, whether it is a share shown in percent)
TITLES = {
    "auc": ("AUC", "share of pairs in which the churner ranks above the other user; 0.5 is chance", False),
    "rule_auc": ("AUC of the best recency rule", "the same for the best single days-without column", False),
    "auc_minus_rule": ("AUC above that rule", "an interval above 0: better beyond chance", False),
    "auc_minus_column": (
        "AUC above the best single feature",
        "chosen on the calibration span; an interval above 0: better beyond chance",
        False,
    ),
    "precision_at_capacity": ("Precision at capacity", "churners among those whom the team can work", True),
    "recall_at_capacity": ("Recall at capacity", "share of all churners among them", True),
    "lift_at_capacity": ("Lift at capacity", "times the base rate among them", False),
    "empc_cents": ("Expected maximum profit", "cents a user that the best campaign by the score would earn", False),
    "average_precision": ("Average precision", "mean precision over all churners; the base rate is chance", True),
    "predicted": ("Predicted rate", "mean probability that was said", True),
    "base_rate": ("Base rate", "share of users who churned", True),
    "top_decile_lift": ("Lift of the top tenth", "times the base rate among the riskiest tenth", False),
    "brier": ("Brier score", "mean squared error of the probability; less is better", False),
    "log_loss": ("Log loss", "less is better", False),
    "calibration_error": ("Calibration error", "mean gap between said and seen, in ten groups", True),
    "observed_over_expected": ("Observed / expected churn", "churners over the sum of probabilities; 1 is right", False),
}
ENDS = ("_low", "_high")
QUALITY_DAYS = 10
ON_CARD = ("Data", "Features", "Rolling origins", "Quality by segment, test span", "Limits")
DRIFT_ROWS = 10
MUCH, SOME = 0.25, 0.1


def model_section(facts: PageFacts, settings: Settings) -> Section:
    """Metrics of the newest release with intervals and calibration, its gate, quality since then, drift."""
    title = "The model"
    released = [r for r in facts.model_runs if r["outcome"] == RELEASED]
    blocks: list[Block] = [*_attempt_notes(facts)]
    lede = ""
    if released:
        newest = max(released, key=lambda r: (r["day"], r["at"]))
        measured = _numbers(newest["metrics"])
        blocks = [*_metric_tables(measured), *_calibration(newest["curves"]), *_gate(newest), *blocks]
        blocks += [*_compared(newest, facts.model_runs), *_card(newest, settings)]
        lede = _lede(newest, measured)
    elif not blocks:
        blocks = [Note("No model was trained yet; train_model says on its first run from which day on it can.", "empty")]
    blocks += _quality_blocks(facts, settings) + _drift_blocks(facts.drift, settings)
    return Section("model", title, lede, blocks, "Model")


def _numbers(metrics: Mapping[str, float] | None) -> dict[str, float]:
    return {name: value for name, value in (metrics or {}).items() if value is not None and not math.isnan(value)}


def _lede(run: Mapping[str, Any], measured: Mapping[str, float]) -> str:
    text = (
        f"In use: version {run['model_version']}, trained as of {day_text(run['day'])} ({_ranked_by(run)}, {run['definition']})."
    )
    if "top_decile_lift" in measured:
        text += (
            f" On days it had not seen, the riskiest tenth churned {measured['top_decile_lift']:.1f} times as often as all users."
        )
    return text


def _ranked_by(run: Mapping[str, Any]) -> str:
    """What ranks users: an algorithm, the single feature of a rule, or the release that was calibrated again."""
    given = run["parameters"] or {}
    if run["algorithm"] == RULE:
        return f"the single feature {given.get('feature')}, because no model was shown to beat it"
    if run["algorithm"] == RECALIBRATED:
        return f"{given.get('ranked_by')} of version {given.get('release')} with new probabilities"
    return str(run["algorithm"])


def _metric_tables(measured: Mapping[str, float]) -> list[Block]:
    names = [name for name in TITLES if name in measured]
    shown = (*ENDS, "_sd", "_users", "_rows", "_positives")  # in the metric's row, or on the card
    others = sorted(n for n in measured if n not in TITLES and not n.endswith(shown) and not n.startswith("origins"))
    if not names:
        return []
    rows = [[TITLES[n][0], _value(n, measured[n]), _interval(n, measured), TITLES[n][1]] for n in names]
    columns = [Column("Metric"), Column("Test span", True), Column("95 % interval", True), Column("What it says", text=True)]
    blocks: list[Block] = [Table("Quality on the test span, before release", columns, rows)]
    if others:
        further = [[n.replace("_", " "), _value(n, measured[n]), _interval(n, measured)] for n in others]
        blocks.append(Table("Beside it: simpler rankings and differences", columns[:3], further, folded=True))
    return blocks


def _is_share(name: str) -> bool:
    return next((share for known, (_, _, share) in TITLES.items() if name == known or name.endswith(f"_{known}")), False)


def _value(name: str, value: float) -> str:
    return percent(value).replace("-", "−") if _is_share(name) else number(value)


def _interval(name: str, measured: Mapping[str, float]) -> str:
    low, high = measured.get(f"{name}_low"), measured.get(f"{name}_high")
    return NONE if low is None or high is None else f"{_value(name, low)} to {_value(name, high)}"


def _calibration(curves: str | None) -> list[Block]:
    """The chart of said against seen, from the JSON's ten groups: rows, predicted, observed, observed_low, observed_high."""
    bins = (json.loads(curves) if curves else {}).get("calibration") or []
    points = [_calibration_point(_numbers(one)) for one in bins]
    known = [point for point in points if point is not None]
    if not known:
        return []
    note = (
        "Each point is a tenth of the users: across, the churn the model said; up, the churn seen, with 95 % intervals. "
        "On the line, both agree."
    )
    return [Figure("Calibration on the test span", calibration_chart(known, "Predicted against observed churn"), note)]


def _calibration_point(tenth: Mapping[str, float]) -> Point | None:
    said, seen = tenth.get("predicted"), tenth.get("observed")
    if said is None or seen is None:
        return None
    text = f"said {percent(said)}, seen {percent(seen)}, {plural(int(tenth.get('rows', 0)), 'row')}"
    return Point(said, seen, tenth.get("observed_low", seen), tenth.get("observed_high", seen), text)


def _gate(run: Mapping[str, Any]) -> list[Block]:
    if not run["conditions"]:
        return []
    rows = [[_verdict(text), text] for text in run["conditions"]]
    return [Table("The gate before release", [Column("Outcome"), Column("Condition", text=True)], rows, classes="half")]


def _verdict(condition: str) -> object:
    failed = "failed" in condition.lower()
    return badge("failed" if failed else "ok", "red" if failed else "good")


def _compared(run: Mapping[str, Any], runs: Rows) -> list[Block]:
    """The algorithms of the attempt that was released, by what they were compared by; nothing where there was one."""
    same = [r for r in runs if r["run_id"] == run["run_id"]]
    if len(same) < 2:
        return []
    rows = []
    for r in sorted(same, key=lambda r: (r["outcome"] != RELEASED, r["algorithm"])):
        seen = _numbers(r["metrics"])
        numbers = [NONE if name not in seen else number(seen[name]) for name in ("search_loss", "calibration_auc")]
        rows.append(
            [r["algorithm"], whole(r["trials"] or 0), *numbers, "; ".join(r["conditions"] or []) if r is not run else RELEASED]
        )
    columns = [Column("Algorithm"), Column("Trials", True), Column("Loss of the search", True)]
    columns += [Column("AUC on the calibration span", True), Column("Outcome", text=True)]
    note = (
        "Each was tuned with the same number of trials; the best on the calibration span went to the gate, the test span unseen. "
        "A single feature (rule) and the last release with new probabilities (recalibrated) are not tuned: they go out where no "
        "model passed."
    )
    return [Table("Algorithms side by side", columns, rows, note)]


def _card(run: Mapping[str, Any], settings: Settings) -> list[Block]:
    """The model card's other parts, folded: the same that MLflow keeps as card.md."""
    blocks: list[Block] = []
    for part in card.parts(run, settings):
        if part.title in ON_CARD:
            lines = " ".join(line.removeprefix("- ") for line in part.lines)
            columns = [Column(name, number=n > 0, text=n == 0) for n, name in enumerate(part.columns)] or [Column("", text=True)]
            rows = part.rows if part.columns else [[line.removeprefix("- ")] for line in part.lines]
            blocks.append(Table(part.title, columns, rows, lines if part.columns else "", folded=True))
    return blocks


def _attempt_notes(facts: PageFacts) -> list[Block]:
    """The newest attempt, where it did not end in a release."""
    notes: list[Block] = []
    if facts.model_runs:
        # of an attempt with several algorithms the row that went to the gate has the most conditions
        newest = max(facts.model_runs, key=lambda r: (r["day"], r["at"], r["outcome"] == RELEASED, len(r["conditions"] or [])))
        if newest["outcome"] == REFUSED:
            failed = "; ".join(c for c in newest["conditions"] or [] if "failed" in c.lower())
            notes.append(
                Note(f"The training of {day_text(newest['day'])} was not released: {failed or 'the gate did not pass'}.", "alarm")
            )
    said = [r for r in facts.runs if r["job"] == "train_model" and r["status"] == REFUSED and r["message"]]
    if said and not facts.model_runs:
        last = max(said, key=lambda r: (r["day"], r["at"]))
        notes.append(Note(f"No model yet: {last['message']}", "empty"))
    return notes


def _quality_blocks(facts: PageFacts, settings: Settings) -> list[Block]:
    if not facts.model_quality:
        text = from_when(
            facts, settings.label_lag_days(settings.churn.primary), "Scores are compared with what happened", "score_users"
        )
        return [Note(text, "empty")] if facts.tiers or facts.model_runs else []
    by_day: dict[tuple[Any, str], dict[str, Any]] = {}
    for r in facts.model_quality:
        if (r["by"] or ALL) == ALL:
            seen = by_day.setdefault((r["day"], r["model_version"]), {"users": r["users"], "churned": r["churned"]})
            seen[r["metric"]] = r["metric_value"]
    names = ["auc", "average_precision", "base_rate", "brier", "log_loss", "calibration_error"]
    few = settings.privacy.min_group_size
    rows = [
        [day_text(day), version, whole(seen["users"]), *(NONE if seen.get(n) is None else _value(n, seen[n]) for n in names)]
        for (day, version), seen in sorted(by_day.items(), reverse=True)[:QUALITY_DAYS]
        if seen["users"] >= few
    ]
    columns = [Column("Scored on"), Column("Version"), Column("Judged", True, "users")]
    columns += [Column(TITLES[n][0], True) for n in names]
    if not rows:
        return []
    return [Table("Scores against what then happened", columns, rows), *_honest_blocks(facts.model_quality, few)]


def _honest_blocks(quality: Rows, few: int) -> list[Block]:
    """Said and seen of the newest day on which a release was judged, by tenth of risk and by segment."""
    released = [r for r in quality if not r["model_version"].endswith("(shadow)")]
    newest = max(((r["day"], r["model_version"]) for r in released), default=None)
    looks: dict[tuple[str, str], dict[str, Any]] = {}
    for r in released:
        if (r["day"], r["model_version"]) == newest and (r["by"] or ALL) != ALL and r["users"] >= few:
            looks.setdefault((r["by"], r["value"]), {"users": r["users"]})[r["metric"]] = r["metric_value"]
    if newest is None or not looks:
        return []
    # tenths by risk, segments after them, their values by size
    order = sorted(looks, key=lambda of: (of[0] != TENTH, of[0], int(of[1]) if of[0] == TENTH else -looks[of]["users"]))
    names = ["predicted", "base_rate", "brier", "calibration_error"]
    rows = [
        [f"{by}: {value}", whole(seen["users"]), *(NONE if seen.get(n) is None else _value(n, seen[n]) for n in names)]
        for (by, value), seen in ((of, looks[of]) for of in order)
    ]
    columns = [Column("Users", text=True), Column("Judged", True, "users"), *(Column(TITLES[n][0], True) for n in names)]
    caption = f"Were probabilities honest? Scored on {day_text(newest[0])}, by tenth of risk (1: lowest) and by segment"
    return [Table(caption, columns, rows, folded=True)]


def _drift_blocks(rows: Rows, settings: Settings) -> list[Block]:
    known = [r for r in rows if r["psi"] is not None]
    if not known:
        return []
    most = sorted(known, key=lambda r: (-r["psi"], r["feature"]))[:DRIFT_ROWS]
    axis = axis_of([r["psi"] for r in most] + [MUCH])
    body = [
        [
            measure_title(r["feature"], settings),
            interval_cell(r["psi"], 0.0, r["psi"], axis, MUCH, f"{r['psi']:.3f}"),
            badge(*_drift_words(r["psi"])),
            percent(r["missing_share"]),
            percent(r["reference_missing_share"]),
        ]
        for r in most
    ]
    columns = [Column("Feature", text=True), Column("PSI"), Column("Meaning"), Column("Missing", True, "of users")]
    columns.append(Column("In training", True, "missing"))
    strong = sum(1 for r in known if r["psi"] >= MUCH)
    note = f"{strong} of {len(known)} features shifted much (0.25 or more, the upright line)."
    until = day_text(most[0]["reference_day"])
    caption = f"Features of {day_text(most[0]['day'])} against training up to {until}: the largest shifts"
    return [Table(caption, columns, body, note)]


def _drift_words(psi: float) -> Sequence[str]:
    if psi >= MUCH:
        return "much", "red"
    return ("some", "yellow") if psi >= SOME else ("little", "good")
