"""Add context series (prices, market indices) as features: the value in force on a day, and its change."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.snapshots import snapshots
from churnwatch.settings import Settings
from churnwatch.settings.feature_families import ContextFeature
from churnwatch.settings.terms import BASE_SCOPE


def with_context(frame: DataFrame, context: DataFrame, days: Sequence[date], settings: Settings) -> DataFrame:
    """Add ``<feature>``, the value in force on ``day``, and ``<feature>_change``, that value minus the one in force
    ``change_days`` earlier. Null when nothing was published by then. ``frame`` has ``day`` and the segments.

    ``context``: as-of input that goes back ``context_days`` before the first of ``days``, unique by (scope, name) on a day.
    One broadcast join for the scope of all users and one per segment, whatever the number of series.
    """
    scopes: dict[str, dict[str, ContextFeature]] = {}
    for name, one in settings.measures.context.items():
        scopes.setdefault(one.scope, {})[name] = one
    return reduce(lambda frame_, scope: _with_scope(frame_, context, days, scope, scopes[scope]), sorted(scopes), frame)


def _with_scope(
    frame: DataFrame, context: DataFrame, days: Sequence[date], scope: str, features: Mapping[str, ContextFeature]
) -> DataFrame:
    """Add the features of one scope: the series of all users, or those of the user's value of the segment."""
    value = F.lit(BASE_SCOPE) if scope == BASE_SCOPE else F.concat(F.lit(f"{scope}="), F.col(f"segment_{scope}"))
    in_scope = F.col("scope") == BASE_SCOPE if scope == BASE_SCOPE else F.startswith("scope", F.lit(f"{scope}="))
    rows = context.where(in_scope & F.col("name").isin(sorted({one.name for one in features.values()})))
    longest = max(one.change_days or 0 for one in features.values())
    looking = F.broadcast(snapshots(frame.sparkSession, days))
    seen = (F.col("day") <= F.col("snapshot")) & (F.col("until") >= F.date_sub("snapshot", longest))
    columns: list[Column] = []
    for name, one in features.items():
        now = _in_force(one.name, F.col("snapshot"))
        columns.append(now.alias(name))
        if one.change_days:
            columns.append((now - _in_force(one.name, F.date_sub("snapshot", one.change_days))).alias(f"{name}_change"))
    values = rows.join(looking, seen).groupBy(F.col("snapshot").alias("_day"), F.col("scope").alias("_scope")).agg(*columns)
    # unique by (_day, _scope): the join keeps the grain
    mine = (F.col("day") == F.col("_day")) & (value == F.col("_scope"))
    return frame.join(F.broadcast(values), mine, "left").drop("_day", "_scope")


def _in_force(name: str, day: Column) -> Column:
    return F.max(F.when((F.col("name") == name) & day.between(F.col("day"), F.col("until")), F.col("value")))
