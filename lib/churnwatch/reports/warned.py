"""Warnings of a day against what then happened."""

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core.intervals import DIGITS, wilson
from churnwatch.reports.outcomes import ratio
from churnwatch.settings import Settings


def alert_quality(alerts: DataFrame, known: DataFrame, day: date, settings: Settings) -> DataFrame:
    """One row per rule (and the model) and level, and level 'all': precision, recall, lift and days of lead.

    ``known``: ``per_labelled_user``. Treated users are no false alarms and no hits: they leave ``matured``; recall and the
    base rate weigh the held-out, who stand for them. Shares in 0 .. 1, Wilson intervals, lead in days.
    """
    untreated = ~F.col("treated")
    hit = untreated & (F.col("churned") == 1)
    # only where churn is silence does it come to pass on a day that the last active one tells
    horizon = settings.primary.horizon_days if settings.primary.kind == "inactivity" else None
    lead = F.lit(horizon).cast("int") - F.datediff(F.lit(day), "last_active_day")
    warned = alerts.where("scope = 'user'").select("user_id", "rule_id", F.explode(F.array("level", F.lit("all"))).alias("level"))
    counts = (
        warned.join(known, "user_id", "left")
        .groupBy("rule_id", "level")
        .agg(
            F.count("*").alias("fired"),
            F.count_if(untreated).alias("matured"),
            F.count_if(hit).alias("churned"),
            F.sum(F.when(hit, F.col("weight"))).alias("found"),
            F.sum(F.when(untreated, F.col("weight"))).alias("judged_for"),
            F.avg(F.when(hit, lead)).cast("double").alias("lead_days"),
        )
    )
    base = known.where(untreated).agg(
        F.count("*").alias("base_eligible"),
        F.count_if(F.col("churned") == 1).alias("base_churned"),
        F.sum("weight").alias("stands_for"),
        F.sum(F.when(F.col("churned") == 1, F.col("weight"))).alias("to_find"),
    )
    precision = F.try_divide(F.col("churned").cast("double"), F.col("matured"))
    base_rate = ratio(F.coalesce("to_find", F.lit(0.0)), F.col("stands_for"))
    low, high = wilson(F.col("churned"), F.col("matured"))
    return counts.crossJoin(F.broadcast(base)).select(
        F.lit(day).alias("day"),
        "rule_id",
        "level",
        "fired",
        "matured",
        "churned",
        "base_eligible",
        "base_churned",
        F.round(base_rate, DIGITS).alias("base_rate"),
        precision.alias("precision"),
        low.alias("low"),
        high.alias("high"),
        F.round(ratio(F.coalesce("found", F.lit(0.0)), F.col("to_find")), DIGITS).alias("recall"),
        # both weighted alike: precision and its interval are of the counted users
        F.round(F.try_divide(ratio(F.coalesce("found", F.lit(0.0)), F.col("judged_for")), base_rate), DIGITS).alias("lift"),
        "lead_days",
    )
