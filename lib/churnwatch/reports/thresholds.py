"""Rows of the table thresholds: the advised probability from which a level warns, and the cut of the tier that follows it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pyspark.sql import functions as F

from churnwatch.core.job import Frames
from churnwatch.reports.alert_quality import RULE
from churnwatch.reports.queries import Rows
from churnwatch.reports.score_quality import BINS, Bin
from churnwatch.reports.threshold_advice import advise_threshold, expected_rate, objection_to_move
from churnwatch.scoring.in_force import with_cut
from churnwatch.settings import Settings, Tier
from churnwatch.settings.terms import MODEL

MaturedWarnings = Mapping[date, tuple[int, int]]  # the model's warnings at a level with a known outcome, and its hits, by day


@dataclass(frozen=True)
class LevelHistory:
    """Earlier rows of a level: how often 'up' and 'down' were advised, and the tier's cut by day."""

    moves: Mapping[str, int]
    cuts: Mapping[date, float]

    def cut(self, tier: Tier, day: date) -> float:
        """The tier's cut by the newest row up to ``day``, within the configured bounds; as configured without a row."""
        days = [d for d in self.cuts if d <= day]
        moved = with_cut(tier, self.cuts[max(days)] if days else None).cut
        return 0.0 if moved is None else moved

    def at_cut(self, warned: MaturedWarnings, tier: Tier, cut: float, lag: int) -> tuple[int, int]:
        """Matured warnings and hits of the days on which the tier's cut was ``cut``; a row counts from its day + ``lag`` on."""
        days = [d for d in warned if self.cut(tier, d - timedelta(days=lag)) == cut]
        return sum(warned[d][0] for d in days), sum(warned[d][1] for d in days)


def threshold_inputs(inputs: Frames, day: date, settings: Settings) -> Frames:
    """The small frames that ``threshold_rows`` needs.

    ``tiers``: lowest probability and model version by tier of the users scored on O. ``history``: earlier rows of thresholds.
    ``matured``, where a tier is adjusted: warnings of the model with a known outcome by level and day before O.
    """
    before = F.col("day") < day
    direction = F.when(F.col("new") > F.col("old"), "up").when(F.col("new") < F.col("old"), "down")
    frames = {
        "tiers": inputs["scores"].groupBy("tier").agg(F.min("probability").alias("old"), F.max("model_version").alias("version")),
        "history": inputs["thresholds"].where(before).select("day", "level", "cut", direction.alias("direction")),
    }
    if "quality" in inputs:
        of_rule = F.coalesce("by", F.lit(RULE)) == RULE  # rows written before the column existed are of rules
        matured = inputs["quality"].where(of_rule & before & (F.col("rule_id") == MODEL))
        frames["matured"] = matured.select("day", "level", "matured", "churned")
    return frames


def threshold_rows(
    found: Mapping[str, Rows], bins: Mapping[str, Sequence[Bin]], day: date, settings: Settings
) -> list[tuple[Any, ...]]:
    """One row per level that a tier has: the lowest probability of the tier's users on O, the advised one, and the reason.

    ``found``: the rows of ``threshold_inputs``. The cut of a tier with ``adjust`` follows the advice by one step at most, within
    its bounds, and only when the scores of O were made with the cut that is in force now, so that a move is judged before the
    next. It stays where the level's own matured warnings of days with this cut contradict the move.
    """
    by_tier = {row["tier"]: row for row in found["tiers"]}
    history = _histories(found["history"])
    rows = []
    for level in sorted({tier.level for tier in settings.tiers.tiers if tier.level}):
        tiers = [tier for tier in settings.tiers.tiers if tier.level == level and tier.name in by_tier]
        if not tiers:
            continue
        old, version = min((by_tier[tier.name]["old"], by_tier[tier.name]["version"]) for tier in tiers)
        new, reason = advise_threshold(old, bins[version], settings.privacy.min_group_size, history[level].moves)
        warned = {row["day"]: (row["matured"], row["churned"]) for row in found.get("matured", ()) if row["level"] == level}
        name, before, cut, more = _cut(tiers[0], old, new, day, bins[version], history[level], warned, settings)
        rows.append((day, level, old, new, reason + more, name, before, cut))
    return rows


def _cut(
    tier: Tier,
    old: float,
    new: float,
    day: date,
    bins: Sequence[Bin],
    history: LevelHistory,
    warned: MaturedWarnings,
    settings: Settings,
) -> tuple[str | None, float | None, float | None, str]:
    """Tier, cut before, cut, and what is added to the reason; nulls where the tier is not adjusted."""
    if tier.adjust is None:
        return None, None, None, ""
    now = history.cut(tier, day - timedelta(days=1))
    lag, least = settings.label_lag_days(settings.churn.primary), settings.privacy.min_group_size
    then = history.cut(tier, day - timedelta(days=lag))
    if now != then:
        return tier.name, now, now, f"; the cut {now:.4g} waits until days scored with it have matured"
    if new == old:
        return tier.name, now, now, ""
    hits = history.at_cut(warned, tier, now, lag)
    if objection := objection_to_move(expected_rate(old, bins) or 0.0, *hits, falls=new > old, smallest_group=least):
        return tier.name, now, now, f"; the cut {now:.4g} stays: {objection}"
    unit, wanted = ("min_probability", new) if tier.top_share is None else ("top_share", share_at_or_above(new, bins))
    cut = tier.adjust.bounded(now, wanted)
    return tier.name, now, cut, f"; {unit} {now:.4g} -> {cut:.4g}" if cut != now else f"; {unit} {now:.4g} is at its bound"


def share_at_or_above(probability: float, bins: Sequence[Bin]) -> float:
    """Share of the day's users with at least this probability, to 1/1000, because bins are of equal rank."""
    lowest = min((b.bin for b in bins if b.lowest >= probability), default=BINS)
    return 1 - lowest / BINS


def _histories(rows: Rows) -> defaultdict[str, LevelHistory]:
    """Earlier rows of thresholds by level."""
    found: defaultdict[str, LevelHistory] = defaultdict(lambda: LevelHistory({}, {}))
    moves: defaultdict[str, Counter[str]] = defaultdict(Counter)
    cuts: defaultdict[str, dict[date, float]] = defaultdict(dict)
    for row in rows:
        if row["direction"]:
            moves[row["level"]][row["direction"]] += 1
        if row["cut"] is not None:
            cuts[row["level"]][row["day"]] = row["cut"]
    for level in {*moves, *cuts}:
        found[level] = LevelHistory(moves[level], cuts[level])
    return found
