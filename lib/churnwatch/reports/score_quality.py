"""Quality of scores: a bounded histogram of the scored users and their outcomes, made in Spark, and metrics of its bins."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.core.intervals import DIGITS
from churnwatch.model import metrics as m
from churnwatch.model.origins import capacity_share
from churnwatch.model.profit import expected_maximum_profit
from churnwatch.reports.drift import Drift
from churnwatch.settings import Settings
from churnwatch.settings.terms import ALL, TENURE

BINS = 1000
GROUPS = 10
TENTH = "tenth"  # ``by`` of rows by tenth of risk; other values are ALL, TENURE and the names of segments
TENURE_BANDS = ((7, "under 7 days"), (30, "7 to 29 days"), (90, "30 to 89 days"))  # upper ends, not included
LONGER = "90 days and more"
VALUES = 12  # of a segment: those with the most users
# metrics of the riskiest users; null where no untreated users represent those on whose warnings somebody acted
OF_THE_TOP = ("precision_", "recall_", "lift_", "top_decile_lift")
SMALLEST = 1e-15  # log loss is infinite for a wrong probability of exactly 0 or 1


@dataclass(frozen=True)
class Bin:
    """Sums over untreated, labelled users of one model version whose percentile lies in the same 1/1000.

    Where ``by`` is TENURE, a bin holds the users of one band of days since registration. Where ``by`` is a segment, it holds
    the users of its ``value`` in the same tenth, and ``bin`` is the tenth's first 1/1000.
    ``lowest``: lowest probability, of treated users too. ``acted`` and ``acted_churned``: weights of the users in each acting
    tier and the tiers above it. ``lacking``: why no untreated users represent some treated users of the bin, else null.
    """

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
    weight_squares: float
    lacking: str | None = None
    acted: tuple[float, ...] = ()
    acted_churned: tuple[float, ...] = ()
    by: str = ALL
    value: str = ALL


def acting_tiers(settings: Settings) -> list[tuple[str, list[str]]]:
    """Tiers that people act on, riskiest first, each with the names of all tiers from the riskiest down to it."""
    names = [tier.name for tier in settings.tiers.tiers]
    return [(tier.name, names[: n + 1]) for n, tier in enumerate(settings.tiers.tiers) if tier.level is not None]


def score_bins(scores: DataFrame, known: DataFrame, features: DataFrame, settings: Settings) -> list[Bin]:
    """Collect at most 1,000 bins of ``percentile`` per model version and band of tenure, and ten per value of a segment, in one
    pass.

    A bin whose users were all treated has no users.

    Tenure and segments are columns of ``features``; a null value forms no group. Bins are of rank and not of probability, because
    where churn is rare nearly all probabilities lie in a few bins of equal width.
    """
    judged = scores.select("user_id", "model_version", "probability", "percentile", "tier").join(known, "user_id")
    segments = settings.measures.segments
    # features of the day: one row a user
    columns = features.select("user_id", "tenure_days", *(f"segment_{name}" for name in segments))
    judged = judged.join(columns, "user_id", "left")
    found = _per_bin(judged, segments, acting_tiers(settings)).collect()
    return [Bin(**{**row.asDict(), **{name: tuple(row[name]) for name in ("acted", "acted_churned")}}) for row in found]


def _per_bin(judged: DataFrame, segments: Sequence[str], acting: Sequence[tuple[str, Sequence[str]]]) -> DataFrame:
    p = F.greatest(F.lit(SMALLEST), F.least(F.lit(1 - SMALLEST), F.col("probability")))
    counts = F.when(F.col("treated"), 0).otherwise(1)
    y, w = F.col("churned"), counts * F.col("weight")
    loss = F.when(y == 1, -F.log(p)).otherwise(-F.log(1 - p))
    place = F.least(F.lit(BINS - 1), F.floor(F.col("percentile") * BINS)).cast("int")
    held = [F.col("tier").isin(*names).cast("int") for _, names in acting]
    nothing = F.array().cast("array<double>")
    tenth = place - F.pmod(place, F.lit(BINS // GROUPS))
    looks = [_look(F.lit(ALL), F.lit(ALL), place), _look(F.lit(TENURE), _tenure_band(), place)]
    looks += [*(_look(F.lit(one), F.col(f"segment_{one}"), tenth) for one in segments)]
    return (
        judged.withColumn("look", F.explode(F.array(*looks)))
        .where("look.value IS NOT NULL")
        .groupBy("model_version", F.col("look.by"), F.col("look.value"), F.col("look.bin"))
        .agg(
            F.sum(counts).alias("users"),
            F.sum(counts * y).alias("churned"),
            F.sum(w).alias("weight"),
            F.sum(w * y).alias("weight_churned"),
            F.min("probability").alias("lowest"),
            F.sum(counts * F.col("probability")).alias("probability"),
            F.sum(w * F.col("probability")).alias("predicted"),
            F.sum(w * (F.col("probability") - y) * (F.col("probability") - y)).alias("squares"),
            F.sum(w * loss).alias("log_loss"),
            F.sum(w * w).alias("weight_squares"),
            F.max("lacking").alias("lacking"),
            (F.array(*[F.sum(w * one) for one in held]) if held else nothing).alias("acted"),
            (F.array(*[F.sum(w * y * one) for one in held]) if held else nothing).alias("acted_churned"),
        )
    )


def _tenure_band() -> Column:
    """The band of ``tenure_days``; null where it is not known."""
    tenure = F.col("tenure_days")
    band = F.when(tenure.isNull(), F.lit(None))
    for end, text in TENURE_BANDS:
        band = band.when(tenure < end, text)
    return band.otherwise(LONGER)


def _look(by: Column, value: Column, place: Column) -> Column:
    return F.struct(by.alias("by"), value.cast("string").alias("value"), place.alias("bin"))


def metrics(bins: Sequence[Bin], tiers: Sequence[str] = ()) -> dict[str, float | None]:
    """Metrics of one model version from its bins; None where undefined.

    auc, average_precision and its lift, ``calibration_metrics``, top_decile_lift; precision, recall and lift of the users in
    each of the acting ``tiers`` and the tiers above it.

    AUC counts a pair in the same bin as half (Hanley and McNeil, Radiology 143 (1982)); average precision is the sum of
    precision x gain in recall from the top (no interpolation).
    """
    churned, others = _by_class(bins)
    total, hits_of_all = float((churned + others).sum()), float(churned.sum())
    precision = m.average_precision(churned, others)
    known = hits_of_all > 0
    found = {
        "auc": _first(m.auc(churned, others), known and others.sum() > 0),
        "average_precision": _first(precision, known),
        "average_precision_lift": _first(m.ratio(precision, m.base_rate(churned, others)), known),
        **calibration_metrics(bins),
        "top_decile_lift": _first(m.top_decile_lift(churned, others), known),
    }
    for n, tier in enumerate(tiers):
        taken, hits = (sum(getattr(b, name)[n] for b in bins) for name in ("acted", "acted_churned"))
        found[f"precision_{tier}"] = _ratio(hits, taken)
        found[f"recall_{tier}"] = _ratio(hits, hits_of_all)
        found[f"lift_{tier}"] = _ratio(_ratio(hits, taken), _ratio(hits_of_all, total))
    return found


def _by_class(bins: Sequence[Bin]) -> tuple[m.Floats, m.Floats]:
    """Weights of the churned and of the other users by bin, lowest risk first, as ``model.metrics`` takes them."""
    rising = sorted(bins, key=lambda b: b.bin)
    weight, churned = np.array([[b.weight for b in rising]]), np.array([[b.weight_churned for b in rising]])
    return churned, np.maximum(weight - churned, 0.0)  # sums of weights leave a residue of 1e-16


def _first(values: m.Floats, known: bool) -> float | None:
    return float(values[0]) if known else None


def calibration_metrics(bins: Sequence[Bin]) -> dict[str, float | None]:
    """Metrics of probabilities: brier, log_loss, calibration_error, base_rate (observed) and predicted (mean probability).

    calibration_error is the weighted mean of |observed - predicted| over tenths of the day's users by risk
    (Naeini et al., AAAI 2015).
    """
    total = sum(b.weight for b in bins)
    return {
        "brier": _ratio(sum(b.squares for b in bins), total),
        "log_loss": _ratio(sum(b.log_loss for b in bins), total),
        "calibration_error": _calibration_error(bins, total),
        "base_rate": _ratio(sum(b.weight_churned for b in bins), total),
        "predicted": _ratio(sum(b.predicted for b in bins), total),
    }


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _calibration_error(bins: Sequence[Bin], total: float) -> float | None:
    if not total:
        return None
    tenth = [b.bin * GROUPS // BINS for b in bins]
    columns = np.array([[b.weight_churned, b.weight, b.predicted] for b in bins]).T
    churned, weight, predicted = (np.bincount(tenth, column).astype(np.float64)[None, :] for column in columns)
    return float(m.calibration_error(churned, weight, predicted)[0])


def profit_metrics(bins: Sequence[Bin], settings: Settings) -> dict[str, float | None]:
    """Value of one version's ranking, by the formulas of the test span; None where all users churned or none did.

    Precision, recall and lift among the riskiest users whom the team can work in a day (``capacity_share`` of all), and the
    expected maximum profit.
    """
    churned, others = _by_class(bins)
    capacity = capacity_share(float(sum(b.weight for b in bins)), 1, settings)
    at_work = {f"{name}_at_capacity": values for name, values in m.at_capacity(churned, others, capacity).items()}
    known = 0 < sum(b.churned for b in bins) < sum(b.users for b in bins)
    found = {**at_work, **expected_maximum_profit(churned, others, settings.model.profit)}
    return {"capacity_share": capacity, **{name: _first(values, known) for name, values in found.items()}}


def bins_by_version(bins: Sequence[Bin]) -> defaultdict[str, list[Bin]]:
    """The bins of each model version, of all users."""
    found: defaultdict[str, list[Bin]] = defaultdict(list)
    for one in bins:
        if one.by == ALL:
            found[one.model_version].append(one)
    return found


def quality_rows(bins: Sequence[Bin], drift: Drift | None, day: date, settings: Settings) -> list[tuple[Any, ...]]:
    """The rows of model_quality: metrics of each version over all users, with its drift and skew; rates by tenth of risk;
    ``calibration_metrics`` by segment and, with AUC, by band of tenure."""
    tiers = [name for name, _ in acting_tiers(settings)]
    rows: list[tuple[Any, ...]] = []
    lacking = {
        version: max((b.lacking for b in its if b.lacking), default=None) for version, its in bins_by_version(bins).items()
    }
    bins = [b for b in bins if b.users]
    for version, its in sorted(bins_by_version(bins).items()):
        users, churned = _user_counts(its)
        found = {**metrics(its, tiers), **profit_metrics(its, settings)}
        if lacking[version]:
            found |= {name: None for name in found if name.startswith(OF_THE_TOP)}
        if drift and drift.model_version == version:
            found |= {"margin_psi": drift.margin_psi, "skew_share": drift.skew_share}
        note = lacking[version] or _one_class(users, churned)
        rows += [(day, version, name, users, churned, _rounded(value), note, ALL, ALL) for name, value in found.items()]
        for by, value, part, names in (*_tenths(its), *_groups_of_users(version, bins, settings)):
            measured = metrics(part) if "auc" in names else calibration_metrics(part)
            counts = _user_counts(part)
            for name in names:
                note = _one_class(*counts) if measured[name] is None else None
                rows.append((day, version, name, *counts, _rounded(measured[name]), note, by, value))
    return rows


CALIBRATION = ("base_rate", "predicted", "brier", "log_loss", "calibration_error")
Part = tuple[str, str, list[Bin], tuple[str, ...]]  # by, value, bins, names of the metrics that are written


def _tenths(bins: Sequence[Bin]) -> Iterator[Part]:
    """Tenths of the day's users by risk, 1 is the lowest: the groups of calibration_error."""
    groups: defaultdict[int, list[Bin]] = defaultdict(list)
    for one in bins:
        groups[one.bin * GROUPS // BINS].append(one)
    yield from ((TENTH, str(n + 1), groups[n], ("base_rate", "predicted")) for n in sorted(groups))


def _groups_of_users(version: str, bins: Sequence[Bin], settings: Settings) -> Iterator[Part]:
    """The bands of tenure, and the values of each segment with the most users; none with fewer than
    ``privacy.min_group_size``."""
    for segment in (TENURE, *settings.measures.segments):
        names = (*CALIBRATION, *(["auc"] if segment == TENURE else []))
        values: defaultdict[str, list[Bin]] = defaultdict(list)
        for one in bins:
            if (one.model_version, one.by) == (version, segment):
                values[one.value].append(one)
        largest = sorted(values, key=lambda value: (-_user_counts(values[value])[0], value))[:VALUES]
        for value in largest:
            if _user_counts(values[value])[0] >= settings.privacy.min_group_size:
                yield segment, value, values[value], names


def _user_counts(bins: Sequence[Bin]) -> tuple[int, int]:
    """Users, and those of them who churned."""
    return sum(b.users for b in bins), sum(b.churned for b in bins)


def _one_class(users: int, churned: int) -> str | None:
    if 0 < churned < users:
        return None
    return (
        f"one class alone: {churned:,} of {users:,} users churned, so that a ranking has no quality; look at the churn "
        "definition and at the labels of this day"
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
