"""Rows of the table thresholds: the advised probability from which a level warns, and the cut of the tier that follows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pyspark.sql import functions as F

from churnwatch.core.intervals import DIGITS
from churnwatch.core.job import Frames
from churnwatch.reports.queries import Rows
from churnwatch.reports.score_quality import Bin
from churnwatch.reports.threshold_advice import Advice, advise_cut
from churnwatch.scoring.in_force import with_cut
from churnwatch.settings import Settings, Tier


@dataclass(frozen=True)
class CutHistory:
    """The cuts of a tier by the day of their row."""

    cuts: Mapping[date, float]

    def cut(self, tier: Tier, day: date) -> float:
        """The tier's cut by the newest row up to ``day``, within the configured bounds; as configured without a row."""
        days = [d for d in self.cuts if d <= day]
        moved = with_cut(tier, self.cuts[max(days)] if days else None).cut
        return 0.0 if moved is None else moved


def threshold_inputs(inputs: Frames, day: date, settings: Settings) -> Frames:
    """The small frames that ``threshold_rows`` needs.

    ``tiers``: users and model version by tier of the users scored on O. ``history``: earlier cuts of thresholds.
    """
    earlier = inputs["thresholds"].where((F.col("day") < day) & F.col("cut").isNotNull())
    return {
        "tiers": inputs["scores"].groupBy("tier").agg(F.count("*").alias("users"), F.max("model_version").alias("version")),
        "history": earlier.select("day", "tier", "cut"),
    }


def threshold_rows(
    found: Mapping[str, Rows], bins: Mapping[str, Sequence[Bin]], day: date, settings: Settings
) -> list[tuple[Any, ...]]:
    """One row per level of a tier with top_share or min_probability: the probability at the tier's cut on O, the advised one, the
    reason, and what the users at or above the cut turned out to be.

    ``found``: the rows of ``threshold_inputs``. The cut of a tier with ``adjust`` follows the advice by one step at most, within
    its bounds, and only when the scores of O were made with the cut that is in force now, so that a move is judged before the
    next. Of several tiers with one level the row is about the one with the lowest risk.
    """
    users, version = sum(row["users"] for row in found["tiers"]), max((row["version"] for row in found["tiers"]), default="")
    least, rows = settings.privacy.min_group_size, []
    tiers = {tier.level: tier for tier in settings.tiers.tiers if tier.level and tier.cut is not None}
    for level, tier in sorted(tiers.items()) if users and not settings.tiers.by else ():
        history = CutHistory({row["day"]: row["cut"] for row in found["history"] if row["tier"] == tier.name})
        # scores of O were made with the cut that the rows known on O gave
        then = history.cut(tier, day - timedelta(days=settings.label_lag_days(settings.churn.primary)))
        advice = advise_cut(tier, then, bins.get(version, ()), users, least)
        name, before, cut, more = _moved(tier, then, history.cut(tier, day - timedelta(days=1)), advice)
        seen = advice.evidence
        low, high = seen.interval() if seen.users else (None, None)
        told = (seen.users, *(_rounded(value) for value in (seen.effective, seen.rate, low, high, seen.predicted)))
        aimed = None if tier.aim is None else tier.aim.value
        rows.append(
            (day, level, advice.old, advice.new, advice.reason + more, name, before, cut, aimed, *told, seen.miscalibrated)
        )
    return rows


def _moved(tier: Tier, then: float, now: float, advice: Advice) -> tuple[str | None, float | None, float | None, str]:
    """Tier, cut before, cut, and what is added to the reason; nulls where the tier is not adjusted."""
    if tier.adjust is None:
        return None, None, None, ""
    if now != then:
        return tier.name, now, now, f"; the cut {now:.4g} waits until days scored with it have matured"
    if advice.wanted == now:
        return tier.name, now, now, ""
    cut, unit = tier.adjust.bounded(now, advice.wanted), "min_probability" if tier.top_share is None else "top_share"
    return tier.name, now, cut, f"; {unit} {now:.4g} -> {cut:.4g}" if cut != now else f"; {unit} {now:.4g} is at its bound"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
