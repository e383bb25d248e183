"""The job score_users: the release as of O on every eligible user of the day."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from pyspark import cloudpickle
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.churn import eligible_users
from churnwatch.core import Refused, Skipped, only_days
from churnwatch.model import last_release
from churnwatch.model.schema import Schema, raw_values
from churnwatch.model.shipped import forest, mapped
from churnwatch.model.trees import base_value, contributions, parsed
from churnwatch.scoring import worker
from churnwatch.scoring.cuts import EVERYBODY, cuts, ranked, tier_of, within_groups
from churnwatch.scoring.in_force import tiers_in_force, user_group
from churnwatch.settings import Settings

cloudpickle.register_pickle_by_value(worker)

REASONS = 3
COUNTED = "cell long, users long"
COUNTED_BY_GROUP = f"user_group string, {COUNTED}"
SCORED = (
    "user_id string, value_cents long, margin double, probability double, percentile double, tier string, "
    "reasons array<struct<measure: string, value: double, contribution: double, cause: string>>"
)


def score(inputs: Mapping[str, DataFrame], days: Sequence[date], models: Any, settings: Settings) -> dict[str, DataFrame]:
    """One row of user_scores per eligible user of O: margin, probability, percentile, tier, value at risk, reasons.

    Two passes over the day's features: one counts users by margin, one scores. Reasons are path contributions (Saabas) by
    measure, read off the leaves that give the margin, so they cost little more than the margin itself.
    Raises Skipped without a release as of O, Refused when the features that it reads are gone.
    """
    (day,) = days
    tiers, by_group = tiers_in_force(inputs.get("thresholds"), settings), user_group(settings)
    row = last_release(inputs["model_runs"], day, settings)
    if row is None:
        raise Skipped(f"no release as of {day}: train one with `churnwatch run train_model --day {day}`")
    release = models.load(row["model_version"], row["mlflow_run_id"])
    schema = Schema.from_json(release.schema)
    _refuse_other_features(schema, inputs["features"], release.version, day)
    users = only_eligible(only_days(inputs["features"], days), inputs, days, settings).select(
        "user_id",
        _value_cents(settings).alias("value_cents"),
        F.xxhash64("user_id").alias("user_hash"),
        *by_group,
        raw_values(schema).alias("values"),
    )
    spec = _spec(release, schema, settings)
    if by_group:
        counts = mapped(users.select("user_group", "user_hash", "values"), worker.counted_by_group, spec, COUNTED_BY_GROUP)
    else:
        counts = mapped(users.select("user_hash", "values"), worker.counted, spec, COUNTED)
        counts = counts.withColumn("user_group", F.lit(EVERYBODY))
    table = counts.groupBy("user_group", "cell").agg(F.sum("users").alias("users")).toArrow()
    cells, sizes = table.column("cell").to_numpy(), table.column("users").to_numpy()
    ranks = ranked(cells, sizes)
    spec |= {"cells": ranks.cells, "percentile": ranks.percentile, "position": ranks.position}
    spec |= {"tiers": cuts(tiers, ranks.users), "tier_names": [t.name for t in tiers]}
    # one row a user on all sides: the joins keep the grain
    scored = mapped(users, worker.scored, spec, SCORED).join(_previous_tier(inputs["scores"]), "user_id", "left")
    if by_group:
        scored = scored.join(users.select("user_id", "user_group"), "user_id", "left")
    tier = tier_of(settings.tiers, tiers, within_groups(table.column("user_group").to_pylist(), cells, sizes))
    return {"user_scores": _contract(scored.withColumn("tier", tier), day, release.version)}


def only_eligible(features: DataFrame, inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> DataFrame:
    """Keeps users who have not churned yet, as labels of the primary definition know them; ``inputs`` as ``eligible_users``
    takes them. What the definition does not count (a bill, a visit) makes nobody eligible, and a bot
    is nobody: percentiles and thresholds are those of people."""
    eligible = eligible_users(inputs, days, settings, settings.churn.primary)
    return features.where("bot IS NOT TRUE").join(eligible.select("day", "user_id"), ["day", "user_id"], "left_semi")


def _refuse_other_features(schema: Schema, features: DataFrame, version: str, day: date) -> None:
    if gone := [name for name in schema.features if name not in features.columns]:
        raise Refused(
            f"model version {version} reads {len(gone)} features that user_features lacks ({', '.join(gone[:3])}): "
            f"train one on the features of today with `churnwatch run train_model --day {day}`"
        )


def _value_cents(settings: Settings) -> Column:
    return F.coalesce(F.expr(f"try_cast(round({settings.model.value}) AS bigint)"), F.lit(0).cast("bigint"))


def _spec(release: Any, schema: Schema, settings: Settings) -> dict[str, Any]:
    trees = parsed(release.text)
    measures = list(dict.fromkeys(schema.measures))
    causes: dict[str, str] = {}
    for cause, what in settings.causes.causes.items():
        for measure in what.measures:
            causes.setdefault(measure, cause)
    paths = []
    for tree in trees:
        used = np.unique(tree.feature)
        paths.append((tree.leaf_value, used, contributions(tree, len(schema.features))[:, used]))
    return {
        "forest": forest(release.text, schema, schema.features),
        "width": len(schema.features),
        "calibration": release.calibration,
        "paths": paths,
        "base": base_value(trees),
        "group": [measures.index(measure) for measure in schema.measures],
        "measures": measures,
        "causes": [causes.get(measure) for measure in measures],
        "reasons": REASONS,
    }


def _previous_tier(scores: DataFrame) -> DataFrame:
    return scores.groupBy("user_id").agg(F.max_by("tier", "day").alias("previous_tier"))


def _contract(scored: DataFrame, day: date, version: str) -> DataFrame:
    return scored.select(
        F.lit(day).alias("day"),
        "user_id",
        "margin",
        "probability",
        "percentile",
        "tier",
        "previous_tier",
        "value_cents",
        F.round(F.col("probability") * F.col("value_cents")).cast("bigint").alias("value_at_risk_cents"),
        "reasons",
        F.lit(version).alias("model_version"),
    )
