"""Convert amounts of other currencies by the rates that the context publishes."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.events.changes import changed_rows
from churnwatch.settings.terms import BASE_SCOPE

RATE = "fx_"  # a series of the context: fx_usd is the worth of one US dollar in the domain's currency


def rates_by_day(
    statements: DataFrame | None, stored: DataFrame, days: Sequence[date], daily: bool, state_days: Sequence[date] = ()
) -> DataFrame:
    """Return one row per day of ``days`` and currency with a rate in force: ``_rate_day``, ``_code`` (upper case), ``_rate``.

    ``statements``: accepted statements of the context that is being ingested; None: there is none. ``stored``: the context
    before it, as of the days. ``state_days``: the days of the statements, if others. A rate that is not above 0 is no rate.
    """
    is_rate = F.lower("name").startswith(RATE) & (F.lower("scope") == BASE_SCOPE)
    stated = state_days or days
    before = stored.where(is_rate & (F.col("day") < F.lit(min(stated))))
    known = before.select("day", "name", "value")
    if statements is not None:
        changed = changed_rows(statements.where(is_rate), before, "context", stated, daily)
        known = known.unionByName(changed.select("day", "name", "value"))
    code = F.upper(F.substr("name", F.lit(len(RATE) + 1))).alias("_code")
    series = known.select(code, "day", "name", "value")
    window = Window.partitionBy("_code").orderBy("day", "name")
    in_force = series.withColumn("_next", F.lead("day").over(window))
    looked_at = F.explode(F.array(*[F.lit(day) for day in sorted(days)]))
    on_days = in_force.withColumn("_rate_day", looked_at).where("day <= _rate_day AND (_next IS NULL OR _next > _rate_day)")
    return on_days.where("value > 0").select("_rate_day", "_code", F.col("value").alias("_rate"))


def converted(amount: Column, is_own: Column, rate: Column) -> Column:
    """Return the amount as text in major units of the domain's currency: unchanged in its own, else times ``rate``.

    An amount that is no number stays as it is, so that it is refused for that.
    """
    text = amount.cast("string")
    product = (amount.try_cast("double") * rate).cast("string")
    return F.when(is_own, text).otherwise(F.coalesce(product, text))
