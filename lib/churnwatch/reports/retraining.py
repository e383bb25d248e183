"""Whether drift or a loss of quality of the release in use asks for a training before its time."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.model import last_release
from churnwatch.settings import Settings
from churnwatch.settings.terms import ALL


def training_reason(inputs: Mapping[str, DataFrame], day: date, settings: Settings) -> str | None:
    """Why a model should be trained now, by the newest judged day of the release as of ``day``; None where nothing asks.

    A release that was made since has no judged day until its labels mature: it asks for nothing. Collects the rows of one
    day, as many as there are features.
    """
    release, asked = last_release(inputs["model_runs"], day, settings), settings.model.due
    if release is None or asked is None:
        return None
    version = release["model_version"]
    # rows of before there were looks are of all users
    of_all = F.coalesce("by", F.lit(ALL)) == ALL
    metrics = inputs["quality"].where((F.col("model_version") == version) & of_all).collect()
    newest = max((row["day"] for row in metrics), default=None)
    if newest is None:
        return None
    seen = {row["metric"]: row["metric_value"] for row in metrics if row["day"] == newest and row["metric_value"] is not None}
    reasons = []
    if asked.max_psi is not None:
        reasons += _drift_reasons(inputs["drift"], newest, release["features"], seen.get("margin_psi"), asked.max_psi)
    if asked.max_auc_loss is not None:
        reasons += _auc_loss_reasons((release["metrics"] or {}).get("auc"), seen.get("auc"), asked.max_auc_loss)
    return f"model version {version} on {newest}: {'; '.join(reasons)}" if reasons else None


def _drift_reasons(drift: DataFrame, day: date, features: list[str], margin_psi: float | None, limit: float) -> list[str]:
    rows: list[Any] = drift.where((F.col("day") == F.lit(day)) & F.col("feature").isin(*features)).collect()
    found = {row["feature"]: row["psi"] for row in rows if row["psi"] is not None and row["psi"] > limit}
    if margin_psi is not None and margin_psi > limit:
        found["the margin"] = margin_psi
    if not found:
        return []
    worst = max(sorted(found), key=lambda name: found[name])
    others = f" and of {len(found) - 1} more" if len(found) > 1 else ""
    return [f"psi of {worst} {found[worst]:.2f}{others} above {limit}"]


def _auc_loss_reasons(promised: float | None, seen: float | None, limit: float) -> list[str]:
    if promised is None or seen is None or promised - seen <= limit:
        return []
    return [f"auc {seen:.3f} after {promised:.3f} on its test span, a loss of more than {limit}"]
