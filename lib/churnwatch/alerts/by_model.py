"""The model's warnings: users whose risk tier asks for a level."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType

from churnwatch.alerts.evidence import UNKNOWN, shortly
from churnwatch.alerts.rules import by_level, warning
from churnwatch.settings import Settings

RULE_ID = "model"
QUIET_DAYS = 7
TOP_REASONS = 3
REST = ("(other)", "(base)")  # parts of the margin that are no measure's


def model_warning(settings: Settings) -> Column:
    """The model's warning where the row's tier has a level, else null (no score: null).

    It breaks the quiet days where the tier's level is above the previous tier's. The cause is that of the strongest
    reason that pushes the risk up and has one; the evidence names the strongest reasons with their values.
    """
    levels = {tier.name: tier.level for tier in settings.tiers.tiers if tier.level}
    if not levels:
        return F.lit(None)
    level = by_level(levels, F.col("tier"))
    order = [one.name for one in settings.tiers.levels]
    rank = {tier: order.index(name) + 1 for tier, name in levels.items()}
    rose = by_level(rank, F.col("tier")) > F.coalesce(by_level(rank, F.col("previous_tier")), F.lit(0))
    pushing = F.array_sort(
        F.transform(
            F.filter("reasons", lambda r: (r["contribution"] > 0) & ~r["measure"].isin(*REST)),
            lambda r: F.struct(
                (-r["contribution"]).alias("order"),
                r["measure"].alias("measure"),
                r["value"].alias("value"),
                r["cause"].alias("cause"),
            ),
        )
    )
    cause = F.get(F.filter(pushing, lambda r: r["cause"].isNotNull() & (r["cause"] != UNKNOWN)), 0)["cause"]
    told = F.transform(
        F.slice(pushing, 1, TOP_REASONS), lambda r: F.concat(r["measure"], F.lit(" "), shortly(r["value"], DoubleType()))
    )
    evidence = F.concat(
        F.lit("probability "),
        F.format_string("%.2f", F.col("probability")),
        F.lit(", tier "),
        F.col("tier"),
        F.when(F.size(told) > 0, F.concat(F.lit("; "), F.array_join(told, ", "))).otherwise(F.lit("")),
    )
    return F.when(level.isNotNull(), warning(settings, RULE_ID, level, cause, evidence, QUIET_DAYS, rose=rose))
