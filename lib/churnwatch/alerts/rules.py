"""Turn the rules of rules.yaml into columns: the rule's signal where the rule is true, else null."""

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from churnwatch.alerts.evidence import fill_template, named_owner
from churnwatch.scoring.rule_conditions import OWN_FIELDS, attributes
from churnwatch.settings import Rule, Settings

SIGNAL = (
    StructType()
    .add("rank", "integer")  # of the level, from 0 for the mildest
    .add(
        "before", "integer"
    )  # decides between equal ranks: 1 for the model, then 0, -1, ... for rules in the order of rules.yaml
    .add("rule_id", "string")
    .add("cause", "string")
    .add("evidence", "string")
    .add("owner", "string")  # null: the level's
    .add("cool_down_days", "integer")
)


def signal(
    rule_id: str, rank: Column, before: int, cause: Column, evidence: Column, owner: Column, cool_down_days: int
) -> Column:
    """Return a struct of type SIGNAL: what a rule, or the model, finds in a row."""
    return F.struct(
        rank.cast("int").alias("rank"),
        F.lit(before).alias("before"),
        F.lit(rule_id).alias("rule_id"),
        cause.cast("string").alias("cause"),
        evidence.alias("evidence"),
        owner.cast("string").alias("owner"),
        F.lit(cool_down_days).alias("cool_down_days"),
    )


def value_for(values: Mapping[str, object], key: Column) -> Column:
    """Return the value of ``values`` for the row's ``key``; null if there is none."""
    chosen = F.lit(None)
    for name, value in values.items():
        chosen = F.when(key == name, F.lit(value)).otherwise(chosen)
    return chosen


def holds(rule: Rule) -> Column:
    """Return whether the rule's expression is true for the row; false if it is null."""
    return F.coalesce(F.expr(rule.when), F.lit(False))


def rule_signals(rules: Sequence[Rule], schema: StructType, settings: Settings) -> list[Column]:
    """Return each rule's signal where its expression is true; null where it is false or null."""
    ranks = [level.name for level in settings.tiers.levels]
    return [
        F.when(
            F.expr(rule.when),
            signal(
                rule.id,
                F.lit(ranks.index(rule.level)),
                -settings.rules.rules.index(rule),
                F.lit(rule.cause),
                fill_template(rule.evidence or rule.title, schema),
                named_owner(rule.owner, schema),
                rule.cool_down_days,
            ),
        )
        for rule in rules
    ]


def only_matching(frame: DataFrame, rules: Sequence[Rule]) -> DataFrame:
    """Keep rows for which any of ``rules`` is true, so that texts are made for few rows."""
    return frame.where(reduce(Column.__or__, map(holds, rules), F.lit(False)))


def present_signals(found: Sequence[Column]) -> Column:
    """Return the signals of ``found`` that are not null, as an array of SIGNAL."""
    return F.array_compact(F.array(F.lit(None).cast(SIGNAL), *found))  # the null gives an empty array its type


def with_scores_and_attributes(features: DataFrame, scores: DataFrame, users: DataFrame, settings: Settings) -> DataFrame:
    """Add the day's scores and the users' attributes to features, null if a user has none; same grain.

    All three frames have one row per user. If names collide, features win over scores, and scores over attributes.
    """
    source = settings.sources.users
    taken = {*features.columns, *scores.columns}
    mapped = [*OWN_FIELDS[1:], *(source.map if source else ())]
    names = [name for name in dict.fromkeys(mapped) if name not in taken]
    fresh = [name for name in scores.columns if name not in features.columns]
    # scores and users: one row per user
    return features.join(scores.select("user_id", *fresh), "user_id", "left").join(attributes(users, names), "user_id", "left")
