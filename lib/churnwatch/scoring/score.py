"""The job score_users: the release as of O on every eligible user of the day."""

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
from pyspark import cloudpickle
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity import only_people
from churnwatch.churn import eligible_users
from churnwatch.core import JobFailed, Refused, Skipped, only_days
from churnwatch.model import last_release
from churnwatch.model.reference import usual_matrix
from churnwatch.model.schema import Schema
from churnwatch.model.shipped import mapped, packed
from churnwatch.scoring import worker
from churnwatch.scoring.cuts import EVERYBODY, Ranks, may_be_acted_on, ranked, tier_of, within_groups
from churnwatch.scoring.in_force import tiers_in_force, user_group
from churnwatch.settings import Settings, Tier
from churnwatch.settings.meanings import feature_meanings
from churnwatch.tables import tables

LOG = logging.getLogger(__name__)
cloudpickle.register_pickle_by_value(worker)

COUNTED = "cell long, users long"
STAGED = (
    "user_id string, value_cents long, user_group string, margin double, probability double, cell long, "
    "reasons array<struct<measure: string, value: double, contribution: double, cause: string, usual: double>>, "
    "features_hash long"
)


def staged(inputs: Mapping[str, DataFrame], days: Sequence[date], models: Any, settings: Settings) -> dict[str, DataFrame]:
    """What the release as of O says of each eligible user, as ``STAGED`` with ``model_version``: one pass over the features.

    Reasons are contributions by measure: exact Shapley values (``model.shap``). Those of forests too deep for tables follow
    the paths of the trees (Saabas), and are exact for users in tiers with a level alone, whom people act on.
    Raises Skipped without a release as of O, Refused when features that it reads are gone or mean something else by now.
    """
    (day,) = days
    row = last_release(inputs["model_runs"], day, settings)
    if row is None:
        raise Skipped(f"no release as of {day}: train one with `churnwatch run train_model --day {day}`")
    release = models.load(row["model_version"], row["mlflow_run_id"], row["artifacts_hash"])
    _refuse_other_features(Schema.from_json(release.schema), inputs["features"], release.version, day, settings)
    people = only_eligible(only_days(inputs["features"], days), inputs, days, settings)
    tiers = tiers_in_force(inputs.get("thresholds"), settings)
    found = {"scored": staged_by(release, people, tiers, settings)}
    if settings.model.challenger:
        found["challenged"] = _challenged(inputs["model_runs"], people, tiers, day, models, settings)
    return found


