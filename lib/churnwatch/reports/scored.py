"""Scores of a day against what then happened: a bounded histogram made in Spark, metrics from its bins."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core.intervals import DIGITS
from churnwatch.model.metrics import at_capacity
from churnwatch.model.origins import capacity_of
from churnwatch.model.profit import expected_maximum_profit
from churnwatch.reports.drift import Drift
from churnwatch.settings import Settings
from churnwatch.tables import tables

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
    acted: tuple[float, ...] = ()
    acted_churned: tuple[float, ...] = ()


def acting_tiers(settings: Settings) -> list[tuple[str, list[str]]]:
    """Tiers that people act on, riskiest first, each with the names of all tiers from the riskiest down to it."""
    names = [tier.name for tier in settings.tiers.tiers]
    return [(tier.name, names[: n + 1]) for n, tier in enumerate(settings.tiers.tiers) if tier.level is not None]


def bins_of(scores: DataFrame, known: DataFrame, settings: Settings) -> list[Bin]:
    """At most 1,000 bins of ``percentile`` a model version: the sums that the metrics need.

    Bins of rank, not of probability: where churn is rare nearly all probabilities lie in a few bins of equal width.
    ``acted``: weight of the users in each acting tier and those above it.
    """
    found = _per_bin(scores, known, acting_tiers(settings)).collect()
    return [Bin(**{**row.asDict(), **{name: tuple(row[name]) for name in ("acted", "acted_churned")}}) for row in found]


def _per_bin(scores: DataFrame, known: DataFrame, acting: Sequence[tuple[str, Sequence[str]]]) -> DataFrame:
    p = F.greatest(F.lit(SMALLEST), F.least(F.lit(1 - SMALLEST), F.col("probability")))
    y, w = F.col("churned"), F.col("weight")
    loss = F.when(y == 1, -F.log(p)).otherwise(-F.log(1 - p))
    place = F.least(F.lit(BINS - 1), F.floor(F.col("percentile") * BINS)).cast("int")
    held = [F.col("tier").isin(*names).cast("int") for _, names in acting]
    nothing = F.array().cast("array<double>")
    return (
        scores.select("user_id", "model_version", "probability", "percentile", "tier")
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
            (F.array(*[F.sum(w * one) for one in held]) if held else nothing).alias("acted"),
            (F.array(*[F.sum(w * y * one) for one in held]) if held else nothing).alias("acted_churned"),
        )
    )


def metrics(bins: Sequence[Bin], tiers: Sequence[str] = ()) -> dict[str, float | None]:
    """auc, average_precision and its lift, brier, log_loss, calibration_error, base_rate, top_decile_lift of one version's
    bins, and precision, recall and lift down to each of the acting ``tiers``; None where undefined.

    AUC counts a pair in the same bin as half (Hanley and McNeil, Radiology 143 (1982)); average precision is the sum of
    precision x gain in recall from the top (no interpolation); calibration_error is the weighted mean of
    |observed - predicted| over ten groups of equal rank (Naeini et al., AAAI 2015). Brier and log loss are exact.
    """
    falling = sorted(bins, key=lambda b: -b.bin)
    total = sum(b.weight for b in falling)
    churned = sum(b.weight_churned for b in falling)
    precision = _average_precision(falling, churned)
    found = {
        "auc": _auc(falling, churned, total - churned),
        "average_precision": precision,
        "average_precision_lift": _over(precision, _over(churned, total)),
        "brier": _over(sum(b.squares for b in falling), total),
        "log_loss": _over(sum(b.log_loss for b in falling), total),
        "calibration_error": _calibration_error(falling, total),
        "base_rate": _over(churned, total),
        "top_decile_lift": _over(_top_rate(falling, total / 10), _over(churned, total)),
    }
    for n, tier in enumerate(tiers):
        taken, hits = (sum(getattr(b, name)[n] for b in falling) for name in ("acted", "acted_churned"))
        found[f"precision_{tier}"] = _over(hits, taken)
        found[f"recall_{tier}"] = _over(hits, churned)
        found[f"lift_{tier}"] = _over(_over(hits, taken), _over(churned, total))
    return found


def _over(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _top_rate(falling: Sequence[Bin], room: float) -> float | None:
    """Churn rate of the ``room`` riskiest; the bin at the edge counts by its share."""
    hits = taken = 0.0
    for b in falling:
        share = min(1.0, (room - taken) / b.weight) if b.weight else 0.0
        hits, taken = hits + share * b.weight_churned, taken + share * b.weight
        if taken >= room:
            break
    return _over(hits, taken)


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


def _calibration_error(bins: Sequence[Bin], total: float) -> float | None:
    gaps = [0.0] * GROUPS
    for b in bins:
        gaps[b.bin * GROUPS // BINS] += b.weight_churned - b.predicted
    return _over(math.fsum(abs(gap) for gap in gaps), total)


def worth(bins: Sequence[Bin], settings: Settings) -> dict[str, float | None]:
    """What one version's ranking of the day was worth, by the formulas of the test span: precision, recall and lift among the
    riskiest users whom the team can work in a day (``capacity_share`` of them), and the expected maximum profit; None where
    one class is alone."""
    rising = sorted(bins, key=lambda b: b.bin)
    weight, churned = np.array([[b.weight for b in rising]]), np.array([[b.weight_churned for b in rising]])
    others = np.maximum(weight - churned, 0.0)  # sums of weights leave a residue of 1e-16
    capacity = capacity_of(float(weight.sum()), 1, settings)
    at_work = {f"{name}_at_capacity": values for name, values in at_capacity(churned, others, capacity).items()}
    known = 0 < sum(b.churned for b in rising) < sum(b.users for b in rising)
    found = {**at_work, **expected_maximum_profit(churned, others, settings.model.profit)}
    return {"capacity_share": capacity, **{name: float(values[0]) if known else None for name, values in found.items()}}


def by_version(bins: Sequence[Bin]) -> defaultdict[str, list[Bin]]:
    """The bins of each model version."""
    found: defaultdict[str, list[Bin]] = defaultdict(list)
    for one in bins:
        found[one.model_version].append(one)
    return found


def quality_rows(scores: DataFrame, bins: Sequence[Bin], drift: Drift | None, day: date, settings: Settings) -> DataFrame:
    """The rows of model_quality: the metrics of each version on what it scored on ``day``, its drift and its skew."""
    tiers = [name for name, _ in acting_tiers(settings)]
    rows = []
    for version, its in sorted(by_version(bins).items()):
        users, churned = sum(b.users for b in its), sum(b.churned for b in its)
        found = {**metrics(its, tiers), **worth(its, settings)}
        if drift and drift.model_version == version:
            found |= {"margin_psi": drift.margin_psi, "skew_share": drift.skew_share}
        note = _one_class(users, churned)
        rows += [(day, version, name, users, churned, _rounded(value), note) for name, value in found.items()]
    return scores.sparkSession.createDataFrame(rows, tables(settings).model_quality.schema)


def _one_class(users: int, churned: int) -> str | None:
    if 0 < churned < users:
        return None
    return (
        f"one class alone: {churned:,} of {users:,} users churned, so that a ranking has no quality; look at the churn "
        "definition and at the labels of this day"
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
