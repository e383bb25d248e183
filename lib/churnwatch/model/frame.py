"""The training frame: features and labels of the snapshots, without users whom somebody treated."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import only_days
from churnwatch.core.chance import share_of
from churnwatch.model.schema import Schema, filled_values, raw_values
from churnwatch.model.spans import Spans, cut
from churnwatch.settings import Settings

FOLD_SHARE = 0.25  # of the users: hyper-parameters are judged on them
FOLD_DAYS_SHARE = 0.4  # of the training snapshots: the later ones, on which they are judged
EVALUATION_USERS = 200_000  # test users at the most, by hash: intervals of a larger sample would be no use


@dataclass(frozen=True)
class Size:
    """How much a span holds."""

    users: int
    rows: int
    positives: int


def spans_of(inputs: Mapping[str, DataFrame], today: date, settings: Settings) -> Spans:
    """The spans at D = ``today`` by the days that features and labels both have; raises Refused (see ``spans.cut``)."""
    labelled = _primary(inputs["labels"], settings).select("day").distinct()
    both = labelled.join(inputs["features"].select("day").distinct(), "day", "left_semi")
    return cut([row["day"] for row in both.collect()], today, settings)


def labelled_rows(inputs: Mapping[str, DataFrame], spans: Spans, settings: Settings) -> DataFrame:
    """One row per user and snapshot: ``day, user_id, span, label`` (1 churned) and the columns of user_features.

    Users who got an offer in O .. O+lead+horizon leave: what they would have done is not known (an offer of O is decided at
    its end and reaches them on O+1). Held-out and unassigned users stay.
    Bots leave: what they do tells nothing of people.
    """
    days = F.col("day")
    span = F.when(days >= spans.test[0], "test").when(days >= spans.calibration[0], "calibration").otherwise("train")
    labels = _primary(only_days(inputs["labels"], spans.days), settings).select(
        "day", "user_id", F.col("churned").cast("double").alias("label")
    )
    offered = inputs["actions"].where("arm = 'offer'").select("user_id", F.col("day").alias("offered_on"))
    in_time = (F.col("offered_on") >= days) & (F.col("offered_on") <= F.date_add(days, settings.primary.ahead_days))
    untreated = labels.join(offered, (labels["user_id"] == offered["user_id"]) & in_time, "left_anti")
    # (day, user_id) is the key on both sides: the join keeps the grain
    people = only_days(inputs["features"], spans.days).where("bot IS NOT TRUE")
    return untreated.join(people, ["day", "user_id"]).withColumn("span", span)


def _primary(labels: DataFrame, settings: Settings) -> DataFrame:
    return labels.where(F.col("definition") == settings.churn.primary)


def only_span(rows: DataFrame, span: str) -> DataFrame:
    """Keeps the rows of a span."""
    return rows.where(F.col("span") == span)


def sizes(rows: DataFrame) -> dict[str, Size]:
    """Users, rows and churned rows by span."""
    counts = rows.groupBy("span").agg(
        F.count_distinct("user_id").alias("users"), F.count("label").alias("rows"), F.sum("label").alias("positives")
    )
    found = {row["span"]: Size(row["users"], row["rows"], int(row["positives"])) for row in counts.collect()}
    return {span: found.get(span, Size(0, 0, 0)) for span in ("train", "calibration", "test")}


def for_fit(rows: DataFrame, schema: Schema, spans: Spans, settings: Settings) -> DataFrame:
    """``day, user_id, label, vector, fold, sample_share`` in an order and partitioning that trees depend on; not cached.

    ``fold``: the user judges hyper-parameters; ``late``: the day does.
    """
    vector = array_to_vector(filled_values(schema)).alias("vector")
    late = spans.train[-max(1, round(len(spans.train) * FOLD_DAYS_SHARE)) :][0]
    chosen = rows.select(
        "day",
        "user_id",
        "label",
        vector,
        (share_of(F.col("user_id"), f"fold:{settings.model.seed}") < FOLD_SHARE).alias("fold"),
        (F.col("day") >= F.lit(late)).alias("late"),
        share_of(F.col("user_id"), f"search:{settings.model.seed}").alias("sample_share"),
    )
    return chosen.repartition(settings.model.partitions, "user_id").sortWithinPartitions("user_id", "day")


def for_evaluation(rows: DataFrame, schema: Schema, sizes: Mapping[str, Size], settings: Settings) -> DataFrame:
    """``span, user_hash, label, values`` (raw features as one array) of the calibration and test spans.

    At most ``EVALUATION_USERS`` users of a span, by hash.
    """
    users = max(sizes["calibration"].users, sizes["test"].users)
    later = rows.where(F.col("span") != "train")
    if users > EVALUATION_USERS:
        salt = f"evaluation:{settings.model.seed}"
        later = later.where(share_of(F.col("user_id"), salt) < EVALUATION_USERS / users)
    return later.select("span", F.xxhash64("user_id").alias("user_hash"), "label", raw_values(schema).alias("values"))
