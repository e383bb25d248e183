"""What the reasons of user_scores say: the measures that raised a user's risk, and the cause that they speak for."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.scoring.worker import BASE, OTHER
from churnwatch.settings.terms import UNKNOWN


def upward() -> Column:
    """The reasons that raised the risk, strongest first, without the parts of the margin that are no measure's."""
    raised = F.filter("reasons", lambda r: (r["contribution"] > 0) & ~r["measure"].isin(OTHER, BASE))
    ordered = F.transform(raised, lambda r: F.struct((-r["contribution"]).alias("order"), r.alias("reason")))
    return F.transform(F.array_sort(ordered), lambda r: r["reason"])


def first_cause() -> Column:
    """The cause of the strongest reason that raised the risk and has one; null where none has."""
    # rows of before causes could be null say unknown
    return F.get(F.filter(upward(), lambda r: r["cause"] != UNKNOWN), 0)["cause"]
