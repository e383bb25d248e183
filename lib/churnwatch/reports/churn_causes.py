"""The job explain_churn: what churned users had in common. These are associations, and the tables call them so."""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.activity import only_people
from churnwatch.core import Skipped
from churnwatch.core.intervals import DIGITS, Z95, wilson
from churnwatch.settings import Settings, feature_names
from churnwatch.settings.terms import UNKNOWN


def explain_churn(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> dict[str, DataFrame]:
    """Explain the churn of the users of O: the causes of those who churned, and how their features differed.

    Raises Skipped where O has no labels or no features, because a range may store snapshots only.
    """
    (day,) = days
    if inputs["features"].isEmpty() or inputs["labels"].isEmpty():
        raise Skipped(f"{day} has no features or no labels: there is nothing to explain")
    labels = inputs["labels"].where(F.col("definition") == settings.churn.primary).select("user_id", "churned")
    return {
        "churn_causes": _causes(inputs["scores"], labels),
        "churn_profile": _profile(inputs["features"], labels, day, feature_names(settings)),
    }


def known_cause() -> Column:
    """The cause that the score names; 'unknown' without one."""
    return F.coalesce("cause", F.lit(UNKNOWN))


def _causes(scores: DataFrame, labels: DataFrame) -> DataFrame:
    """One row per day and cause: its share of the churned users with its Wilson interval, and the churn rate of its users."""
    by_cause = (
        scores.select("day", "user_id", known_cause().alias("cause"))
        .join(labels, "user_id")
        .groupBy("day", "cause")
        .agg(F.count("*").alias("users"), F.count_if("churned").alias("churned"))
        .withColumn("all_churned", F.sum("churned").over(Window.partitionBy("day")))
    )
    low, high = wilson(F.col("churned"), F.col("all_churned"))
    return by_cause.select(
        "day",
        "cause",
        "users",
        "churned",
        F.try_divide(F.col("churned").cast("double"), F.col("all_churned")).alias("share"),
        low.alias("low"),
        high.alias("high"),
        (F.col("churned") / F.col("users")).alias("rate"),
        F.lit(True).alias("association"),
    )


def _profile(features: DataFrame, labels: DataFrame, day: date, names: Sequence[str]) -> DataFrame:
    """One row per feature: means of users who churned and who stayed, and Cohen's d with its 95 % interval.

    Missing values are left out, and users who were bots.

    d = (mean of churned - mean of stayed) / pooled standard deviation; its standard error is
    sqrt((n1 + n0) / (n1 n0) + d^2 / (2 (n1 + n0))) (Hedges and Olkin, Statistical Methods for Meta-Analysis, 1985, p. 86).
    d is null where a group has fewer than two values or nothing varies.
    """
    joined = only_people(features).join(labels, "user_id")  # one bot's millions would be the mean
    values = _per_feature(joined, ["churned"], names)
    gone, stays = F.when(F.col("churned"), F.col("value")), F.when(~F.col("churned"), F.col("value"))
    sums = values.groupBy("feature").agg(
        *(
            function(column).alias(f"{name}_{group}")
            for group, column in (("1", gone), ("0", stays))
            for name, function in (("n", F.count), ("mean", F.avg), ("var", F.var_samp))
        )
    )
    n1, n0 = F.col("n_1").cast("double"), F.col("n_0").cast("double")
    pooled = F.sqrt(F.try_divide((n1 - 1) * F.col("var_1") + (n0 - 1) * F.col("var_0"), n1 + n0 - 2))
    varies = (n1 > 1) & (n0 > 1) & (pooled > 0)
    d = F.when(varies, F.try_divide(F.col("mean_1") - F.col("mean_0"), pooled))
    error = F.sqrt(F.try_divide(n1 + n0, n1 * n0) + d * d / (2 * (n1 + n0)))
    return sums.select(
        F.lit(day).alias("day"),
        F.col("feature").alias("measure"),
        *(F.round(F.col(f"mean_{group}"), DIGITS).alias(name) for group, name in (("1", "churned_mean"), ("0", "stayed_mean"))),
        F.round(d, DIGITS).alias("effect"),
        F.round(d - Z95 * error, DIGITS).alias("low"),
        F.round(d + Z95 * error, DIGITS).alias("high"),
        F.lit(True).alias("association"),
    )


def _per_feature(frame: DataFrame, keep: Sequence[str], features: Sequence[str]) -> DataFrame:
    """Melt: one row per row of ``frame`` and feature with ``keep``, ``feature``, ``value`` (double; NaN becomes null).

    One aggregation then serves any number of features: hundreds of aggregates in one plan cost more to compile than narrow
    rows cost to group.
    """
    pairs = F.array(*(F.struct(F.lit(name).alias("feature"), _number(name).alias("value")) for name in features))
    return frame.select(*keep, F.explode(pairs).alias("pair")).select(*keep, "pair.feature", "pair.value")


def _number(name: str) -> Column:
    value = F.col(name).cast("double")
    return F.when(~F.isnan(value), value)
