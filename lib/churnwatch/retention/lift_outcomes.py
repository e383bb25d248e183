"""Outcomes of assigned users, and the sums of them that the comparison of arms needs."""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.terms import ALL, UNKNOWN

SEGMENTS = ("tier", "cause", "offer")
BY_DAY = "(day)"  # segment of the sample-ratio check by day of assignment; it is never in retention_lift


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
    found = assigned.transform(_with_labels, labels, settings).transform(_with_measures, activity, settings)
    for name, outcome in outcomes.items():
        last = day - timedelta(days=settings.outcome_lag_days(outcome))
        matured = F.col("day") <= F.lit(last)
        found = (
            found.withColumn(f"matured_{name}", matured)
            .withColumn(f"y_{name}", F.when(matured, F.col(f"y_{name}")))
            .withColumn(f"x_{name}", F.when(matured, F.col(f"x_{name}")))
        )
    return found


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
    alone = long.where(F.col("cluster").isNull()).select(*names)
    if clustered:
        together = (
            long.where(F.col("cluster").isNotNull())
            .groupBy("campaign", "arm", "cluster", "outcome")
            .agg(F.min("day").alias("day"), F.min("stratum").alias("stratum"), F.avg("y").alias("y"), F.avg("x").alias("x"))
        )
        alone = alone.unionByName(together.select(*names))
    nothing = F.lit(None).cast("long")
    return alone.withColumns({"value_cents": nothing, "cost_cents": nothing, "matured": F.lit(True)})


def per_arm(outcomes: DataFrame, segments: Sequence[str]) -> DataFrame:
    """Return counts and sums by campaign, outcome, segment, value and arm: few rows for any number of users.

    The segments are ``segments`` (columns of ``outcomes``), 'all', and the day of assignment. A null value is no group.
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
    # users are added up once, by all segments together; only these few rows are then repeated by segment
    cell = ["campaign", "outcome", "arm", *segments, "day"]
    cells = outcomes.groupBy(*cell).agg(*[column.alias(name) for name, column in sums.items()])
    groups = {ALL: F.lit(ALL), **{s: F.col(s) for s in segments}, BY_DAY: F.col("day").cast("string")}
    each = F.array(*[F.struct(F.lit(name).alias("segment"), value.alias("value")) for name, value in groups.items()])
    return (
        cells.withColumn("at", F.explode(each))
        .where(F.col("at.value").isNotNull())
        .groupBy("campaign", "outcome", "at.segment", "at.value", "arm")
        .agg(*[F.sum(name).alias(name) for name in sums])
    )


def _with_labels(assigned: DataFrame, labels: DataFrame, settings: Settings) -> DataFrame:
    named = {name: settings.outcome_definition(outcome) for name, outcome in settings.offers.outcomes.items()}
    used = {name: definition for name, definition in named.items() if definition}
    if not used:
        return assigned
    stayed = {
        name: F.max(F.when(F.col("definition") == definition, 1.0 - F.col("churned").cast("double")))
        for name, definition in used.items()
    }
    # known: one row per day and user, so the join keeps the grain
    known = (
        labels.where(F.col("definition").isin(sorted(set(used.values()))))
        .groupBy("day", "user_id")
        .agg(*[column.alias(f"y_{name}") for name, column in stayed.items()])
    )
    empty = {f"x_{name}": F.lit(None).cast("double") for name in used}
    return assigned.join(known, ["day", "user_id"], "left").withColumns(empty)


def _with_measures(assigned: DataFrame, activity: DataFrame, settings: Settings) -> DataFrame:
    measured = {name: outcome for name, outcome in settings.offers.outcomes.items() if outcome.measure}
    if not measured:
        return assigned
    sums = []
    for name, outcome in measured.items():
        after = F.col("age").between(1, outcome.days or 0)
        sums.append(F.sum(F.when(after, F.col(str(outcome.measure)))).alias(f"y_{name}"))
        before = F.col("age").between(-(outcome.before_days or 0), -1)
        sums.append(F.sum(F.when(before, F.col(str(outcome.measure)))).alias(f"x_{name}"))
    first = -max(outcome.before_days or 0 for outcome in measured.values())
    last = max(outcome.days or 0 for outcome in measured.values())
    columns = sorted({str(outcome.measure) for outcome in measured.values()})
    then = activity.select("user_id", F.col("day").alias("active_day"), *columns)
    # many active days a user: the sums bring the grain back to user and campaign before the second join
    summed = (
        assigned.select("campaign", "user_id", "day")
        .join(then, "user_id", "inner")
        .withColumn("age", F.datediff("active_day", "day"))
        .where(F.col("age").between(first, last))
        .groupBy("campaign", "user_id")
        .agg(*sums)
    )
    joined = assigned.join(summed, ["campaign", "user_id"], "left")
    for name, outcome in measured.items():
        y = F.coalesce(F.col(f"y_{name}").cast("double"), F.lit(0.0))  # without activity the sum is 0, not unknown
        x = F.coalesce(F.col(f"x_{name}").cast("double"), F.lit(0.0)) if outcome.before_days else F.lit(None)
        joined = joined.withColumn(f"y_{name}", y).withColumn(f"x_{name}", x.cast("double"))
    return joined
