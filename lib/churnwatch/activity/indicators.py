"""Compute business indicators of segments: ratios of sums over what their users did in the last days."""

from collections.abc import Iterator

import sqlglot
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from sqlglot import expressions as exp

from churnwatch.activity.kinds import rounded_integer
from churnwatch.settings import Settings
from churnwatch.settings.names import ACTS, EVENTS, counted_measures, window_column
from churnwatch.tables.columns import NUMBER_BY_NAME

ACTIVE_DAYS = "active_days"


def used_measures(settings: Settings) -> list[str]:
    """Return the columns of daily_activity that the indicators use, sorted; without acts and events, which are always read."""
    return sorted({name for name, _ in _sums(settings)} - {ACTIVE_DAYS, ACTS, EVENTS})


def window_sums(settings: Settings) -> Iterator[Column]:
    """Yield the sums that the indicators use, one per measure and window, as aggregates over a user's activity rows with
    ``age``. A count is at least 0."""
    counted = counted_measures(settings)
    for name, days in sorted(_sums(settings)):
        value = (F.col(ACTS) > 0).cast("long") if name == ACTIVE_DAYS else F.col(name)
        total = F.coalesce(F.sum(F.when(F.col("age") < days, value)), F.lit(0))
        yield (F.greatest(total, F.lit(0)) if name in counted else total).cast("long").alias(window_column(name, days))


def ratio_sums(users: DataFrame, settings: Settings) -> dict[str, Column]:
    """Return the numerator ``<name>_of`` and the denominator ``<name>_per`` of each indicator per user, as whole numbers.

    ``users``: rows with ``window_sums``. Null for users who were not active in the indicator's days.
    """
    made = {}
    for name, indicator in settings.measures.indicators.items():
        active = F.col(window_column(ACTIVE_DAYS, indicator.days)) > 0
        for side, text in (("of", indicator.of), ("per", indicator.per)):
            value = F.expr(_over_window(text, indicator.days))
            made[f"{name}_{side}"] = F.when(active, rounded_integer(value, users.select(value).schema.fields[0].dataType))
    return made


def ratios(settings: Settings) -> Column:
    """Return the map ``indicators`` from the summed columns of ``ratio_sums``. A value is null when its denominator is 0; the
    map is null when no indicator is configured."""
    pairs: list[Column] = []
    for name in settings.measures.indicators:
        pairs += [F.lit(name), F.try_divide(F.col(f"{name}_of").cast("double"), F.col(f"{name}_per").cast("double"))]
    return (F.create_map(*pairs) if pairs else F.lit(None)).cast(NUMBER_BY_NAME)


def _sums(settings: Settings) -> set[tuple[str, int]]:
    """Return (measure, days) of every sum that an indicator needs."""
    found = set()
    for indicator in settings.measures.indicators.values():
        found |= {(name, indicator.days) for text in (indicator.of, indicator.per) for name in _columns(text)}
        found.add((ACTIVE_DAYS, indicator.days))
    return found


def _columns(text: str) -> set[str]:
    return {column.name for column in sqlglot.parse_one(text, dialect="spark").find_all(exp.Column)}


def _over_window(text: str, days: int) -> str:
    """Replace each measure of ``text`` by its sum over ``days`` days.

    >>> _over_window("orders >= 2", 30)
    'orders_30d >= 2'
    """

    def replaced(node: exp.Expression) -> exp.Expression:
        return exp.column(window_column(node.name, days)) if isinstance(node, exp.Column) else node

    return sqlglot.parse_one(text, dialect="spark").transform(replaced).sql(dialect="spark")
