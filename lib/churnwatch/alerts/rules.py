"""Rules of rules.yaml as columns: null where a rule does not hold, else its signal: what it says of the row."""

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, StructType

from churnwatch.alerts.evidence import fill_template, named_owner
from churnwatch.core import ConfigError
from churnwatch.settings import Rule, Settings

SIGNAL = (
    StructType()
    .add("rank", "integer")  # of the level, from 0 for the mildest
    .add("before", "integer")  # decides between equal ranks: the model's 1, then rules as they stand, falling
    .add("rule_id", "string")
    .add("cause", "string")
    .add("evidence", "string")
    .add("owner", "string")  # null: the level's
    .add("cool_down_days", "integer")
)
# column of the user attributes -> not an attribute of its own
OWN_FIELDS = ("user_id", "registered_on", "changed_at")


def signal(
    rule_id: str, rank: Column, before: int, cause: Column, evidence: Column, owner: Column, cool_down_days: int
) -> Column:
    """What a rule or the model says of a row, as a struct of type SIGNAL."""
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
    """The value of ``values`` for the row's ``key``; null where there is none."""
    chosen = F.lit(None)
    for name, value in values.items():
        chosen = F.when(key == name, F.lit(value)).otherwise(chosen)
    return chosen


def holds(rule: Rule) -> Column:
    """Whether the rule's expression is true of the row; what is unknown is not."""
    return F.coalesce(F.expr(rule.when), F.lit(False))


def check_conditions(frame: DataFrame, rules: Sequence[Rule]) -> None:
    """Raises ConfigError that names the rules whose expression Spark does not take over ``frame``, or finds no condition:
    what the configuration could not tell before Spark was there. Looks at types alone."""
    try:
        found = frame.select(*(F.expr(rule.when).alias(rule.id) for rule in rules)).schema
        wrong = {f.name: f"is of type {f.dataType.simpleString()}" for f in found if not isinstance(f.dataType, BooleanType)}
    except AnalysisException:
        wrong = {rule.id: text for rule in rules if (text := _refused(frame, rule))}
    if wrong:
        text = "\n".join(f"  {rule.id}: {wrong[rule.id]}: {rule.when!r}" for rule in rules if rule.id in wrong)
        raise ConfigError(f"{len(wrong)} rule(s) of rules.yaml are no conditions:\n{text}")


def _refused(frame: DataFrame, rule: Rule) -> str:
    try:
        frame.select(F.expr(rule.when))
    except AnalysisException as error:
        return str(error).splitlines()[0]
    return ""


def rule_signals(rules: Sequence[Rule], schema: StructType, settings: Settings) -> list[Column]:
    """Each rule's signal where its expression is true; null where it is false or unknown."""
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
    """Keeps rows of which a rule is true: the texts of a warning are then made for few rows, not for all."""
    return frame.where(reduce(Column.__or__, map(holds, rules), F.lit(False)))


def present_signals(found: Sequence[Column]) -> Column:
    """Those of ``found`` that are not null, as an array of SIGNAL."""
    return F.array_compact(F.array(F.lit(None).cast(SIGNAL), *found))  # the null gives the array its type where nothing is found


def with_scores_and_attributes(features: DataFrame, scores: DataFrame, users: DataFrame, settings: Settings) -> DataFrame:
    """Adds the day's scores and the users' attributes to features: null where there are none; same grain.

    All three frames hold one row a user. Where names meet, features win over scores, and scores over attributes.
    """
    source = settings.sources.users
    taken = {*features.columns, *scores.columns}
    mapped = [*OWN_FIELDS[1:], *(source.map if source else ())]
    names = [name for name in dict.fromkeys(mapped) if name not in taken]
    fresh = [name for name in scores.columns if name not in features.columns]
    # scores and users: one row a user
    return features.join(scores.select("user_id", *fresh), "user_id", "left").join(attributes(users, names), "user_id", "left")


def attributes(users: DataFrame, names: Sequence[str]) -> DataFrame:
    """The users' attributes ``names`` as columns, one row a user."""
    own = [F.col(name) if name in OWN_FIELDS else F.col("attributes")[F.lit(name)].alias(name) for name in names]
    return users.select("user_id", *own)
