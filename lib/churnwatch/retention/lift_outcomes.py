"""Outcomes of assigned users, and the sums of them that the comparison of arms needs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.terms import ALL, UNKNOWN

SEGMENTS = ("tier", "cause", "offer")
BY_DAY = "(day)"  # segment of the sample-ratio check by day of assignment; it is never in retention_lift
SUMS = ("assigned", "n", "y", "yy", "with_x", "x", "xx", "xy", "value_cents", "cost_cents", "beyond_rate")


def per_assignment(actions: DataFrame) -> DataFrame:
    """Return one row per user and campaign: the first assignment (day, arm, tier, cause, offer, value) and the cost of all."""
    first = F.min_by(F.struct("day", "arm", *SEGMENTS, "value_cents"), "day")
    return (
        actions.where(F.col("arm").isNotNull())
        .groupBy("campaign", "user_id")
        .agg(first.alias("first"), F.sum("cost_cents").alias("cost_cents"))
        .select("campaign", "user_id", "first.*", "cost_cents")
    )


def with_outcomes(assigned: DataFrame, labels: DataFrame, activity: DataFrame, day: date, settings: Settings) -> DataFrame:
    """Add ``matured_<outcome>``, ``y_<outcome>`` and ``x_<outcome>`` for every configured outcome; same grain.

    ``y`` of a label is 1 - churned of the label of the assignment's day, null if the user was not eligible. ``y`` of a measure
    is its sum over the ``days`` after that day, 0 if the user was not active. ``x`` is the measure's sum over the
    ``before_days`` that end on the day before it. Both are null until the outcome has matured: assignment + lag <= ``day``.
    """
    outcomes = settings.offers.outcomes
    definitions = {name: settings.outcome_definition(one) for name, one in outcomes.items() if one.measure is None}
    measured = {name: one for name, one in outcomes.items() if one.measure}
    measures = sorted({str(one.measure) for one in measured.values()})
    facts = []
    if definitions:
        known = labels.where(F.col("definition").isin(sorted({str(one) for one in definitions.values()})))
        facts.append(known.select("user_id", F.col("day").alias("of"), "definition", "churned"))
    if measured:
        facts.append(activity.select("user_id", F.col("day").alias("of"), *measures))
    age = F.col("age")
    columns: dict[str, Column] = {}
    for name, definition in definitions.items():
        stayed = F.when((F.col("definition") == definition) & (age == 0), 1.0 - F.col("churned").cast("double"))
        columns[f"y_{name}"] = F.max(stayed)
        columns[f"x_{name}"] = F.first(F.lit(None).cast("double"))
    for name, one in measured.items():
        value = F.col(str(one.measure))
        columns[f"y_{name}"] = _sum_or_0(value, age.between(1, one.days or 0))
        before = _sum_or_0(value, age.between(-(one.before_days or 0), -1))
        columns[f"x_{name}"] = before if one.before_days else F.first(F.lit(None).cast("double"))
    first = -max([one.before_days or 0 for one in measured.values()], default=0)
    last = max([one.days or 0 for one in measured.values()], default=0)
    dated = (
        assigned.join(reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), facts), "user_id")
        .withColumn("age", F.datediff("of", "day"))
        .where(age.between(first, last))
    )
    # one row per assignment keeps those without a fact; the sums then bring back the grain
    found = (
        dated.unionByName(assigned, allowMissingColumns=True)
        .groupBy(*assigned.columns)
        .agg(*[column.alias(name) for name, column in columns.items()])
    )
    for name, outcome in outcomes.items():
        matured = F.col("day") <= F.lit(day - timedelta(days=settings.outcome_lag_days(outcome)))
        found = (
            found.withColumn(f"matured_{name}", matured)
            .withColumn(f"y_{name}", F.when(matured, F.col(f"y_{name}")))
            .withColumn(f"x_{name}", F.when(matured, F.col(f"x_{name}")))
        )
    return found


def _sum_or_0(value: Column, counted: Column) -> Column:
    return F.coalesce(F.sum(F.when(counted, value)).cast("double"), F.lit(0.0))


def per_outcome(assigned: DataFrame, outcomes: Sequence[str]) -> DataFrame:
    """Return one row per user, campaign and outcome: y, x, matured, with the user's segments and the day of assignment."""
    each = [
        F.struct(
            F.lit(name).alias("outcome"),
            F.col(f"y_{name}").alias("y"),
            F.col(f"x_{name}").alias("x"),
            F.col(f"matured_{name}").alias("matured"),
        )
        for name in outcomes
    ]
    kept = ["campaign", "arm", "day", "value_cents", "cost_cents"]
    segments = [F.coalesce(segment, F.lit(UNKNOWN)).alias(segment) for segment in SEGMENTS]
    return assigned.select(*kept, *segments, F.explode(F.array(*each)).alias("one")).select(*kept, *SEGMENTS, "one.*")


