"""Evaluate the conditions of rules, and join the attributes that they name."""

from collections.abc import Mapping, Sequence

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType

from churnwatch.core import ConfigError
from churnwatch.settings import Rule, Settings
from churnwatch.settings.rule_columns import base_column, base_indicators

# columns of the table users, so not in its map of attributes
OWN_FIELDS = ("user_id", "registered_on", "changed_at")


def check_conditions(frame: DataFrame, rules: Sequence[Rule]) -> None:
    """Raise ConfigError with the rules whose expression Spark rejects for ``frame`` or whose type is not boolean.

    Only Spark can find these faults, so loading the configuration does not. Looks at types, reads no rows.
    """
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


def attributes(users: DataFrame, names: Sequence[str]) -> DataFrame:
    """Return the users' attributes ``names`` as columns, one row per user."""
    own = [F.col(name) if name in OWN_FIELDS else F.col("attributes")[F.lit(name)].alias(name) for name in names]
    return users.select("user_id", *own)


def with_attributes(people: DataFrame, users: DataFrame, names: Sequence[str]) -> DataFrame:
    """Add the users' attributes ``names`` that ``people`` lacks, null for an unknown user; one row per user on both sides."""
    fresh = [name for name in names if name not in people.columns]
    return people.join(attributes(users, fresh), "user_id", "left") if fresh else people


def with_indicators(people: DataFrame, newest: Mapping[str, float | None], settings: Settings) -> DataFrame:
    """Add ``<indicator>_base`` for the indicators that rules of users name: ``newest`` values of all users, by indicator."""
    names = base_indicators(settings)
    return people.withColumns({base_column(name): F.lit(newest.get(name)).cast("double") for name in names}) if names else people
