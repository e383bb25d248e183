"""Labels swapped between users: nothing is left to learn, so that a model that finds something shows a fault."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def shuffle_labels(labels: DataFrame) -> DataFrame:
    """Give each user's ``churned`` to the previous user in an order by hash, and the first user's to the last.

    The share of churned users stays the same, and so do the pairs of users on all days, as far as both have a label.
    """
    order = Window.partitionBy("day", "definition").orderBy(F.xxhash64(F.lit("shuffled"), "user_id"), "user_id")
    return labels.withColumn("churned", F.coalesce(F.lead("churned").over(order), F.first("churned").over(order)))


def finds_nothing(row) -> bool:
    """Whether the 99.9 % interval of AUC covers 0.5 and the gate refuses, because the model is no better than chance."""
    metrics = row["metrics"]
    wide = 3.29 / 1.96 * (metrics["auc_high"] - metrics["auc_low"]) / 2
    failed = [condition for condition in row["conditions"] if condition.endswith(": failed")]
    print(f"labels shuffled: auc {metrics['auc']:.4f} +- {wide:.4f}; {'; '.join(failed)}")
    refused = row["outcome"] == "refused" and any(condition.startswith("auc, lower end") for condition in failed)
    return abs(metrics["auc"] - 0.5) < wide and refused
