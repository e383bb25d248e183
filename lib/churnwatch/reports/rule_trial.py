"""A trial of rules: how many users each would warn, how far two rules overlap, and how precise each was on a judged day."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.alerts.model_warnings import has_warning_tier
from churnwatch.alerts.rules import holds
from churnwatch.core.intervals import wilson_interval
from churnwatch.settings import Rule, Settings
from churnwatch.settings.terms import ALL, MODEL

EVERYBODY = ""  # id that stands for all users, beside those of the rules


@dataclass(frozen=True)
class RuleOverlap:
    """Users for whom both ``rule_id`` and ``other`` fire: users of one rule where they are equal, all users where both are ''."""

    rule_id: str
    other: str
    users: int


@dataclass(frozen=True)
class RulePrecision:
    """Effective number of users with a known outcome for whom a rule fired, the share that churned, and its 95 % interval."""

    users: float
    precision: float
    low: float
    high: float


def precision_with_interval(hits: float, users: float) -> RulePrecision | None:
    """``hits`` of ``users`` as a share with its interval; None without users."""
    return RulePrecision(users, hits / users, *wilson_interval(hits, users)) if users else None


def count_overlaps(people: DataFrame, rules: Sequence[Rule], settings: Settings) -> list[RuleOverlap]:
    """Count the users for whom each rule, the model, and each two of them fire, in one pass over ``people``.

    ``people``: features with scores and attributes, one row a user. Collects one row a pair.
    """
    spoken = _rules_of_user(rules, settings)
    pairs = F.flatten(
        F.transform(
            "spoken",
            lambda one: F.transform(
                F.filter("spoken", lambda other: other >= one), lambda other: F.struct(one.alias("rule_id"), other.alias("other"))
            ),
        )
    )
    counted = people.select(spoken.alias("spoken")).select(F.explode(pairs).alias("pair")).groupBy("pair.rule_id", "pair.other")
    rows = counted.agg(F.count("*").alias("users")).collect()
    return sorted((RuleOverlap(**row.asDict()) for row in rows), key=lambda a: (-a.users, a.rule_id, a.other))


def replay_rules(people: DataFrame, known: DataFrame, rules: Sequence[Rule], settings: Settings) -> dict[str, RulePrecision]:
    """Precision of each rule on a judged day; under '' the churn rate of all users.

    Treated users are left out, and held-out users stand for them. ``known``: ``per_labelled_user``. Collects one row per rule.
    """
    weight, churned = F.col("weight"), F.col("churned") == 1
    rows = (
        people.join(known.where(~F.col("treated")), "user_id")  # known: one row a user
        .select("weight", "churned", F.explode(_rules_of_user(rules, settings)).alias("rule_id"))
        .groupBy("rule_id")
        .agg(
            F.sum("weight").alias("total"),
            F.sum(weight * weight).alias("squares"),
            F.coalesce(F.sum(F.when(churned, weight)), F.lit(0.0)).alias("found"),
        )
        .collect()
    )
    made = {}
    for row in rows:
        effective = row["total"] ** 2 / row["squares"]
        if judged := precision_with_interval(row["found"] / row["total"] * effective, effective):
            made[row["rule_id"]] = judged
    return made


def _rules_of_user(rules: Sequence[Rule], settings: Settings) -> Column:
    """Ids of the rules that fire for the row, and of the model where it warns, with the id that stands for all users."""
    found = [F.when(holds(rule), F.lit(rule.id)) for rule in rules]
    return F.array_compact(F.array(F.lit(EVERYBODY), *found, F.when(has_warning_tier(settings), F.lit(MODEL))))


def stored_precision(alert_quality: DataFrame) -> dict[str, RulePrecision]:
    """Precision of each rule over all judged days of ``alert_quality``; collects one row a rule."""
    rows = (
        # rows written before ``by`` existed are of rules, without weights
        alert_quality.where(f"level = '{ALL}' AND coalesce(by, 'rule') = 'rule' AND precision IS NOT NULL")
        .withColumn("users", F.coalesce("effective", F.col("matured").cast("double")))
        .groupBy("rule_id")
        .agg(F.sum("users").alias("users"), F.sum(F.col("precision") * F.col("users")).alias("hits"))
        .collect()
    )
    return {row["rule_id"]: judged for row in rows if (judged := precision_with_interval(row["hits"], row["users"]))}
