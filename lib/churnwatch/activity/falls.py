"""Detect sudden falls of the share of users who come back: the newest day of activity_trend against its own past."""

from pyspark import cloudpickle
from pyspark.sql import DataFrame

from churnwatch.activity import fall_detector

# pickled by value, so that workers need not have the package
cloudpickle.register_pickle_by_value(fall_detector)

HISTORY_DAYS = 2 * 366  # two years, because seasons are learned from the year before
COLUMNS = ("expected_share", "fall_z", "fall_p", "fall_because")
FALLS = "segment string, value string, expected_share double, fall_z double, fall_p double, fall_because string"


def detect_falls(trend: DataFrame) -> DataFrame:
    """Return one row per segment and value that has users on the newest day of ``trend`` (activity_trend of up to
    HISTORY_DAYS days).

    ``expected_share``: the share that the group's past predicts for the newest day.
    ``fall_z``: how far the share lies below it, in standard errors widened by the group's own variation.
    ``fall_p``: the number of falls at least as large that chance alone would show in a year of daily tests of all these
    groups, at most 1.
    ``fall_because``: for all users the segments that explain most of their fall; for a segment its contribution to that
    fall, by rate and by mix.
    All are null when the past is too short (under about 8 weeks). The input has segments x days rows: one worker holds it.
    """
    rows = trend.select("day", "segment", "value", "active", "came_back").repartition(1)
    return rows.mapInArrow(fall_detector.detect_in_batches, FALLS)
