"""Series that are no user's, as features: the value in force on a day, and how it changed."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.snapshots import snapshots
from churnwatch.settings import Settings
from churnwatch.settings.signals import ContextFeature

BASE_SCOPE = "base"


def with_context(frame: DataFrame, context: DataFrame, days: Sequence[date], settings: Settings) -> DataFrame:
    """Adds ``<feature>``, the value published last up to ``day``, and ``<feature>_change``, how much more that is than the
    value in force ``change_days`` before; null where nothing was published yet. ``frame``: with ``day`` and segments.

    ``context``: as-of input whose rows go back ``context_days`` before the first of ``days``, unique by (scope, name) on a
    day. One broadcast join for the base and one for each segment, whatever the number of series.
    """
    scopes: dict[str, dict[str, ContextFeature]] = {}
    for name, one in settings.measures.context.items():
        scopes.setdefault(one.scope, {})[name] = one
    return reduce(lambda made, scope: _of_scope(made, context, days, scope, scopes[scope]), sorted(scopes), frame)


def _of_scope(
    frame: DataFrame, context: DataFrame, days: Sequence[date], scope: str, features: Mapping[str, ContextFeature]
) -> DataFrame:
    """``frame`` with the features of one scope; a row is the base's, or the one of the user's value of the segment."""
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
