"""Groups and the base: how many came back, against what is usual."""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity import HISTORY_DAYS, detect_falls
from churnwatch.alerts.rules import holds
from churnwatch.features import with_context
from churnwatch.settings import Settings
from churnwatch.settings.rule_columns import (
    FALL_COLUMNS,
    TREND_COLUMNS,
    base_column,
    base_indicators,
    market_asked,
    rules_on,
    usual_column,
    watches_falls,
)
from churnwatch.settings.terms import ALL, BASE_SCOPE

USUAL_DAYS = 28
FEWEST_USUAL_DAYS = 7  # fewer say nothing about what is usual


def per_group(trend: DataFrame, rates: DataFrame, context: DataFrame | None, day: date, settings: Settings) -> DataFrame:
    """One row a segment and value of the newest day of ``trend``, with what rules may ask for.

    segment, value, active, came_back, share, low, high and the indicators by name; ``share_usual`` and
    ``<indicator>_usual``: median of the 28 days before that day, null with fewer than 7 of them; ``rate_primary``: newest
    churn rate of the primary definition, a share; the columns of ``activity.falls``; and the series of the market that rules
    speak of, as they stood on ``day``: the base's for every group, a segment's for its groups.
    """
    indicators = list(settings.measures.indicators)
    trend = trend.withColumns({name: F.col("indicators")[name] for name in indicators}) if indicators else trend
    newest = trend.agg(F.max("day").alias("newest"))
    dated = trend.crossJoin(F.broadcast(newest))  # newest: one row
    usual = (
        dated.where((F.col("day") < F.col("newest")) & (F.col("day") >= F.date_sub("newest", USUAL_DAYS)))
        .groupBy("segment", "value")
        .agg(*(_usual(name) for name in ["share", *indicators]))
    )
    confirmed = (
        rates.where(F.col("definition") == settings.churn.primary)
        .groupBy("segment", "value")
        .agg(F.max_by("rate", "day").alias("rate_primary"))
    )
    return (
        dated.where(F.col("day") == F.col("newest"))
        .join(usual, ["segment", "value"], "left")  # usual: one row a group
        .join(confirmed, ["segment", "value"], "left")  # confirmed: one row a group
        .transform(_with_falls, trend, settings)
        .transform(_with_market, context, day, settings)
        .select(
            *TREND_COLUMNS,
            *FALL_COLUMNS,
            *(column for name in indicators for column in (name, usual_column(name))),
            *market_asked(settings),
        )
    )


def trend_days(settings: Settings) -> int:
    """Days of activity_trend up to the newest that rules of groups and the base look at."""
    return HISTORY_DAYS if watches_falls(settings) else USUAL_DAYS + 1


def _with_falls(groups: DataFrame, trend: DataFrame, settings: Settings) -> DataFrame:
    """Adds what the detector of sudden falls finds of the newest day; nulls, at no cost, where no rule speaks of it."""
    if not watches_falls(settings):
        return groups.withColumns({name: F.lit(None).cast(type_) for name, type_ in FALL_COLUMNS.items()})
    return groups.join(detect_falls(trend), ["segment", "value"], "left")  # falls: one row a group


def _with_market(groups: DataFrame, context: DataFrame | None, day: date, settings: Settings) -> DataFrame:
    """Adds the series of ``context`` that rules speak of; nothing, at no cost, where none does."""
    asked = market_asked(settings)
    if context is None or not asked:
        return groups
    scopes = {one.scope for one in settings.measures.context.values()} - {BASE_SCOPE}
    own = {f"segment_{scope}": F.when(F.col("segment") == scope, F.col("value")) for scope in sorted(scopes)}
    named = groups.select("segment", "value").withColumns({"day": F.lit(day), **own})
    market = with_context(named, context, (day,), settings).select("segment", "value", *asked)
    return groups.join(market, ["segment", "value"], "left")  # market: one row a group


def _usual(name: str) -> Column:
    return F.when(F.count(name) >= FEWEST_USUAL_DAYS, F.median(name)).alias(usual_column(name))


def with_base(people: DataFrame, trend: DataFrame, settings: Settings) -> DataFrame:
    """Adds ``<indicator>_base``, the newest indicator of the whole base, to every row, where a rule of users speaks of it."""
    names = base_indicators(settings)
    if not names:
        return people
    base = trend.where(F.col("segment") == ALL)
    newest = base.agg(*(F.max_by(F.col("indicators")[name], "day").alias(base_column(name)) for name in names))
    return people.crossJoin(F.broadcast(newest))  # newest: one row


def group_filters(settings: Settings) -> dict[str, Column]:
    """Which rows of ``per_group`` rules of a scope look at: the base, or groups that are large enough."""
    big, is_base = F.col("active") >= settings.privacy.min_group_size, F.col("segment") == ALL
    return {"base": is_base, "group": ~is_base & big}


def matching_groups(
    trend: DataFrame, rates: DataFrame, context: DataFrame | None, day: date, settings: Settings
) -> dict[str, list[str]]:
    """Groups (segment=value) of which each rule of groups and the base in force on ``day`` speaks; collects those alone."""
    judged = group_filters(settings)
    rules = [rule for rule in rules_on(day, settings) if rule.scope in judged]
    spoken = [F.when(judged[rule.scope] & holds(rule), F.lit(rule.id)) for rule in rules]
    name = F.concat("segment", F.lit("="), "value").alias("name")
    ids = F.array_compact(F.array(F.lit(None).cast("string"), *spoken))
    # bounded by groups times rules
    rows = per_group(trend, rates, context, day, settings).select(name, F.explode(ids).alias("rule_id")).collect()
    return {rule.id: sorted(row["name"] for row in rows if row["rule_id"] == rule.id) for rule in rules}
