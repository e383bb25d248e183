"""The job score_users: the release as of O on every eligible user of the day."""

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pyspark import cloudpickle
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.churn import eligible_users
from churnwatch.core import JobFailed, Refused, Skipped, only_days
from churnwatch.model import last_release
from churnwatch.model.reference import usual_matrix
from churnwatch.model.schema import Schema, raw_values
from churnwatch.model.shipped import mapped, packed
from churnwatch.scoring import worker
from churnwatch.scoring.cuts import cuts, ranked
from churnwatch.settings import Settings
from churnwatch.tables import tables

LOG = logging.getLogger(__name__)
cloudpickle.register_pickle_by_value(worker)

COUNTED = "cell long, users long"
SCORED = (
    "user_id string, value_cents long, margin double, probability double, percentile double, tier string, "
    "reasons array<struct<measure: string, value: double, contribution: double, cause: string, usual: double>>, "
    "features_hash long"
)


def score(inputs: Mapping[str, DataFrame], days: Sequence[date], models: Any, settings: Settings) -> dict[str, DataFrame]:
    """One row of user_scores per eligible user of O: margin, probability, percentile, tier, value at risk, reasons.

    Two passes over the day's features: one counts users by margin, one scores. Reasons are contributions by measure: along
    the paths of trees (Saabas), read off the leaves that give the margin, so that they cost little more than it; exact
    Shapley values (``model.shap``) for users in tiers that have a level, whom people act on.
    Raises Skipped without a release as of O, Refused when the features that it reads are gone.
    """
    (day,) = days
    row = last_release(inputs["model_runs"], day, settings)
    if row is None:
        raise Skipped(f"no release as of {day}: train one with `churnwatch run train_model --day {day}`")
    release = models.load(row["model_version"], row["mlflow_run_id"], row["artifacts_hash"])
    _refuse_other_features(Schema.from_json(release.schema), inputs["features"], release.version, day)
    people = only_eligible(only_days(inputs["features"], days), inputs, days, settings)
    scored = scored_by(release, people, settings)
    found = {"user_scores": _contract(scored, _previous_tier(inputs["scores"]), day, release.version)}
    if settings.model.challenger:
        found["shadow_scores"] = shadow_scores(inputs["model_runs"], people, day, models, settings)
    return found


def shadow_scores(model_runs: DataFrame, people: DataFrame, day: date, models: Any, settings: Settings) -> DataFrame:
    """What the configured challenger says of the same people, in the columns of shadow_scores.

    The challenger never stops the release: where it cannot be applied, a warning says why and no row is written.
    """
    names = tables(settings).shadow_scores.schema.names
    run = settings.model.challenger or ""
    row = model_runs.where(F.col("mlflow_run_id") == run).orderBy("algorithm").first()
    why = f"model_runs knows no attempt with this mlflow_run_id as of {day}: correct model.challenger or leave it out"
    if row is not None:
        version = str(row["model_version"] or run)
        try:
            release = models.load(version, run, row["artifacts_hash"])
            _refuse_other_features(Schema.from_json(release.schema), people, version, day)
            scored = scored_by(release, people, settings)
            return scored.withColumns({"day": F.lit(day), "model_version": F.lit(f"{version} (shadow)")}).select(*names)
        except (JobFailed, Refused) as error:
            why = str(error)
    LOG.warning("the challenger %s was not applied: %s", run, why)
    return people.sparkSession.createDataFrame([], tables(settings).shadow_scores.schema)


def scored_by(release: Any, people: DataFrame, settings: Settings) -> DataFrame:
    """One row per row of ``people`` (of user_features): what ``release`` says of them, as ``SCORED``; ranks are among them."""
    schema = Schema.from_json(release.schema)
    spec, by = _spec(release, schema, people.columns, settings)
    users = people.select(
        "user_id",
        _value_cents(settings).alias("value_cents"),
        F.xxhash64("user_id").alias("user_hash"),
        *([F.col(by).alias("segment")] if by else []),
        raw_values(schema).alias("values"),
    )
    plain = {"model": packed(release.text, schema, schema.features), "width": spec["width"]}
    counts = mapped(users.select("user_hash", "values"), worker.counted, plain, COUNTED)
    table = counts.groupBy("cell").agg(F.sum("users").alias("users")).toArrow()
    ranks = ranked(table.column("cell").to_numpy(), table.column("users").to_numpy())
    spec |= {"cells": ranks.cells, "position": ranks.position, "users": ranks.users}
    spec |= {"tiers": cuts(settings.tiers.tiers, ranks.users), "tier_names": [t.name for t in settings.tiers.tiers]}
    return mapped(users, worker.scored, spec, SCORED)


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


def _spec(release: Any, schema: Schema, columns: Sequence[str], settings: Settings) -> tuple[dict[str, Any], str | None]:
    """What workers need, and the column that tells which users are alike."""
    measures = list(dict.fromkeys(schema.measures))
    causes: dict[str, str] = {}
    for cause, what in settings.causes.causes.items():
        for measure in what.measures:
            causes.setdefault(measure, cause)
    by, segments, usual = usual_matrix(release.reference, schema.features)
    if by not in columns:
        # the segment is gone from conf: what is usual for everybody remains
        by, segments, usual = None, [], usual[-1:]
    group = [measures.index(measure) for measure in schema.measures]
    own = [[feature for feature, of in enumerate(group) if of == measure] for measure in range(len(measures))]
    most = max(map(len, own), default=1)
    # measures with fewer features repeat their first: workers look them up as one matrix
    members = [features + features[:1] * (most - len(features)) for features in own]
    spec = {
        "model": packed(release.text, schema, schema.features, reasons=True),
        "width": len(schema.features),
        "calibration": release.calibration,
        "acted_on": [tier.level is not None for tier in settings.tiers.tiers],
        "group": group,
        "members": members,
        "measures": measures,
        "causes": [causes.get(measure) for measure in measures],
        "reasons": settings.causes.reasons,
        "segments": segments,
        "usual": usual,
    }
    return spec, by


def _previous_tier(scores: DataFrame) -> DataFrame:
    return scores.groupBy("user_id").agg(F.max_by("tier", "day").alias("previous_tier"))


def _contract(scored: DataFrame, previous: DataFrame, day: date, version: str) -> DataFrame:
    # one row a user on both sides: the join keeps the grain
    return scored.join(previous, "user_id", "left").select(
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
        "features_hash",
    )
