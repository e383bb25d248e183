"""Read the reasons of user_scores: the measures that raised a user's risk."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.scoring.worker import BASE, OTHER


def raising_reasons() -> Column:
    """The reasons that raised the risk, strongest first, without ``(other)`` and ``(base)``."""
    raised = F.filter("reasons", lambda r: (r["contribution"] > 0) & ~r["measure"].isin(OTHER, BASE))
    ordered = F.transform(raised, lambda r: F.struct((-r["contribution"]).alias("order"), r.alias("reason")))
    return F.transform(F.array_sort(ordered), lambda r: r["reason"])
