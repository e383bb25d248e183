"""Measure the lift of campaigns and experiments: intention to treat, one read-out, q for many looks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core.job import Frames
from churnwatch.core.small_frames import collect_together
from churnwatch.retention import comparison
from churnwatch.retention.arms import planned_shares
from churnwatch.retention.comparison import Comparison, Sums
from churnwatch.retention.leaks import held_out_reached
from churnwatch.retention.lift_outcomes import (
    BY_DAY,
    SEGMENTS,
    add_cells,
    per_assignment,
    per_cell,
    per_outcome,
    per_unit,
    with_outcomes,
)
from churnwatch.settings import Campaign, Settings
from churnwatch.settings.names import summed_measures
from churnwatch.settings.terms import ALL, CONTROL, OFFER
from churnwatch.tables import tables

STRATA = ("stratum",)
Arms = Mapping[str, Mapping[str, Any]]  # arm -> its counts and sums
SegmentSums = Mapping[tuple[str, str, str, str], Arms]  # by campaign, outcome, segment and value


@dataclass(frozen=True)
class Reading:
    """One outcome of a campaign or experiment: the sums of its arms by (segment, value), and how to compare them."""

    campaign: str
    outcome: str
    arms: Mapping[tuple[str, str], Arms]
    control: str
    treated: tuple[str, ...]
    shares: Mapping[str, float]
    is_rate: bool
    in_cents: bool
    interim: bool
    has_cost: bool
    held_out_reached: int | None = None


def measure_lift(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> Frames:
    """Return one row per day of reading, campaign or experiment, treated arm, outcome, segment and value.

    Intention to treat: each assigned user of a campaign counts once, in the arm of the first assignment. A campaign with
    ``until_day`` has its read-out when the outcome of that day's assignments is known. Rows before are interim and have no p,
    as are all rows of a campaign without an end, which reads the last ``campaign_max_days``. After the read-out the same rows
    come again as long as the days that are read hold all of the campaign's. The arm global_control counts in the sample ratio
    alone. Collects sums by campaign, outcome, arm, day and segments.
    """
    (day,) = days
    contract = tables(settings).retention_lift
    campaigns = {campaign.name: campaign for campaign in settings.offers.campaigns if _in_view(campaign, day, settings)}
    frames = {}
    if campaigns and settings.offers.outcomes:
        assigned = _assigned(inputs, list(campaigns), day, settings)
        frames["campaigns"] = _campaign_cells(assigned, inputs, day, settings)
        frames["reached"] = held_out_reached(assigned, inputs["notifications"], inputs["deliveries"])
    if settings.experiments:
        frames["experiments"] = _experiment_cells(inputs["units"], settings)
    cells = {name: table.to_pylist() for name, table in collect_together(frames).items()} if frames else {}
    reached = {row["campaign"]: row["reached"] for row in cells.get("reached", ())}
    readings = [
        *_campaign_readings(add_cells(cells.get("campaigns", ()), SEGMENTS), campaigns, reached, day, settings),
        *_experiment_readings(add_cells(cells.get("experiments", ()), STRATA), settings),
    ]
    limit = settings.offers.sample_ratio_alarm_p
    rows = [row for reading in readings for row in _rows(reading, limit)]
    values = [tuple({"day": day, **row}[name] for name in contract.schema.names) for row in rows]
    return {contract.name: inputs["actions"].sparkSession.createDataFrame(values, contract.schema)}


def _assigned(inputs: Mapping[str, DataFrame], campaigns: Sequence[str], day: date, settings: Settings) -> DataFrame:
    first = day - timedelta(days=settings.offers.campaign_max_days)
    return (
        inputs["actions"]
        .where(F.col("campaign").isin(list(campaigns)) & (F.col("day") >= F.lit(first)))
        .transform(per_assignment)
        # a user whose first assignment is older is left out, because a second one depends on the effect of the first
        .join(inputs["assignments"].where(F.col("day") < F.lit(first)), ["campaign", "user_id"], "left_anti")
    )


def _campaign_cells(assigned: DataFrame, inputs: Mapping[str, DataFrame], day: date, settings: Settings) -> DataFrame:
    return (
        assigned.transform(with_outcomes, inputs["labels"], inputs["activity"], day, settings)
        .transform(per_outcome, list(settings.offers.outcomes))
        .transform(per_cell, SEGMENTS)
    )


def _campaign_readings(
    sums: SegmentSums, campaigns: Mapping[str, Campaign], reached: Mapping[str, int], day: date, settings: Settings
) -> Iterator[Reading]:
    offers = settings.offers
    for (name, outcome), arms in _by_outcome(sums).items():
        until = campaigns[name].until_day
        known = until and until + timedelta(days=settings.outcome_lag_days(offers.outcomes[outcome]))
        measure = offers.outcomes[outcome].measure
        yield Reading(
            campaign=name,
            outcome=outcome,
            arms=arms,
            control=CONTROL,
            treated=(OFFER,),
            shares=planned_shares(campaigns[name], offers),
            is_rate=measure is None,
            in_cents=measure in _measures_in_cents(settings),
            interim=known is None or day < known,
            has_cost=True,
            held_out_reached=reached.get(name, 0),
        )


def _in_view(campaign: Campaign, day: date, settings: Settings) -> bool:
    """Return whether the days that are read hold every assignment of the campaign; always true for one without an end."""
    if campaign.from_day is None or campaign.until_day is None:
        return True
    return campaign.from_day >= day - timedelta(days=settings.offers.campaign_max_days)


def _measures_in_cents(settings: Settings) -> set[str]:
    return {name for name in summed_measures(settings) if name.endswith("_cents")}


def _experiment_cells(units: DataFrame, settings: Settings) -> DataFrame:
    experiments = settings.experiments
    clustered = [name for name, one in experiments.items() if "cluster" in one.source.map]
    units = units.where(F.col("experiment").isin(list(experiments)))
    return units.transform(per_unit, clustered).transform(per_cell, STRATA)


def _experiment_readings(sums: SegmentSums, settings: Settings) -> Iterator[Reading]:
    for (name, outcome), arms in _by_outcome(sums).items():
        experiment = settings.experiments[name]
        yield Reading(
            campaign=name,
            outcome=outcome,
            arms=arms,
            control=experiment.control,
            treated=tuple(arm for arm in experiment.shares if arm != experiment.control),
            shares=experiment.shares,
            is_rate=not any(arm["beyond_rate"] for arm in arms[ALL, ALL].values()),
            in_cents=outcome.endswith("_cents"),
            interim=False,
            has_cost=False,
        )


def _by_outcome(sums: SegmentSums) -> dict[tuple[str, str], dict[tuple[str, str], Arms]]:
    """Return (campaign, outcome) -> (segment, value) -> arms, sorted."""
    found: dict[tuple[str, str], dict[tuple[str, str], Arms]] = {}
    for (campaign, outcome, segment, value), arms in sorted(sums.items()):
        found.setdefault((campaign, outcome), {})[segment, value] = dict(sorted(arms.items()))
    return found


def _rows(reading: Reading, alarm_p: float) -> Iterator[dict[str, Any]]:
    """Return the reading's rows without ``day``; ``alarm_p``: limit of p in the sample-ratio checks of the whole campaign."""
    days = [arms for (segment, _), arms in reading.arms.items() if segment == BY_DAY]
    large = [arms for arms in days if comparison.enough_for_ratio(sum(arm["assigned"] for arm in arms.values()), reading.shares)]
    by_day = [_ratio_p(reading, arms, "assigned") for arms in large]
    day_p = comparison.smallest_of_many(by_day)
    whole = reading.arms[ALL, ALL]
    checks = (_ratio_p(reading, whole, "assigned"), _ratio_p(reading, whole, "n"), day_p)
    alarm = any(p is not None and p < alarm_p for p in checks)
    for treated in reading.treated:
        rows = [
            _row(reading, treated, segment, value, arms) | {"srm_day_p": day_p, "srm_alarm": alarm}
            for (segment, value), arms in reading.arms.items()
            if segment != BY_DAY
        ]
        yield from _with_q(rows)