def score(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> dict[str, DataFrame]:
    """One row of user_scores per eligible user of O, and of shadow_scores where a challenger is configured.

    ``inputs``: of ``staged``, ``scored`` and ``challenged``, and the tiers of the days before.
    """
    (day,) = days
    contract, tiers = tables(settings), tiers_in_force(inputs.get("thresholds"), settings)
    # one row a user on both sides: the join keeps the grain
    known = inputs["scored"].join(_previous_tier(inputs["scores"]), "user_id", "left")
    at_risk = F.round(F.col("probability") * F.col("value_cents")).cast("bigint")
    made = ranked_users(known, tiers, settings).withColumns({"day": F.lit(day), "value_at_risk_cents": at_risk})
    found = {"user_scores": made.select(*contract.user_scores.schema.names)}
    if "challenged" in inputs:
        strangers = inputs["challenged"].withColumn("previous_tier", F.lit(None).cast("string"))
        shadow = ranked_users(strangers, tiers, settings).withColumns({"day": F.lit(day)})
        found["shadow_scores"] = shadow.select(*contract.shadow_scores.schema.names)
    return found


def staged_by(release: Any, people: DataFrame, tiers: Sequence[Tier], settings: Settings) -> DataFrame:
    """One row per row of ``people`` (of user_features): what ``release`` says of them, as ``STAGED`` with ``model_version``."""
    schema = Schema.from_json(release.schema)
    spec, by = _spec(release, schema, people.columns, settings)
    users = people.select(
        "user_id",
        _value_cents(settings).alias("value_cents"),
        F.xxhash64("user_id").alias("user_hash"),
        *(user_group(settings) or [F.lit(EVERYBODY).alias("user_group")]),
        *([F.col(by).alias("segment")] if by else []),
        # a column each: an array would be made and taken apart again, value by value
        *(F.col(name).alias(f"{worker.FEATURE}{n}") for n, name in enumerate(schema.features)),
    )
    if "pieces" in spec["model"] and spec["model"]["pieces"] is None:
        spec["exactly"] = may_be_acted_on(settings.tiers, tiers, _ranks_before(users, spec))
    return mapped(users, worker.scored, spec, STAGED).withColumn("model_version", F.lit(release.version))


def ranked_users(scored: DataFrame, tiers: Sequence[Tier], settings: Settings) -> DataFrame:
    """Adds ``percentile`` and ``tier``, by counts of users by group and cell: a million cells, whatever the base."""
    table = scored.groupBy("user_group", "cell").agg(F.count("*").alias("users")).toArrow()
    cells, users = table.column("cell").to_numpy(), table.column("users").to_numpy()
    ranks = ranked(cells, users)
    by_cell = pa.table({"cell": pa.array(ranks.cells, pa.int64()), "percentile": pa.array(ranks.percentile, pa.float64())})
    # Arrow without rows makes no frame
    session, nothing = scored.sparkSession, "cell long, percentile double"
    percentiles = session.createDataFrame(by_cell) if by_cell.num_rows else session.createDataFrame([], nothing)
    # one row a cell: the join keeps the grain
    with_percentile = scored.join(F.broadcast(percentiles), "cell")
    groups = within_groups(table.column("user_group").to_pylist(), cells, users)
    return with_percentile.withColumn("tier", tier_of(settings.tiers, tiers, groups))


def _ranks_before(users: DataFrame, spec: Mapping[str, Any]) -> Ranks:
    """Ranks of users who are not scored yet: a pass of its own."""
    counts = mapped(users, worker.counted, {"model": spec["model"], "width": spec["width"]}, COUNTED)
    table = counts.groupBy("cell").agg(F.sum("users").alias("users")).toArrow()
    return ranked(table.column("cell").to_numpy(), table.column("users").to_numpy())


def _challenged(
    model_runs: DataFrame, people: DataFrame, tiers: Sequence[Tier], day: date, models: Any, settings: Settings
) -> DataFrame:
    """What the configured challenger says of the same people.

    The challenger never stops the release: where it cannot be applied, a warning says why and no row is written.
    """
    run = settings.model.challenger or ""
    attempts = model_runs.where(F.col("mlflow_run_id") == run)
    # of several algorithms the one that went to the gate: its artifacts are the run's
    row = attempts.orderBy(F.col("artifacts_hash").desc_nulls_last(), "algorithm").first()
    why = f"model_runs knows no attempt with this mlflow_run_id as of {day}: correct model.challenger or leave it out"
    if row is not None:
        version = str(row["model_version"] or run)
        try:
            release = models.load(version, run, row["artifacts_hash"])
            _refuse_other_features(Schema.from_json(release.schema), people, version, day, settings)
            return staged_by(release, people, tiers, settings).withColumn("model_version", F.lit(f"{version} (shadow)"))
        except (JobFailed, Refused) as error:
            why = str(error)
    LOG.warning("the challenger %s was not applied: %s", run, why)
    return people.sparkSession.createDataFrame([], f"{STAGED}, model_version string")


def only_eligible(features: DataFrame, inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> DataFrame:
    """Keeps users who have not churned yet, as labels of the primary definition know them; ``inputs`` as ``eligible_users``
    takes them. What the definition does not count (a bill, a visit) makes nobody eligible, and a bot
    is nobody: percentiles and thresholds are those of people."""
    eligible = eligible_users(inputs, days, settings, settings.churn.primary)
    return only_people(features).join(eligible.select("day", "user_id"), ["day", "user_id"], "left_semi")


def _refuse_other_features(schema: Schema, features: DataFrame, version: str, day: date, settings: Settings) -> None:
    """Refuses features that are gone, and those that configuration makes otherwise than when the model was trained; a release
    of before meanings were kept is held to the names alone, and the log says so."""
    anew = f"train one on the features of today with `churnwatch run train_model --day {day}`"
    if gone := [name for name in schema.features if name not in features.columns]:
        raise Refused(
            f"model version {version} reads {len(gone)} features that user_features lacks ({', '.join(gone[:3])}): {anew}"
        )
    if not schema.meanings:
        LOG.info("model version %s does not say what its features meant when it was trained: names alone were compared", version)
    if other := schema.redefined(feature_meanings(settings)):
        (name, (then, now)), more = next(iter(other.items())), len(other) - 1
        raise Refused(
            f"model version {version} learnt {name} as `{then}`, by measures.yaml it is `{now}` today"
            f"{f' (and {more} more features are others)' if more else ''}; nothing was scored. Take the change back or give what "
            f"is new a name of its own; or build the history again (build_activity and build_features with --from and --to) and "
            f"{anew}"
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
        "exactly": None,
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
