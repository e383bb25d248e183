"""Rules of rules.yaml as columns: null where a rule does not hold, else what the warning says."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from churnwatch.alerts.evidence import filled
from churnwatch.settings import Rule, Settings

WARNING = (
    StructType()
    .add("rule_id", "string")
    .add("level", "string")
    .add("cause", "string")
    .add("evidence", "string")
    .add("owner", "string")
    .add("within_days", "integer")
    .add("cool_down_days", "integer")
    .add("rose", "boolean")
)
# column of the user attributes -> not an attribute of its own
OWN_FIELDS = ("user_id", "registered_on", "changed_at")


def warning(
    settings: Settings,
    rule_id: str,
    level: str | Column,
    cause: Column,
    evidence: Column,
    cool_down_days: int,
    owner: str | None = None,
    rose: Column | None = None,
) -> Column:
    """A warning as a struct; owner and days to act are those of the level unless the rule names an owner."""
    levels = settings.tiers.levels
    chosen = F.lit(level) if isinstance(level, str) else level
    return F.struct(
        F.lit(rule_id).alias("rule_id"),
        chosen.alias("level"),
        cause.cast("string").alias("cause"),
        evidence.alias("evidence"),
        (F.lit(owner) if owner else by_level({each.name: each.owner for each in levels}, chosen)).alias("owner"),
        by_level({each.name: each.within_days for each in levels}, chosen).alias("within_days"),
        F.lit(cool_down_days).alias("cool_down_days"),
        (F.lit(False) if rose is None else rose).alias("rose"),
    )


def by_level(values: Mapping[str, object], key: Column) -> Column:
    """The value of ``values`` for the row's ``key``; null where there is none."""
    chosen = F.lit(None)
    for name, value in values.items():
        chosen = F.when(key == name, F.lit(value)).otherwise(chosen)
    return chosen


def matched(rule: Rule, schema: StructType, settings: Settings) -> Column:
    """The rule's warning where its expression is true; null where it is false or unknown."""
    return F.when(
        F.expr(rule.when),
        warning(
            settings,
            rule.id,
            rule.level,
            F.lit(rule.cause),
            filled(rule.evidence or rule.title, schema),
            rule.cool_down_days,
            rule.owner,
        ),
    )


def per_warning(frame: DataFrame, subject: tuple[str, ...], warnings: list[Column]) -> DataFrame:
    """One row a warning that is not null: the subject's columns and the warning's; one pass over ``frame``."""
    typed = F.array(F.lit(None).cast(WARNING), *warnings)  # the null gives the array its type where there is no rule
    return frame.select(*subject, F.explode(F.array_compact(typed)).alias("warning")).select(*subject, "warning.*")


def with_scores_and_attributes(features: DataFrame, scores: DataFrame, users: DataFrame, settings: Settings) -> DataFrame:
    """Adds the day's scores and the users' attributes to features: null where there are none; same grain.

    All three frames hold one row a user. Where names meet, features win over scores, and scores over attributes.
    """
    source = settings.sources.users
    taken = {*features.columns, *scores.columns}
    attributes = [name for name in (source.map if source else ()) if name not in (*OWN_FIELDS, *taken)]
    known = users.select(
        "user_id",
        "registered_on",
        "changed_at",
        *(F.col("attributes")[F.lit(name)].alias(name) for name in attributes),
    )
    fresh = [name for name in scores.columns if name not in features.columns]
    return (
        features.join(scores.select("user_id", *fresh), "user_id", "left").join(  # scores: one row a user
            known, "user_id", "left"
        )  # users: one row a user
    )
