"""Rows of thresholds: advice on the probability from which a level warns, and the cuts of tiers that go by it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.reports.alert_quality import RULE
from churnwatch.reports.score_quality import BINS, Bin
from churnwatch.reports.threshold_advice import advise_threshold, expected_rate, objection_to_move
from churnwatch.scoring.in_force import with_cut
from churnwatch.settings import Settings, Tier
from churnwatch.settings.terms import MODEL
from churnwatch.tables import tables

Warned = Mapping[date, tuple[int, int]]  # matured warnings of the model at a level by day, and hits among them


@dataclass(frozen=True)
class LevelHistory:
    """What earlier rows of a level tell: how often 'up' and 'down' was advised in the last weeks, its cut by day."""

    moves: Mapping[str, int]
    cuts: Mapping[date, float]

    def cut(self, tier: Tier, day: date) -> float:
        """The tier's cut by the newest row up to ``day``, within the bounds of today; as configured without one."""
        days = [d for d in self.cuts if d <= day]
        moved = with_cut(tier, self.cuts[max(days)] if days else None).cut
        return 0.0 if moved is None else moved

    def at_cut(self, warned: Warned, tier: Tier, cut: float, lag: int) -> tuple[int, int]:
        """Matured warnings and hits of the days on which the tier's cut was ``cut``: it counts from a row's day + ``lag`` on."""
        days = [d for d in warned if self.cut(tier, d - timedelta(days=lag)) == cut]
        return sum(warned[d][0] for d in days), sum(warned[d][1] for d in days)


def threshold_rows(
    inputs: Mapping[str, DataFrame], bins: Mapping[str, Sequence[Bin]], day: date, settings: Settings
) -> DataFrame:
    """One row a level that a tier has: the lowest probability of the tier's users on O, the advised one, and why.

    Of a tier with ``adjust`` the cut follows the advice: by one step at most, within its bounds, and only when the scores of
    O were made with the cut that is in force by now, so that a move is judged before the next. The level's own warnings of
    the days with this cut, as far as they have matured (``inputs["quality"]``), must not speak against the move.
    """
    levels = {tier.name: tier.level for tier in settings.tiers.tiers if tier.level}
    lowest = (
        inputs["scores"]
        .where(F.col("tier").isin(*levels))
        .groupBy("tier")
        .agg(F.min("probability").alias("old"), F.max("model_version").alias("version"))
    )
    # bounded by tiers
    by_tier = {row["tier"]: row for row in lowest.collect()}
    past = _past(inputs["thresholds"], day)
    rows = []
    for level in sorted(set(levels.values())):
        tiers = [tier for tier in settings.tiers.tiers if tier.level == level and tier.name in by_tier]
        if not tiers:
            continue
        old, version = min((by_tier[tier.name]["old"], by_tier[tier.name]["version"]) for tier in tiers)
        new, reason = advise_threshold(old, bins[version], settings.privacy.min_group_size, past[level].moves)
        # read where a cut would move alone
        warned = partial(_matured_warnings, inputs.get("quality"), level, day)
        name, before, cut, more = _cut(tiers[0], old, new, day, bins[version], past[level], warned, settings)
        rows.append((day, level, old, new, reason + more, name, before, cut))
    return lowest.sparkSession.createDataFrame(rows, tables(settings).thresholds.schema)


def _cut(
    tier: Tier,
    old: float,
    new: float,
    day: date,
    bins: Sequence[Bin],
    past: LevelHistory,
    warned: Callable[[], Warned],
    settings: Settings,
) -> tuple[str | None, float | None, float | None, str]:
    """Tier, cut before and cut of a row, and what is to be said of it; nulls where the tier is not adjusted."""
    if tier.adjust is None:
        return None, None, None, ""
    now = past.cut(tier, day - timedelta(days=1))
    lag, least = settings.label_lag_days(settings.churn.primary), settings.privacy.min_group_size
    then = past.cut(tier, day - timedelta(days=lag))
    if now != then:
        return tier.name, now, now, f"; the cut {now:.4g} waits until days scored with it have matured"
    if new == old:
        return tier.name, now, now, ""
    hits = past.at_cut(warned(), tier, now, lag)
    if doubt := objection_to_move(expected_rate(old, bins) or 0.0, *hits, falls=new > old, smallest_group=least):
        return tier.name, now, now, f"; the cut {now:.4g} stays: {doubt}"
    unit, wanted = ("min_probability", new) if tier.top_share is None else ("top_share", share_at_or_above(new, bins))
    cut = tier.adjust.bounded(now, wanted)
    return tier.name, now, cut, f"; {unit} {now:.4g} -> {cut:.4g}" if cut != now else f"; {unit} {now:.4g} is at its bound"


def share_at_or_above(probability: float, bins: Sequence[Bin]) -> float:
    """Share of the day's users with so high a probability, to 1/1000: bins are of equal rank."""
    lowest = min((b.bin for b in bins if b.lowest >= probability), default=BINS)
    return 1 - lowest / BINS


def _past(thresholds: DataFrame, day: date) -> defaultdict[str, LevelHistory]:
    """Earlier rows by level: bounded by levels and the days that are read."""
    direction = F.when(F.col("new") > F.col("old"), "up").when(F.col("new") < F.col("old"), "down")
    found: defaultdict[str, LevelHistory] = defaultdict(lambda: LevelHistory({}, {}))
    moves: defaultdict[str, Counter[str]] = defaultdict(Counter)
    cuts: defaultdict[str, dict[date, float]] = defaultdict(dict)
    for row in thresholds.where(F.col("day") < day).select("day", "level", "cut", direction.alias("direction")).collect():
        if row["direction"]:
            moves[row["level"]][row["direction"]] += 1
        if row["cut"] is not None:
            cuts[row["level"]][row["day"]] = row["cut"]
    for level in {*moves, *cuts}:
        found[level] = LevelHistory(moves[level], cuts[level])
    return found


def _matured_warnings(quality: DataFrame | None, level: str, day: date) -> Warned:
    """Of the days before, as many as are read; ``quality``: rows of alert_quality, None where no tier is adjusted."""
    if quality is None:
        return {}
    looks = F.coalesce("by", F.lit(RULE)) == RULE  # rows of before there were looks are of rules
    rows = quality.where(looks & (F.col("day") < day) & (F.col("rule_id") == MODEL) & (F.col("level") == level))
    return {row["day"]: (row["matured"], row["churned"]) for row in rows.select("day", "matured", "churned").collect()}