def per_unit(units: DataFrame, clustered: Sequence[str]) -> DataFrame:
    """Return rows of ``experiment_units`` in the form of ``per_outcome``: one per unit and outcome.

    In the experiments named by ``clustered`` whole clusters were assigned to arms, so a cluster is one row: the means of its
    units, with the same weight for each cluster.
    """
    names = ["campaign", "arm", "day", "stratum", "outcome", "y", "x"]
    long = units.select(
        F.col("experiment").alias("campaign"),
        "arm",
        "day",
        "stratum",
        "covariates",
        F.when(F.col("experiment").isin(list(clustered)), F.coalesce("cluster", "unit")).alias("cluster"),
        F.explode("outcomes").alias("outcome", "y"),
    ).withColumn("x", F.try_element_at("covariates", F.col("outcome")))
    rows = long.where(F.col("cluster").isNull()).select(*names)
    if clustered:
        clusters = (
            long.where(F.col("cluster").isNotNull())
            .groupBy("campaign", "arm", "cluster", "outcome")
            .agg(F.min("day").alias("day"), F.min("stratum").alias("stratum"), F.avg("y").alias("y"), F.avg("x").alias("x"))
        )
        rows = rows.unionByName(clusters.select(*names))
    nothing = F.lit(None).cast("long")
    return rows.withColumns({"value_cents": nothing, "cost_cents": nothing, "matured": F.lit(True)})


def per_cell(outcomes: DataFrame, segments: Sequence[str]) -> DataFrame:
    """Return counts and sums (SUMS) by campaign, outcome, arm, day of assignment and all ``segments`` together.

    The number of rows is bounded by configuration and the days that are read, whatever the number of users.
    """
    y, x = F.col("y"), F.when(F.col("y").isNotNull(), F.col("x"))
    sums = {
        "assigned": F.count(F.lit(1)),
        "n": F.count(y),
        "y": F.sum(y),
        "yy": F.sum(y * y),
        "with_x": F.count(x),
        "x": F.sum(x),
        "xx": F.sum(x * x),
        "xy": F.sum(x * y),
        "value_cents": F.sum(F.when(y.isNotNull(), F.col("value_cents"))),
        "cost_cents": F.sum(F.when(F.col("matured"), F.col("cost_cents"))),
        "beyond_rate": F.sum((y.isNotNull() & ~y.isin(0.0, 1.0)).cast("long")),
    }
    cell = ["campaign", "outcome", "arm", *segments, "day"]
    return outcomes.groupBy(*cell).agg(*[sums[name].alias(name) for name in SUMS])


def add_cells(cells: Iterable[Mapping[str, Any]], segments: Sequence[str]) -> dict[tuple[str, str, str, str], dict[str, Any]]:
    """Add the rows of ``per_cell`` up, by segment: (campaign, outcome, segment, value) -> arm -> sums.

    The segments are 'all', each of ``segments``, and BY_DAY. A null value is no group. A sum of nulls is null.

    >>> cell = dict.fromkeys(SUMS, 1) | {"campaign": "c", "outcome": "kept", "arm": "offer", "day": date(2025, 5, 1)}
    >>> added = add_cells([cell | {"tier": "high"}, cell | {"tier": None, "x": None}], ["tier"])
    >>> [(segment, value, arms["offer"]["y"], arms["offer"]["x"]) for (_, _, segment, value), arms in added.items()]
    [('all', 'all', 2, 1), ('(day)', '2025-05-01', 2, 1), ('tier', 'high', 1, 1)]
    """
    found: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    # in a fixed order, because the last digits of a sum of doubles depend on it
    for cell in sorted(cells, key=lambda cell: [str(cell[name]) for name in ("arm", "day", *segments)]):
        for segment, value in ((ALL, ALL), *((name, cell[name]) for name in segments), (BY_DAY, str(cell["day"]))):
            if value is None:
                continue
            arms = found.setdefault((cell["campaign"], cell["outcome"], segment, value), {})
            sums = arms.setdefault(cell["arm"], dict.fromkeys(SUMS))
            for name in SUMS:
                if cell[name] is not None:
                    sums[name] = cell[name] + (sums[name] or 0)
    return found
