"""Scores of a day against what then happened: a bounded histogram made in Spark, metrics from its bins."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

BINS = 1000
GROUPS = 10
SMALLEST = 1e-15  # a probability of exactly 0 or 1 that was wrong would cost infinitely much


@dataclass(frozen=True)
class Bin:
    """Untreated, labelled users of one model version whose risk lies in the same 1/1000 of the day's users."""

    model_version: str
    bin: int
    users: int
    churned: int
    weight: float
    weight_churned: float
    lowest: float
    probability: float
    predicted: float
    squares: float
    log_loss: float


def per_bin(scores: DataFrame, known: DataFrame) -> DataFrame:
    """One row per model version and bin of ``percentile`` (at most 1,000): the sums that the metrics need.

    Bins of rank, not of probability: where churn is rare nearly all probabilities lie in a few bins of equal width.
    """
    p = F.greatest(F.lit(SMALLEST), F.least(F.lit(1 - SMALLEST), F.col("probability")))
    y, w = F.col("churned"), F.col("weight")
    loss = F.when(y == 1, -F.log(p)).otherwise(-F.log(1 - p))
    place = F.least(F.lit(BINS - 1), F.floor(F.col("percentile") * BINS)).cast("int")
    return (
        scores.select("user_id", "model_version", "probability", "percentile")
        .join(known.where(~F.col("treated")), "user_id")
        .groupBy("model_version", place.alias("bin"))
        .agg(
            F.count("*").alias("users"),
            F.sum(y).alias("churned"),
            F.sum(w).alias("weight"),
            F.sum(w * y).alias("weight_churned"),
            F.min("probability").alias("lowest"),
            F.sum("probability").alias("probability"),
            F.sum(w * F.col("probability")).alias("predicted"),
            F.sum(w * (F.col("probability") - y) * (F.col("probability") - y)).alias("squares"),
            F.sum(w * loss).alias("log_loss"),
        )
    )


def metrics(bins: Sequence[Bin]) -> dict[str, float | None]:
    """auc, average_precision, brier, log_loss, calibration_error and base_rate of one version's bins; None where undefined.

    AUC counts a pair in the same bin as half (Hanley and McNeil, Radiology 143 (1982)); average precision is the sum of
    precision x gain in recall from the top (no interpolation); calibration_error is the weighted mean of
    |observed - predicted| over ten groups of equal rank (Naeini et al., AAAI 2015). Brier and log loss are exact.
    """
    ordered = sorted(bins, key=lambda b: -b.bin)
    total = sum(b.weight for b in ordered)
    churned = sum(b.weight_churned for b in ordered)
    if not total:
        return dict.fromkeys(("auc", "average_precision", "brier", "log_loss", "calibration_error", "base_rate"))
    return {
        "auc": _auc(ordered, churned, total - churned),
        "average_precision": _average_precision(ordered, churned),
        "brier": sum(b.squares for b in ordered) / total,
        "log_loss": sum(b.log_loss for b in ordered) / total,
        "calibration_error": _calibration_error(ordered, total),
        "base_rate": churned / total,
    }


def _auc(falling: Sequence[Bin], churned: float, stayed: float) -> float | None:
    if not churned or not stayed:
        return None
    pairs = above = 0.0
    for b in falling:
        stayed_here = b.weight - b.weight_churned
        pairs += stayed_here * (above + b.weight_churned / 2)
        above += b.weight_churned
    return pairs / (churned * stayed)


def _average_precision(falling: Sequence[Bin], churned: float) -> float | None:
    if not churned:
        return None
    hits = seen = total = 0.0
    for b in falling:
        hits, seen = hits + b.weight_churned, seen + b.weight
        total += b.weight_churned / churned * hits / seen
    return total


def _calibration_error(bins: Sequence[Bin], total: float) -> float:
    gaps = [0.0] * GROUPS
    for b in bins:
        gaps[b.bin * GROUPS // BINS] += b.weight_churned - b.predicted
    return math.fsum(abs(gap) for gap in gaps) / total
