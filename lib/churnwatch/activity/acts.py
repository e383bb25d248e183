"""Tell acts of the user from other events. Only acts make a user active on a day; bills, messages that were sent and refunds
do not."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.names import ACTS, EVENTS, last_day_column


def is_act(settings: Settings) -> Column:
    """Test whether an event is an act: its type is one of ``acts`` in measures.yaml; true for every event without that key."""
    acts = settings.measures.acts
    return F.lit(True) if acts is None else F.col("event_type").isin(acts)


def acts() -> Column:
    """Return the number of acts of a row of daily_activity or monthly_activity.

    All events count in rows that were stored before acts were.
    """
    return F.coalesce(F.col(ACTS), F.col(EVENTS))


def acted() -> Column:
    """Test whether a row of daily_activity or monthly_activity holds an act."""
    return acts() > 0


def only_active(activity: DataFrame) -> DataFrame:
    """Keep the rows of daily_activity that hold an act: the days on which users were active."""
    return activity.where(acted())


def last_act_day() -> Column:
    """Return the last day with an act of a row of monthly_activity; null: the month has none."""
    return F.coalesce(F.col(last_day_column(ACTS)), F.when(F.col(ACTS).isNull(), F.col("last_day")))
