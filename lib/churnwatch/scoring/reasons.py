"""Read the reasons of user_scores: the measures that raised a user's risk, and the cause of the strongest one."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.scoring.worker import BASE, OTHER
from churnwatch.settings.terms import UNKNOWN


def raising_reasons() -> Column:
    """The reasons that raised the risk, strongest first, without ``(other)`` and ``(base)``."""
    raised = F.filter("reasons", lambda r: (r["contribution"] > 0) & ~r["measure"].isin(OTHER, BASE))
    ordered = F.transform(raised, lambda r: F.struct((-r["contribution"]).alias("order"), r.alias("reason")))
    return F.transform(F.array_sort(ordered), lambda r: r["reason"])


def first_cause() -> Column:
    """The cause of the strongest reason that raised the risk and has a cause; null where no reason has one."""
    # rows from before causes could be null have the cause unknown
    return F.get(F.filter(raising_reasons(), lambda r: r["cause"] != UNKNOWN), 0)["cause"]
