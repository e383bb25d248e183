"""The model's warnings: users whose risk tier asks for a level."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType

from churnwatch.alerts.evidence import short_text
from churnwatch.alerts.rules import signal, value_for
from churnwatch.scoring import first_cause, raising_reasons
from churnwatch.settings import Settings
from churnwatch.settings.terms import MODEL

QUIET_DAYS = 7
FIRST = 1  # of equal levels the model speaks before any rule
TOP_REASONS = 3


def has_warning_tier(settings: Settings) -> Column:
    """Whether the row's tier has a level; false without a score."""
    tiers = [tier.name for tier in settings.tiers.tiers if tier.level]
    return F.coalesce(F.col("tier").isin(*tiers), F.lit(False)) if tiers else F.lit(False)


def model_signal(settings: Settings) -> Column:
    """The model's signal where the row's tier has a level, else null (no score: null).

    The cause is that of the strongest reason that pushes the risk up and has one; the evidence names the strongest
    reasons with their values.
    """
    order = [one.name for one in settings.tiers.levels]
    ranks = {tier.name: order.index(tier.level) for tier in settings.tiers.tiers if tier.level}
    if not ranks:
        return F.lit(None)
    rank = value_for(ranks, F.col("tier"))
    told = F.transform(
        F.slice(raising_reasons(), 1, TOP_REASONS),
        lambda r: F.concat(r["measure"], F.lit(" "), short_text(r["value"], DoubleType())),
    )
    evidence = F.concat(
        F.lit("probability "),
        F.format_string("%.2f", F.col("probability")),
        F.lit(", tier "),
        F.col("tier"),
        F.when(F.size(told) > 0, F.concat(F.lit("; "), F.array_join(told, ", "))).otherwise(F.lit("")),
    )
    nobody = F.lit(None)
    return F.when(rank.isNotNull(), signal(MODEL, rank, FIRST, first_cause(), evidence, nobody, QUIET_DAYS))
