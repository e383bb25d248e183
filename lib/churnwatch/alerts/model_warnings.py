"""The model's warnings: users whose risk tier has a level in tiers.yaml."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType

from churnwatch.alerts.evidence import short_text
from churnwatch.alerts.rules import signal, value_for
from churnwatch.scoring import first_cause, raising_reasons
from churnwatch.settings import Settings
from churnwatch.settings.terms import MODEL

QUIET_DAYS = 7
FIRST = 1  # at equal levels the model comes before the rules
TOP_REASONS = 3


def has_warning_tier(settings: Settings) -> Column:
    """Return whether the row's tier has a level; false without a score."""
    tiers = [tier.name for tier in settings.tiers.tiers if tier.level]
    return F.coalesce(F.col("tier").isin(*tiers), F.lit(False)) if tiers else F.lit(False)


def model_signal(settings: Settings) -> Column:
    """Return the model's signal where the row's tier has a level, else null; null without a score.

    The cause is the cause of the strongest reason that raises the risk and has one. The evidence lists the TOP_REASONS
    strongest reasons with their values.
    """
    order = [one.name for one in settings.tiers.levels]
    ranks = {tier.name: order.index(tier.level) for tier in settings.tiers.tiers if tier.level}
    if not ranks:
        return F.lit(None)
    rank = value_for(ranks, F.col("tier"))
    reasons = F.transform(
        F.slice(raising_reasons(), 1, TOP_REASONS),
        lambda r: F.concat(r["measure"], F.lit(" "), short_text(r["value"], DoubleType())),
    )
    evidence = F.concat(
        F.lit("probability "),
        F.format_string("%.2f", F.col("probability")),
        F.lit(", tier "),
        F.col("tier"),
        F.when(F.size(reasons) > 0, F.concat(F.lit("; "), F.array_join(reasons, ", "))).otherwise(F.lit("")),
    )
    no_owner = F.lit(None)
    return F.when(rank.isNotNull(), signal(MODEL, rank, FIRST, first_cause(), evidence, no_owner, QUIET_DAYS))