def _with_q(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Add q: p corrected over the rows of segments (Benjamini-Hochberg). The overall row is the planned test, so its q is p."""
    planned = [row for row in rows if row["segment"] == ALL]
    looks = [row for row in rows if row["segment"] != ALL]
    yield from (row | {"q": row["p"]} for row in planned)
    for row, q in zip(looks, comparison.corrected([row["p"] for row in looks]), strict=True):
        yield row | {"q": q}


def _row(reading: Reading, treated: str, segment: str, value: str, arms: Arms) -> dict[str, Any]:
    treated_arm = arms.get(treated, {})
    sums, control = _sums(treated_arm), _sums(arms.get(reading.control, {}))
    found = comparison.of_rates(sums, control) if reading.is_rate else comparison.of_means(sums, control)
    return {
        "campaign": reading.campaign,
        "arm": treated,
        "outcome": reading.outcome,
        "segment": segment,
        "value": value,
        "treated": sums.n,
        "control": control.n,
        "treated_mean": found.treated_mean,
        "control_mean": found.control_mean,
        "difference": found.difference,
        "relative_lift": found.relative_lift,
        "low": found.low,
        "high": found.high,
        "p": None if reading.interim else found.p,
        "srm_p": _ratio_p(reading, arms, "assigned"),
        "srm_outcome_p": _ratio_p(reading, arms, "n"),
        "cuped_variance_saved": found.variance_saved,
        "min_detectable": found.min_detectable,
        "incremental_users": _scaled(found, sums.n) if reading.is_rate else None,
        "incremental_cents": _incremental_cents(reading, found, sums.n, treated_arm.get("value_cents")),
        "cost_cents": (treated_arm.get("cost_cents") or 0) if reading.has_cost else None,
        "interim": reading.interim,
        "randomised": True,
        "held_out_reached": reading.held_out_reached if segment == ALL else None,
    }


def _sums(arm: Mapping[str, Any]) -> Sums:
    names = ("n", "y", "yy", "with_x", "x", "xx", "xy")
    return Sums(**{name: arm.get(name) or 0 for name in names})


def _ratio_p(reading: Reading, arms: Arms, count: str) -> float | None:
    return comparison.sample_ratio_p({arm: row[count] for arm, row in arms.items()}, reading.shares)


def _scaled(found: Comparison, factor: float | None) -> float | None:
    return None if found.difference is None or factor is None else found.difference * factor


def _incremental_cents(reading: Reading, found: Comparison, treated: int, value_cents: int | None) -> int | None:
    if not reading.is_rate and not reading.in_cents:
        return None
    gained = _scaled(found, value_cents if reading.is_rate else treated)
    return None if gained is None else round(gained)
