"""The training frame: features and labels of the snapshots, without treated users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.activity import only_people
from churnwatch.core import only_days
from churnwatch.core.chance import share_of
from churnwatch.model.judged_cases import judged_cases
from churnwatch.model.schema import Schema, raw_values
from churnwatch.model.spans import SPANS, Spans
from churnwatch.model.untreated import with_treatment
from churnwatch.settings import Settings
from churnwatch.settings.attributes import MOST_VALUES, OTHER
from churnwatch.settings.names import category_columns, segment_names
from churnwatch.settings.terms import ACTED, UNKNOWN

FOLD_SHARE = 0.25  # of the users: the validation fold
FOLD_DAYS_SHARE = 0.4  # of the training snapshots: the validation period, the last of them
EVALUATION_USERS = 200_000  # the most users of a later span, by hash: intervals are narrow enough with them


@dataclass(frozen=True)
class Size:
    """Users, rows, churned rows (``positives``), the sum of the rows' weights and users with a churned row (``churners``)."""

    users: int
    rows: int
    positives: int
    weight: float
    churners: int = 0


def snapshot_days(inputs: Mapping[str, DataFrame], settings: Settings) -> list[date]:
    """The days that have features and mature labels of the primary definition."""
    labelled = _primary(inputs["labels"], settings).select("day").distinct()
    both = labelled.join(inputs["features"].select("day").distinct(), "day", "left_semi")
    return [row["day"] for row in both.collect()]


def category_values(features: DataFrame, day: date, settings: Settings) -> dict[str, list[str]]:
    """The 20 most frequent values of each text column that is a category, among the users of ``day``, most frequent first.

    A value of fewer users than ``privacy.min_group_size`` is left out: it is one of the ``other`` values.
    """
    columns = category_columns(settings)
    if not columns:
        return {}
    pairs = F.array(*[F.struct(F.lit(name).alias("column"), F.col(name).alias("value")) for name in columns])
    values = only_people(only_days(features, [day])).select(F.explode(pairs).alias("pair")).select("pair.*")
    counted = values.where(F.col("value").isNotNull() & ~F.col("value").isin(OTHER, UNKNOWN)).groupBy("column", "value").count()
    order = Window.partitionBy("column").orderBy(F.desc("count"), "value")
    ranked = counted.where(F.col("count") >= settings.privacy.min_group_size).withColumn("place", F.row_number().over(order))
    found: dict[str, list[str]] = {name: [] for name in columns}
    for row in ranked.where(F.col("place") <= MOST_VALUES).orderBy("column", "place").collect():
        found[row["column"]].append(row["value"])
    return found


