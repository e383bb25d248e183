"""Compare groups and the base (all users) with what is usual: how many users came back, indicators, churn rates."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from churnwatch.activity import HISTORY_DAYS, detect_falls
from churnwatch.alerts.rules import holds
from churnwatch.core.small_frames import collect_together
from churnwatch.features import with_context
from churnwatch.scoring.rule_conditions import with_indicators
from churnwatch.settings import Settings
from churnwatch.settings.rule_columns import (
    FALL_COLUMNS,
    TREND_COLUMNS,
    base_indicators,
    market_asked,
    rules_on,
    usual_column,
    watches_falls,
)
from churnwatch.settings.terms import ALL, BASE_SCOPE

USUAL_DAYS = 28
FEWEST_USUAL_DAYS = 7  # with fewer days nothing is known of what is usual
ARROW = {"string": pa.string(), "bigint": pa.int64(), "double": pa.float64()}


def group_inputs(trend: DataFrame, rates: DataFrame, settings: Settings) -> dict[str, DataFrame]:
    """Return the small frames that ``per_group`` and ``with_base`` need, to be collected.

    ``trend``: the rows of activity_trend with a column per indicator. ``rates``: churn rates of the primary definition.
    """
    indicators = [F.col("indicators")[name].alias(name) for name in settings.measures.indicators]
    columns = ("day", "segment", "value", "active", "came_back", "share", "low", "high")
    primary = rates.where(F.col("definition") == settings.churn.primary)
    return {"trend": trend.select(*columns, *indicators), "rates": primary.select("day", "segment", "value", "rate")}


def per_group(
    spark: SparkSession, trend: pa.Table, rates: pa.Table, context: DataFrame | None, day: date, settings: Settings
) -> DataFrame:
    """Return one row per segment and value of the newest day of ``trend``, with the columns that rules may name.

    segment, value, active, came_back, share, low, high and the indicators by name; ``share_usual`` and ``<indicator>_usual``:
    median of the 28 days before that day, null with fewer than 7 of them; ``rate_primary``: newest churn rate of the primary
    definition, a share; the columns of ``activity.detect_falls``; and the market series that rules name, as of ``day``: the
    base's series for every group, a segment's series for its groups. ``trend`` and ``rates``: collected ``group_inputs``.
    """
    indicators = list(settings.measures.indicators)
    columns = TREND_COLUMNS | FALL_COLUMNS
    columns |= {column: "double" for name in indicators for column in (name, usual_column(name))}
    newest = pc.max(trend["day"]).as_py()
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    if newest is not None:
        for row in trend.filter(pc.greater_equal(trend["day"], newest - timedelta(days=USUAL_DAYS))).to_pylist():
            groups.setdefault((row["segment"], row["value"]), []).append(row)
    rate = {(row["segment"], row["value"]): row["rate"] for row in sorted(rates.to_pylist(), key=lambda row: row["day"])}
    detected = detect_falls(trend) if watches_falls(settings) else []
    falls = {(row["segment"], row["value"]): {name: row[name] for name in FALL_COLUMNS} for row in detected}
    found = []
    for group, rows in groups.items():
        now = [row for row in rows if row["day"] == newest]
        usual = {
            usual_column(name): _usual([row[name] for row in rows if row["day"] < newest]) for name in ("share", *indicators)
        }
        found += [row | usual | {"rate_primary": rate.get(group)} | falls.get(group, {}) for row in now]
    schema = pa.schema([(name, ARROW[kind]) for name, kind in columns.items()])
    local = spark.createDataFrame(pa.Table.from_pylist(found, schema))
    return _with_market(local, context, day, settings)


def _usual(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if len(known) >= FEWEST_USUAL_DAYS else None


def trend_days(settings: Settings) -> int:
    """Return the days of activity_trend that rules of groups and the base need, up to the newest."""
    return HISTORY_DAYS if watches_falls(settings) else USUAL_DAYS + 1


def _with_market(groups: DataFrame, context: DataFrame | None, day: date, settings: Settings) -> DataFrame:
    """Add the series of ``context`` that rules name; nothing, at no cost, if no rule names one."""
    asked = market_asked(settings)
    if context is None or not asked:
        return groups
    scopes = {one.scope for one in settings.measures.context.values()} - {BASE_SCOPE}
    own = {f"segment_{scope}": F.when(F.col("segment") == scope, F.col("value")) for scope in sorted(scopes)}
    named = groups.select("segment", "value").withColumns({"day": F.lit(day), **own})
    market = with_context(named, context, (day,), settings).select("segment", "value", *asked)
    return groups.join(market, ["segment", "value"], "left")  # market: one row per group


def with_base(people: DataFrame, trend: pa.Table, settings: Settings) -> DataFrame:
    """Add ``<indicator>_base``, the newest indicator of the base, for the indicators that rules of users name; same grain."""
    if not base_indicators(settings):
        return people
    rows = trend.filter(pc.equal(trend["segment"], ALL)).to_pylist()
    newest: Mapping[str, Any] = max(rows, key=lambda row: row["day"], default={})
    return with_indicators(people, newest, settings)


def group_filters(settings: Settings) -> dict[str, Column]:
    """Return, per scope, which rows of ``per_group`` its rules look at: the base, or groups that are large enough."""
    big, is_base = F.col("active") >= settings.privacy.min_group_size, F.col("segment") == ALL
    return {"base": is_base, "group": ~is_base & big}


def matching_groups(
    trend: DataFrame, rates: DataFrame, context: DataFrame | None, day: date, settings: Settings
) -> dict[str, list[str]]:
    """Return the groups (segment=value) for which each rule of groups and the base in force on ``day`` is true."""
    judged = group_filters(settings)
    rules = [rule for rule in rules_on(day, settings) if rule.scope in judged]
    spoken = [F.when(judged[rule.scope] & holds(rule), F.lit(rule.id)) for rule in rules]
    name = F.concat("segment", F.lit("="), "value").alias("name")
    ids = F.array_compact(F.array(F.lit(None).cast("string"), *spoken))
    # bounded by groups times rules
    small = collect_together(group_inputs(trend, rates, settings))
    groups = per_group(trend.sparkSession, small["trend"], small["rates"], context, day, settings)
    # a row for each group and rule that is true for it
    rows = groups.select(name, F.explode(ids).alias("rule_id")).collect()
    return {rule.id: sorted(row["name"] for row in rows if row["rule_id"] == rule.id) for rule in rules}
