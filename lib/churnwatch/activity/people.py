"""Leave out bots: the rollup flags them, and every count, rate, score and training frame drops them here."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def only_people(frame: DataFrame) -> DataFrame:
    """Keep rows whose ``bot`` is false or null."""
    return frame.where("bot IS NOT TRUE")


def was_bot() -> Column:
    """Aggregate the rows of a user: true when ``bot`` is true in any of them."""
    return F.coalesce(F.bool_or("bot"), F.lit(False)).alias("bot")
