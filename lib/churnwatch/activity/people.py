"""Who is a person: the rollup flags bots, and whoever counts users or learns from them leaves bots out by this."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def only_people(frame: DataFrame) -> DataFrame:
    """Keeps the users that are no bots (``bot``; null is none): nobody learns from what bots do, counts them as customers
    who stay, scores them or warns of them."""
    return frame.where("bot IS NOT TRUE")


def was_bot() -> Column:
    """Aggregate over rows of a user: whether it was a bot in any of them."""
    return F.coalesce(F.bool_or("bot"), F.lit(False)).alias("bot")
