"""Import outside experiments: units, arms and outcomes, as rows of one table."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.core import DataQualityError
from churnwatch.core.job import Frames
from churnwatch.events.instants import text_of
from churnwatch.settings import Experiment, Settings, Source
from churnwatch.tables import tables


def import_experiment(
    inputs: Mapping[str, DataFrame], days: Sequence[date], sources: Any, settings: Settings, experiment: str
) -> Frames:
    """Return one row per unit of ``experiment``: arm, day, cluster, stratum, outcomes and covariates as numbers.

    A value that is not a number becomes null: the unit has no such outcome. Raises DataQualityError, with counts, if a unit
    repeats or is missing, an arm is not in the experiment's shares, or a row cannot be read.
    """
    contract = tables(settings).experiment_units
    conf = settings.experiments[experiment]
    rows = sources.rows(_with_all_columns(conf), tuple(days))
    if conf.source.where:
        rows = rows.where(F.expr(conf.source.where) | F.col("_corrupt").isNotNull())
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
    if settings.privacy.pseudonymise:
        units = sources.protect(units, "unit")  # its units may be users
    return {contract.name: units.select(*contract.schema.names)}


def experiment_predicate(days: Sequence[date], experiment: str) -> Mapping[str, str]:
    """Return the condition of the rows that an import replaces: all rows of the experiment, of any day."""
    return {"experiment_units": f"experiment = '{experiment}'"}


def _with_all_columns(conf: Experiment) -> Source:
    """Return the source with a map of all needed columns, because some formats read only mapped ones."""
    numbers = {**{f"outcome_{k}": v for k, v in conf.outcomes.items()}, **{f"x_{k}": v for k, v in conf.covariates.items()}}
    return conf.source.model_copy(update={"map": {**numbers, **conf.source.map}})


def _day(conf: Experiment, imported_on: date) -> Column:
    otherwise = F.lit(conf.day or imported_on)
    if text := conf.source.map.get("day"):
        return F.coalesce(F.expr(f"try_cast(({text}) AS DATE)"), otherwise)
    return otherwise


def _text(conf: Experiment, field: str) -> Column:
    if text := conf.source.map.get(field):
        return text_of(F.expr(text))
    return F.lit(None).cast("string")


def _numbers(expressions: Mapping[str, str]) -> Column:
    if not expressions:
        return F.lit(None).cast("map<string,double>")
    numbers = {name: F.expr(f"try_cast(({text}) AS DOUBLE)") for name, text in expressions.items()}
    pairs = [(F.lit(name), F.when(~F.isnan(number), number)) for name, number in numbers.items()]
    return F.create_map(*[part for pair in pairs for part in pair])


def _faults(units: DataFrame, conf: Experiment) -> list[str]:
    readable = ~F.col("_broken")
    known = F.coalesce(F.col("arm").isin(list(conf.shares)), F.lit(False))
    per_unit = units.groupBy("unit").agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_if("_broken").alias("broken"),
        F.count_if(readable & F.col("unit").isNull()).alias("no_unit"),
        F.count_if(readable & ~known).alias("odd_arm"),
        F.min(F.when(readable & ~known, F.coalesce("arm", F.lit("none")))).alias("odd"),
    )
    repeated = F.col("unit").isNotNull() & (F.col("rows") > 1)
    found = per_unit.agg(
        *[F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in ("rows", "broken", "no_unit", "odd_arm")],
        F.min("odd").alias("odd"),
        F.count_if(repeated).alias("units"),
        F.coalesce(F.sum(F.when(repeated, F.col("rows"))), F.lit(0)).alias("repeats"),
    ).collect()[0]
    counted = {
        "broken": f"{found['broken']:,} of {found['rows']:,} rows cannot be read",
        "no_unit": f"{found['no_unit']:,} rows have no unit",
        "odd_arm": f"{found['odd_arm']:,} rows have an arm that is not in shares (for one, {found['odd']})",
        "units": f"{found['units']:,} units have {found['repeats']:,} rows; each unit must have one row",
    }
    return [text for name, text in counted.items() if found[name]]
