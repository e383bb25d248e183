"""Sudden falls of the share of users who come back: the newest day of activity_trend against its own past."""

from pyspark import cloudpickle
from pyspark.sql import DataFrame

from churnwatch.activity import worker_falls

# workers get the module's code with the function: they need not have the package
cloudpickle.register_pickle_by_value(worker_falls)

HISTORY_DAYS = 2 * 366  # two years: what is usual in a season is known from the year before
COLUMNS = ("expected_share", "fall_z", "fall_p", "fall_because")
FALLS = "segment string, value string, expected_share double, fall_z double, fall_p double, fall_because string"


def falls(trend: DataFrame) -> DataFrame:
    """One row a segment and value with users on the newest day of ``trend`` (activity_trend, best with HISTORY_DAYS).

    expected_share: what the group's past lets expect of the newest day; fall_z: how far the share lies below it, in
    standard errors that the group's own swings stretch; fall_p: how many falls as large chance alone would show in a
    year of daily looks at all these groups, at most 1; fall_because: the segments that explain most of the base's fall
    (base), or what the group's part of it is, by rate and by mix. Null where the past is too short, under 8 weeks or so.
    The rows are segments x days: one worker holds them all.
    """
    return trend.select("day", "segment", "value", "active", "came_back").repartition(1).mapInArrow(worker_falls.fallen, FALLS)