def labelled_rows(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> DataFrame:
    """One row per user and snapshot: ``day, user_id, label`` (1 churned), ``weight`` and the columns of user_features.

    Users who were treated (``with_treatment``) are left out, because what they would have done without an offer or an action
    on their warning is unknown; the weights of untreated users stand for them. Bots are left out.
    """
    labels = _primary(only_days(inputs["labels"], days), settings).select(
        "day", "user_id", F.col("churned").cast("double").alias("label")
    )
    # (day, user_id) is the key of all frames: the joins keep the grain
    people = only_people(only_days(inputs["features"], days))
    nobody = (
        inputs["actions"].where("arm IS NOT NULL").isEmpty() and inputs["alert_events"].where(f"action = '{ACTED}'").isEmpty()
    )
    if nobody:
        return labels.withColumn("weight", F.lit(1.0)).join(people, ["day", "user_id"])
    cases = judged_cases(inputs["alerts"], inputs["alert_events"], days, settings)
    known = with_treatment(labels, inputs["actions"], cases, days, settings)
    return known.where(~F.col("treated")).drop("treated", "lacking").join(people, ["day", "user_id"])


def _primary(labels: DataFrame, settings: Settings) -> DataFrame:
    return labels.where(F.col("definition") == settings.churn.primary)


def training_frame(inputs: Mapping[str, DataFrame], days: Sequence[date], schema: Schema, settings: Settings) -> DataFrame:
    """``day, user_id, label, weight, values`` (raw features as one array), ``segments`` of the labelled rows of ``days``.

    Partitioned by user and sorted by user and day, because trees depend on the order and the partitioning of the rows. To be
    cached by the caller: all spans are parts of it.
    """
    rows = labelled_rows(inputs, days, settings)
    segments = F.array(*[F.col(name).cast("string") for name in segments_of(rows, settings)]).cast("array<string>")
    values = raw_values(schema).alias("values")
    narrow = rows.select("day", "user_id", "label", "weight", values, segments.alias("segments"))
    return narrow.repartition(settings.model.partitions, "user_id").sortWithinPartitions("user_id", "day")


def with_span(frame: DataFrame, spans: Spans) -> DataFrame:
    """Keep the rows of the days of ``spans``; add ``span``: train, calibration or test."""
    day = F.col("day")
    later = F.when(day >= spans.test[0], "test") if spans.test else F.when(F.lit(False), "test")
    span = later.when(day >= spans.calibration[0], "calibration").otherwise("train")
    return only_days(frame, spans.days).withColumn("span", span)


def only_span(rows: DataFrame, span: str) -> DataFrame:
    """Keep the rows of one span."""
    return rows.where(F.col("span") == span)


def span_sizes(frame: DataFrame, several: Sequence[Spans]) -> list[dict[str, Size]]:
    """The sizes of the spans of each of ``several``, 0 for a span without rows; in one pass over a ``training_frame``."""
    spans = [(n, name, days) for n, one in enumerate(several) for name, days in one.by_name.items() if days]
    inside = [F.col("day").isin(list(days)) for *_, days in spans]
    # the frame is partitioned by user: users are counted without an exchange
    per_user = frame.groupBy("user_id").agg(
        *(F.count_if(here).alias(f"rows{k}") for k, here in enumerate(inside)),
        *(F.sum(F.when(here, F.col("label")).otherwise(0.0)).alias(f"positives{k}") for k, here in enumerate(inside)),
        *(F.sum(F.when(here, F.col("weight")).otherwise(0.0)).alias(f"weight{k}") for k, here in enumerate(inside)),
    )
    names = [f"{what}{k}" for what in ("rows", "positives", "weight") for k in range(len(spans))]
    row = per_user.agg(
        *(F.count_if(F.col(f"rows{k}") > 0).alias(f"users{k}") for k in range(len(spans))),
        *(F.count_if(F.col(f"positives{k}") > 0).alias(f"churners{k}") for k in range(len(spans))),
        *(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in names),
    ).collect()[0]
    found = [{name: Size(0, 0, 0, 0.0) for name in SPANS} for _ in several]
    for k, (n, name, _) in enumerate(spans):
        found[n][name] = Size(
            users=row[f"users{k}"],
            rows=int(row[f"rows{k}"]),
            positives=int(row[f"positives{k}"]),
            weight=float(row[f"weight{k}"]),
            churners=row[f"churners{k}"],
        )
    return found


def fit_rows(rows: DataFrame, spans: Spans, settings: Settings) -> DataFrame:
    """``day, user_id, label, weight, values`` (raw features), ``fold, late, last_third, sample_share`` of the train span.

    ``fold``: the user is in the validation fold; ``late``: the snapshot belongs to the validation period; ``last_third``: it
    belongs to the part whose features are compared with the earlier ones to measure drift; ``sample_share``: where the user
    lies in [0, 1) when a sample is drawn. Order and partitioning are those of ``training_frame``. Not cached.
    """
    seed = settings.model.seed
    return only_span(rows, "train").select(
        "day",
        "user_id",
        "label",
        "weight",
        "values",
        (share_of(F.col("user_id"), f"fold:{seed}") < FOLD_SHARE).alias("fold"),
        (F.col("day") >= F.lit(_from_last(spans.train, FOLD_DAYS_SHARE))).alias("late"),
        (F.col("day") >= F.lit(_from_last(spans.train, 1 / 3))).alias("last_third"),
        share_of(F.col("user_id"), f"search:{seed}").alias("sample_share"),
    )


def _from_last(days: Sequence[date], share: float) -> date:
    """The first of the last ``share`` of the days, at least one day."""
    return days[-max(1, round(len(days) * share)) :][0]


def search_share(train: Size, settings: Settings) -> float:
    """The share of users in the search sample: about ``search_churners`` of those who churned, at most ``search_users`` users.

    Trials differ by less than the noise of a sample with few churned users, however many users stayed.
    """
    model = settings.model
    return min(1.0, model.search_churners / max(train.churners, 1), model.search_users / max(train.users, 1))


def only_sample(fit: DataFrame, share: float) -> DataFrame:
    """Keep about the ``share`` of the users, by hash."""
    return fit.where(F.col("sample_share") < share) if share < 1.0 else fit


def evaluation_rows(rows: DataFrame, sizes: Mapping[str, Size], settings: Settings) -> DataFrame:
    """``span, day, user_hash, label, weight, values`` (raw features as one array), ``segments`` of calibration and test span.

    At most ``EVALUATION_USERS`` users of a span, by hash.
    """
    users = max(sizes["calibration"].users, sizes["test"].users)
    later = rows.where(F.col("span") != "train")
    if users > EVALUATION_USERS:
        salt = f"evaluation:{settings.model.seed}"
        later = later.where(share_of(F.col("user_id"), salt) < EVALUATION_USERS / users)
    return later.select("span", "day", F.xxhash64("user_id").alias("user_hash"), "label", "weight", "values", "segments")


def segments_of(rows: DataFrame, settings: Settings) -> list[str]:
    """The columns of the rows that hold configured segments."""
    return [name for name in segment_names(settings) if name in rows.columns]
