"""Early training: drift or a loss of quality of the release in use is a reason to train before ``every_days`` have passed.

Days are pooled, because the AUC of one day with 50 churned users is off by 0.05 on one day in eleven by chance. Drift has to be
seen on every weekday, because a Sunday differs from training days of all weekdays although nothing has changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core.intervals import Z95
from churnwatch.model import last_release
from churnwatch.settings import Settings
from churnwatch.settings.model import EarlyTraining
from churnwatch.settings.terms import ALL

WEEKDAYS = 7
MARGIN = "the margin"


@dataclass(frozen=True)
class PooledAuc:
    """AUC over the judged days ``first`` .. ``last``, and the upper end of its 95 % interval."""

    first: date
    last: date
    auc: float
    high: float


def training_reason(inputs: Mapping[str, DataFrame], day: date, settings: Settings) -> str | None:
    """Why a model should be trained now, by the newest judged days of the release as of ``day``; None without a reason.

    The days are the last ``due.pool_days`` up to the newest judged one. A newer release has no judged day until its labels
    mature, so that it is no reason. Collects one row a day, and one a day and feature of the model.
    """
    release, limits = last_release(inputs["model_runs"], day, settings), settings.model.due
    if release is None or limits is None:
        return None
    version = release["model_version"]
    # rows written before ``by`` existed are of all users
    of_all = F.coalesce("by", F.lit(ALL)) == ALL
    measured = F.col("metric").isin("auc", "margin_psi")
    rows = inputs["quality"].where((F.col("model_version") == version) & of_all & measured).collect()
    newest = max((row["day"] for row in rows), default=None)
    if newest is None:
        return None
    rows = [row for row in rows if row["day"] > newest - timedelta(days=limits.pool_days)]
    psi = [(MARGIN, row["day"], row["metric_value"]) for row in rows if row["metric"] == "margin_psi"]
    if limits.max_psi is not None:
        # feature_drift has no version: the days are those that this release scored
        inside = F.col("feature").isin(*release["features"]) & F.col("day").isin(*{row["day"] for row in rows})
        psi += [(row["feature"], row["day"], row["psi"]) for row in inputs["drift"].where(inside).collect()]
    pooled = pooled_auc([row for row in rows if row["metric"] == "auc"], settings.primary.ahead_days)
    reasons = reasons_to_train((release["metrics"] or {}).get("auc"), pooled, psi_by_weekday(psi), limits)
    if limits.recalibrate:
        inside = F.col("day").isin(*{row["day"] for row in rows}) & F.col("recalibrate").isNotNull()
        reasons += miscalibrated_levels(inputs["thresholds"].where(inside).collect())
    return f"model version {version} on days to {newest}: {'; '.join(reasons)}" if reasons else None


def pooled_auc(days: Sequence[Any], ahead_days: int) -> PooledAuc | None:
    """AUC of the judged ``days`` (rows of model_quality) taken together: the mean over pairs of churned and other users.

    The interval is Hanley and McNeil's (Radiology 143 (1982)), with the users of a mean day times the number of label windows of
    ``ahead_days`` that do not overlap: days whose windows overlap share most of their churned users. None without a day that has
    both classes.
    """
    known = [row for row in days if row["metric_value"] is not None and 0 < row["churned"] < row["users"]]
    if not known:
        return None
    pairs = [row["churned"] * (row["users"] - row["churned"]) for row in known]
    auc = sum(row["metric_value"] * n for row, n in zip(known, pairs, strict=True)) / sum(pairs)
    first, last = min(row["day"] for row in known), max(row["day"] for row in known)
    windows = min(1 + (last - first).days // ahead_days, len(known))
    churned = windows * sum(row["churned"] for row in known) / len(known)
    others = windows * sum(row["users"] - row["churned"] for row in known) / len(known)
    return PooledAuc(first, last, auc, min(auc + Z95 * hanley_mcneil(auc, churned, others), 1.0))


def hanley_mcneil(auc: float, churned: float, others: float) -> float:
    """Standard error of an AUC (Hanley and McNeil, Radiology 143 (1982)).

    >>> round(hanley_mcneil(0.82, 50, 2000), 3)
    0.037
    """
    two_churned, two_others = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (churned - 1) * (two_churned - auc**2) + (others - 1) * (two_others - auc**2)
    return sqrt(max(spread, 0.0) / (churned * others))


def psi_by_weekday(found: Iterable[tuple[str, date, float | None]]) -> dict[str, float]:
    """For each feature the least stability index over the weekdays, of each weekday its newest day. Features that were not judged
    on all seven weekdays are left out."""
    newest: dict[str, dict[int, float]] = {}
    for name, day, psi in sorted(found, key=lambda one: one[1]):
        if psi is not None:
            newest.setdefault(name, {})[day.weekday()] = psi
    return {name: min(of_day.values()) for name, of_day in newest.items() if len(of_day) == WEEKDAYS}


def miscalibrated_levels(rows: Iterable[Any]) -> list[str]:
    """The levels whose rows of thresholds all ask for a new calibration, each with the numbers of its newest day.

    Every judged day has to ask, because label windows of near days share their users and one day may ask by chance.
    """
    by_level: dict[str, list[Any]] = {}
    for row in sorted(rows, key=lambda one: one["day"]):
        by_level.setdefault(row["level"], []).append(row)
    asking = {level: days[-1] for level, days in sorted(by_level.items()) if all(row["recalibrate"] for row in days)}
    return [
        f"at level {level} {row['precision']:.1%} churned where {row['predicted']:.1%} was predicted: a new calibration is due"
        for level, row in asking.items()
    ]


def reasons_to_train(
    tested_auc: float | None, pooled: PooledAuc | None, psi: Mapping[str, float], limits: EarlyTraining
) -> list[str]:
    """The limits that are exceeded, each with both numbers.

    ``tested_auc``: AUC on the release's test span; ``pooled``: AUC of the judged days. ``psi``: least stability index over the
    weekdays by feature. Unknown numbers exceed nothing.
    """
    reasons = []
    if limits.max_psi is not None:
        above = {name: value for name, value in psi.items() if value > limits.max_psi}
        if above:
            worst = max(sorted(above), key=lambda name: above[name])
            others = f", and {len(above) - 1} more" if len(above) > 1 else ""
            reasons.append(f"psi of {worst} at least {above[worst]:.2f} on every weekday{others}, above {limits.max_psi}")
    if tested_auc is None or pooled is None or limits.max_auc_loss is None or pooled.high >= tested_auc - limits.max_auc_loss:
        return reasons
    seen = f"auc {pooled.auc:.3f} on {pooled.first}..{pooled.last}, at most {pooled.high:.3f} by its 95 % interval"
    return [*reasons, f"{seen}, after {tested_auc:.3f} on its test span: a loss of more than {limits.max_auc_loss}"]
