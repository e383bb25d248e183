"""Early training: drift or a loss of quality of the release in use is a reason to train before ``every_days`` have passed."""

from collections.abc import Mapping
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.model import last_release
from churnwatch.settings import Settings
from churnwatch.settings.model import EarlyTraining
from churnwatch.settings.terms import ALL


def training_reason(inputs: Mapping[str, DataFrame], day: date, settings: Settings) -> str | None:
    """Why a model should be trained now, by the newest judged day of the release as of ``day``; None without a reason.

    A newer release has no judged day until its labels mature, so that it is no reason. Collects the rows of one day, one per
    feature.
    """
    release, limits = last_release(inputs["model_runs"], day, settings), settings.model.due
    if release is None or limits is None:
        return None
    version = release["model_version"]
    # rows written before ``by`` existed are of all users
    of_all = F.coalesce("by", F.lit(ALL)) == ALL
    metrics = inputs["quality"].where((F.col("model_version") == version) & of_all).collect()
    newest = max((row["day"] for row in metrics), default=None)
    if newest is None:
        return None
    measured = {row["metric"]: row["metric_value"] for row in metrics if row["day"] == newest}
    features = F.col("feature").isin(*release["features"])
    drift = inputs["drift"].where((F.col("day") == F.lit(newest)) & features).collect() if limits.max_psi is not None else []
    psi = {row["feature"]: row["psi"] for row in drift} | {"the margin": measured.get("margin_psi")}
    reasons = reasons_to_train((release["metrics"] or {}).get("auc"), measured.get("auc"), psi, limits)
    return f"model version {version} on {newest}: {'; '.join(reasons)}" if reasons else None


def reasons_to_train(
    tested_auc: float | None, auc: float | None, psi: Mapping[str, float | None], limits: EarlyTraining
) -> list[str]:
    """The limits that are exceeded, each with both numbers.

    ``tested_auc``: AUC on the release's test span; ``auc``: that of the judged day. ``psi``: stability index by feature. Unknown
    numbers exceed nothing.
    """
    reasons = []
    if limits.max_psi is not None:
        above = {name: value for name, value in psi.items() if value is not None and value > limits.max_psi}
        if above:
            worst = max(sorted(above), key=lambda name: above[name])
            others = f" and of {len(above) - 1} more" if len(above) > 1 else ""
            reasons.append(f"psi of {worst} {above[worst]:.2f}{others} above {limits.max_psi}")
    if tested_auc is None or auc is None or limits.max_auc_loss is None or tested_auc - auc <= limits.max_auc_loss:
        return reasons
    return [*reasons, f"auc {auc:.3f} after {tested_auc:.3f} on its test span, a loss of more than {limits.max_auc_loss}"]
