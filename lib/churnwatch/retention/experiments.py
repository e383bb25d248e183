"""Outside experiments: their units, arms and outcomes, as rows of one table."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.core import DataQualityError
from churnwatch.core.job import Frames
from churnwatch.settings import Experiment, Settings
from churnwatch.tables import tables

SHOWN = 5  # values named in a message


def imported(inputs: Mapping[str, DataFrame], days: Sequence[date], sources: Any, settings: Settings, experiment: str) -> Frames:
    """One row a unit of ``experiment``: arm, day, cluster, stratum, outcomes and covariates as numbers.

    A value that is no number is null: the unit has no such outcome. Raises DataQualityError, with counts, where a
    unit repeats or is missing, an arm is not in the experiment's shares, or a row cannot be read.
    """
    contract = tables(settings).experiment_units
    conf = settings.experiments[experiment]
    rows = sources.rows(conf.source, tuple(days))
    units = rows.select(
        _day(conf, max(days)).alias("day"),
        F.lit(experiment).alias("experiment"),
        _text(conf, "unit").alias("unit"),
        _text(conf, "arm").alias("arm"),
        _text(conf, "cluster").alias("cluster"),
        _text(conf, "stratum").alias("stratum"),
        _numbers(conf.outcomes).alias("outcomes"),
        _numbers(conf.covariates).alias("covariates"),
        F.col("_corrupt").isNotNull().alias("_broken"),
    )
    if faults := _faults(units, conf):
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise DataQualityError(f"experiment {experiment} cannot be imported, nothing was written:\n{lines}")
    return {contract.name: units.select(*contract.schema.names)}


def replaced_experiment(days: Sequence[date], experiment: str) -> Mapping[str, str]:
    """The rows that an import replaces: all of the experiment, whatever their day."""
    return {"experiment_units": f"experiment = '{experiment}'"}


def _day(conf: Experiment, imported_on: date) -> Column:
    otherwise = F.lit(conf.day or imported_on)
    if text := conf.source.map.get("day"):
        return F.coalesce(F.expr(f"try_cast(({text}) AS DATE)"), otherwise)
    return otherwise


def _text(conf: Experiment, field: str) -> Column:
    if text := conf.source.map.get(field):
        return F.nullif(F.trim(F.expr(f"CAST(({text}) AS STRING)")), F.lit(""))
    return F.lit(None).cast("string")


def _numbers(expressions: Mapping[str, str]) -> Column:
    if not expressions:
        return F.lit(None).cast("map<string,double>")
    numbers = {name: F.expr(f"try_cast(({text}) AS DOUBLE)") for name, text in expressions.items()}
    pairs = [(F.lit(name), F.when(~F.isnan(number), number)) for name, number in numbers.items()]
    return F.create_map(*[part for pair in pairs for part in pair])


def _faults(units: DataFrame, conf: Experiment) -> list[str]:
    known = F.col("arm").isin(list(conf.shares))
    repeats = units.where(F.col("unit").isNotNull()).groupBy("unit").count().where("count > 1")
    counts = units.agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_if("_broken").alias("broken"),
        F.count_if(~F.col("_broken") & F.col("unit").isNull()).alias("no_unit"),
        F.count_if(~F.col("_broken") & ~F.coalesce(known, F.lit(False))).alias("odd_arm"),
    ).collect()[0]
    repeated = repeats.agg(F.count(F.lit(1)).alias("units"), F.sum("count").alias("rows")).collect()[0]
    faults = []
    if counts["broken"]:
        faults.append(f"{counts['broken']:,} of {counts['rows']:,} rows cannot be read")
    if counts["no_unit"]:
        faults.append(f"{counts['no_unit']:,} rows have no unit")
    if counts["odd_arm"]:
        odd = units.where(~F.col("_broken") & ~F.coalesce(known, F.lit(False))).select("arm").distinct()
        names = sorted(str(row["arm"]) for row in odd.limit(SHOWN).collect())
        faults.append(f"{counts['odd_arm']:,} rows have an arm that is not in shares ({', '.join(names)})")
    if repeated["units"]:
        faults.append(f"{repeated['units']:,} units stand in {repeated['rows']:,} rows; a unit has one row")
    return faults
