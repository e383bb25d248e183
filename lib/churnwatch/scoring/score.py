"""The job score_users: apply the newest release to every eligible user of as-of day O."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import cloudpickle
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity import only_people
from churnwatch.churn import eligible_users
from churnwatch.core import JobFailed, Refused, Skipped, only_days
from churnwatch.model import last_release
from churnwatch.model.reference import usual_matrix
from churnwatch.model.schema import Schema, feature_columns
from churnwatch.model.shipping import map_batches, worker_model_of
from churnwatch.model.worker_model import DeepTreeModel, WorkerModel
from churnwatch.scoring import worker, worker_causes
from churnwatch.scoring.causes import cause_finder, rule_columns, symptom_columns, with_rule_inputs
from churnwatch.scoring.cuts import EVERYBODY, Ranks, exact_bounds, rank_cells, rank_within_groups, tier_of
from churnwatch.scoring.in_force import tiers_in_force, user_group
from churnwatch.scoring.usual_values import feature_spread, usual_features
from churnwatch.settings import Settings, Tier
from churnwatch.settings.attributes import source_column
from churnwatch.settings.meanings import feature_meanings
from churnwatch.tables import tables

LOG = logging.getLogger(__name__)
for module in (worker, worker_causes):
    cloudpickle.register_pickle_by_value(module)

CELLS = "cell long, users long"
STAGED = (
    "user_id string, value_cents long, user_group string, margin double, probability double, cell long, "
    "reasons array<struct<measure: string, value: double, contribution: double, cause: string, usual: double, feature: string>>, "
    "cause string, cause_rule string, causes map<string, double>, "
    "evidence array<struct<measure: string, days: int, value: double, usual: double>>, "
    "improvement struct<measure: string, feature: string, value: double, usual: double, probability: double>, "
    "features_hash long"
)


def stage_scores(inputs: Mapping[str, DataFrame], days: Sequence[date], models: Any, settings: Settings) -> dict[str, DataFrame]:
    """Score every eligible user with the newest model released on or before day O, in one pass over the features.

    ``scored`` and, where a challenger is configured, ``challenged``: one row a user, schema STAGED and ``model_version``.
    Reasons are exact Shapley values whose players are measures (``model.shap``). For trees too deep for tables they are sums of
    exact values by feature for users in tiers with a level, and follow the paths of the trees (Saabas) for the others. The cause
    is a question of its own, see ``worker_causes.chosen_causes``.
    Raises Skipped without a release as of O, Refused when features that it reads are gone or have another meaning today.
    """
    (day,) = days
    row = last_release(inputs["model_runs"], day, settings)
    if row is None:
        raise Skipped(f"no release as of {day}: train one with `churnwatch run train_model --day {day}`")
    release = models.load(row["model_version"], row["mlflow_run_id"], row["artifacts_hash"])
    _refuse_other_features(Schema.from_json(release.schema), inputs["features"], release.version, day, settings)
    people = only_eligible(only_days(inputs["features"], days), inputs, days, settings)
    people = with_rule_inputs(people, inputs, settings)
    tiers = tiers_in_force(inputs.get("thresholds"), settings)
    found = {"scored": apply_release(release, people, tiers, day, settings)}
    if settings.model.challenger:
        found["challenged"] = _challenged(inputs["model_runs"], people, tiers, day, models, settings)
    return found


def score_users(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> dict[str, DataFrame]:
    """One row of user_scores per eligible user of O, and of shadow_scores where a challenger is configured.

    ``inputs``: ``scored`` and ``challenged`` as ``stage_scores`` made them, ``scores`` of the days before.
    """
    (day,) = days
    contract, tiers = tables(settings), tiers_in_force(inputs.get("thresholds"), settings)
    # one row a user on both sides: the join keeps the grain
    known = inputs["scored"].join(_previous_tier(inputs["scores"]), "user_id", "left")
    at_risk = F.round(F.col("probability") * F.col("value_cents")).cast("bigint")
    made = with_tier(known, tiers, settings).withColumns({"day": F.lit(day), "value_at_risk_cents": at_risk})
    found = {"user_scores": made.select(*contract.user_scores.schema.names)}
    if "challenged" in inputs:
        shadow = inputs["challenged"].withColumn("previous_tier", F.lit(None).cast("string"))
        shadow = with_tier(shadow, tiers, settings).withColumns({"day": F.lit(day)})
        found["shadow_scores"] = shadow.select(*contract.shadow_scores.schema.names)
    return found


def apply_release(release: Any, people: DataFrame, tiers: Sequence[Tier], day: date, settings: Settings) -> DataFrame:
    """Score the rows of ``people`` (columns of user_features, and what ``with_rule_inputs`` adds) with ``release``: schema STAGED
    and ``model_version``."""
    schema = Schema.from_json(release.schema)
    own = feature_columns(schema)
    numbers = list(dict.fromkeys([*schema.features, *symptom_columns(release.reference, settings)]))
    scorer, segment = _scorer(release, schema, numbers, people.columns, day, settings)
    users = people.select(
        "user_id",
        _value_cents(settings).alias("value_cents"),
        F.xxhash64("user_id").alias("user_hash"),
        *(user_group(settings) or [F.lit(EVERYBODY).alias("user_group")]),
        *([F.col(segment).alias("segment")] if segment else []),
        # one column a feature: an array would be built and taken apart again, value by value
        *(own.get(name, F.col(name)).alias(f"{worker.FEATURE}{n}") for n, name in enumerate(numbers)),
        *rule_columns(people, day, settings),
    )
    if isinstance(scorer.model, DeepTreeModel):
        scorer = replace(scorer, exact=exact_bounds(settings.tiers, tiers, _ranks_before(users, scorer.model)))
    return map_batches(users, worker.score_batches, scorer, STAGED).withColumn("model_version", F.lit(release.version))


def with_tier(scored: DataFrame, tiers: Sequence[Tier], settings: Settings) -> DataFrame:
    """Add ``percentile`` and ``tier``, from counts of users by group and cell: at most a million cells, whatever the base."""
    table = scored.groupBy("user_group", "cell").agg(F.count("*").alias("users")).toArrow()
    cells, users = table.column("cell").to_numpy(), table.column("users").to_numpy()
    ranks = rank_cells(cells, users)
    by_cell = pa.table({"cell": pa.array(ranks.cells, pa.int64()), "percentile": pa.array(ranks.percentile, pa.float64())})
    # Spark makes no frame of an Arrow table without rows
    session, empty = scored.sparkSession, "cell long, percentile double"
    percentiles = session.createDataFrame(by_cell) if by_cell.num_rows else session.createDataFrame([], empty)
    # one row a cell: the join keeps the grain
    with_percentile = scored.join(F.broadcast(percentiles), "cell")
    groups = rank_within_groups(table.column("user_group").to_pylist(), cells, users)
    return with_percentile.withColumn("tier", tier_of(settings.tiers, tiers, groups))


def _ranks_before(users: DataFrame, model: WorkerModel) -> Ranks:
    """Ranks of users before they are scored, in a pass of its own."""
    counts = map_batches(users, worker.count_cells, model, CELLS)
    table = counts.groupBy("cell").agg(F.sum("users").alias("users")).toArrow()
    return rank_cells(table.column("cell").to_numpy(), table.column("users").to_numpy())


def _challenged(
    model_runs: DataFrame, people: DataFrame, tiers: Sequence[Tier], day: date, models: Any, settings: Settings
) -> DataFrame:
    """Score the same users with the configured challenger.

    A challenger that cannot be applied does not fail the job: a warning says why, and no row is written.
    """
    run = settings.model.challenger or ""
    attempts = model_runs.where(F.col("mlflow_run_id") == run)
    # of several algorithms the one that went to the gate: the run's artifacts are its own
    row = attempts.orderBy(F.col("artifacts_hash").desc_nulls_last(), "algorithm").first()
    why = f"model_runs knows no attempt with this mlflow_run_id as of {day}: correct model.challenger or leave it out"
    if row is not None:
        version = str(row["model_version"] or run)
        try:
            release = models.load(version, run, row["artifacts_hash"])
            _refuse_other_features(Schema.from_json(release.schema), people, version, day, settings)
            return apply_release(release, people, tiers, day, settings).withColumn("model_version", F.lit(f"{version} (shadow)"))
        except (JobFailed, Refused) as error:
            why = str(error)
    LOG.warning("the challenger %s was not applied: %s", run, why)
    return people.sparkSession.createDataFrame([], f"{STAGED}, model_version string")


def only_eligible(features: DataFrame, inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> DataFrame:
    """Keep users who are eligible for the primary definition, without bots; ``inputs`` as ``eligible_users`` takes them.

    An event that the definition does not count (a bill, a visit) makes no user eligible. Bots are left out, so that percentiles
    and thresholds describe people.
    """
    eligible = eligible_users(inputs, days, settings, settings.churn.primary)
    return only_people(features).join(eligible.select("day", "user_id"), ["day", "user_id"], "left_semi")


def _refuse_other_features(schema: Schema, features: DataFrame, version: str, day: date, settings: Settings) -> None:
    """Raise Refused when features are gone, or are configured with another meaning than when the model was trained.

    Models trained before feature definitions were stored are checked by feature name only (logged).
    """
    anew = f"train a model on today's features with `churnwatch run train_model --day {day}`"
    if gone := [name for name in schema.features if source_column(name) not in features.columns]:
        raise Refused(
            f"model version {version} reads {len(gone)} features that user_features lacks ({', '.join(gone[:3])}): {anew}"
        )
    if not schema.meanings:
        LOG.info("model version %s has no stored feature definitions: its features were checked by name only", version)
    if other := schema.redefined(feature_meanings(settings)):
        (name, (then, now)), more = next(iter(other.items())), len(other) - 1
        raise Refused(
            f"model version {version} was trained with {name} = `{then}`, measures.yaml now defines it as `{now}`"
            f"{f' ({more} more features changed)' if more else ''}; nothing was scored. Hint: undo the change, or give the new "
            f"measure a new name; or build the history again (build_activity and build_features with --from and --to) and {anew}"
        )


def _value_cents(settings: Settings) -> Column:
    return F.coalesce(F.expr(f"try_cast(round({settings.model.value}) AS bigint)"), F.lit(0).cast("bigint"))


def _scorer(
    release: Any, schema: Schema, numbers: Sequence[str], columns: Sequence[str], day: date, settings: Settings
) -> tuple[worker.Scorer, str | None]:
    """What workers apply, and the segment column by whose values usual values differ (None without one). ``numbers``: the numeric
    columns of the batches, the model's features first."""
    segment, values, _ = usual_matrix(release.reference, schema.features)
    usual = usual_features(release.reference, schema.features)
    model = worker_model_of(release.text, schema, schema.features, reasons=True)
    measures = _measures(schema, model, release.reference, settings)
    place = {name: n for n, name in enumerate(numbers)}
    causes = cause_finder(release.reference, measures.names, place, day, settings)
    if segment not in columns:
        # the segment is no longer configured: the usual values of all users remain
        segment, values, usual = None, [], usual[-1:]
        of_all = [replace(one, rates=[rates[-1:] for rates in one.rates]) for one in causes.symptoms]
        causes = replace(causes, symptoms=of_all)
    scorer = worker.Scorer(
        model=model,
        columns=len(numbers),
        calibration=release.calibration,
        measures=measures,
        causes=causes,
        reasons=settings.causes.reasons,
        segments=values,
        usual=usual,
    )
    return scorer, segment


def _measures(schema: Schema, model: WorkerModel, reference: Any, settings: Settings) -> worker.Measures:
    names, used = list(dict.fromkeys(schema.measures)), model.used_features()
    causes = {measure: cause for cause, what in settings.causes.causes.items() for measure in what.measures}
    own: list[list[int]] = [[] for _ in names]
    for feature, measure in enumerate(schema.measure_numbers):
        own[measure].append(feature)
    # of a measure that the model does not use any feature may stand: its contribution is 0
    own = [[feature for feature in features if feature in used] or features[:1] for features in own]
    most = max(map(len, own), default=1)
    # measures with fewer features repeat their first one, so that workers index one matrix
    members = np.array([features + features[:1] * (most - len(features)) for features in own], dtype=np.int64)
    configured = settings.measures.measures
    actionable = [number for number, name in enumerate(names) if name in configured and configured[name].actionable]
    spread = feature_spread(reference, schema.features)
    return worker.Measures(names, [causes.get(name) for name in names], members, actionable, schema.features, spread)


def _previous_tier(scores: DataFrame) -> DataFrame:
    return scores.groupBy("user_id").agg(F.max_by("tier", "day").alias("previous_tier"))
