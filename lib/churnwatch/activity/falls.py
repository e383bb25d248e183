"""Detect sudden falls of the share of users who come back: the newest day of activity_trend against its own past."""

from typing import Any

import pyarrow as pa

from churnwatch.activity import fall_detector

HISTORY_DAYS = 2 * 366  # two years, because seasons are learned from the year before
COLUMNS = ("expected_share", "fall_z", "fall_p", "fall_because")


def detect_falls(trend: pa.Table) -> list[dict[str, Any]]:
    """Return one row per segment and value that has users on the newest day of ``trend``: segment, value and COLUMNS.

    ``trend``: day, segment, value, active and came_back of activity_trend of up to HISTORY_DAYS days.
    ``expected_share``: the share that the group's past predicts for the newest day.
    ``fall_z``: how far the share lies below it, in standard errors widened by the group's own variation.
    ``fall_p``: the number of falls at least as large that chance alone would show in a year of daily tests of all these
    groups, at most 1.
    ``fall_because``: for all users the segments that explain most of their fall; for a segment its contribution to that
    fall, by rate and by mix.
    All are null when the past is too short (under about 8 weeks).
    """
    if not trend.num_rows:
        return []
    return fall_detector.detect(
        trend["day"].cast(pa.int32()).to_numpy(),
        trend["segment"].to_pylist(),
        trend["value"].to_pylist(),
        trend["active"].to_numpy().astype(float),
        trend["came_back"].to_numpy().astype(float),
    )
