"""Leave out bots: the rollup flags their days, and every count, rate, score and training frame drops such users here."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.acts import acted
from churnwatch.settings import Settings


def only_people(frame: DataFrame) -> DataFrame:
    """Keep rows whose ``bot`` is false or null."""
    return frame.where("bot IS NOT TRUE")


def was_bot(settings: Settings) -> Column:
    """Aggregate rows of daily_activity of a user, with ``bot``, ``acts`` and ``events``, to ``bot``; see ``bot_by_days``."""
    return bot_by_days(F.count_if("bot"), F.count_if(acted()), settings).alias("bot")


def bot_by_days(bot_days: Column, active_days: Column, settings: Settings) -> Column:
    """Test whether a user was a bot on at least ``bots.days_share`` of the active days; false without a day as a bot."""
    enough = F.try_divide(bot_days, active_days) >= settings.measures.bots.days_share
    return (bot_days > 0) & F.coalesce(enough, F.lit(True))
