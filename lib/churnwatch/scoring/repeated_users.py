"""Check that each user was scored once, before the scores of a day are published."""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import DataQualityError

STAGED_SCORES = {"scored": "user_scores", "challenged": "shadow_scores"}


def stop_on_repeated_users(inputs: Mapping[str, DataFrame], days: Sequence[date]) -> dict[str, int]:
    """Count the users that were scored. ``inputs``: ``scored`` and ``challenged`` as ``stage_scores`` made them.

    Raises DataQualityError when a user has several rows, as after a join with a table in which a key repeats: the user would be
    warned and contacted twice. Such users are counted and not named.
    """
    (day,) = days
    users, faults = 0, []
    for name, table in STAGED_SCORES.items():
        if name not in inputs:
            continue
        rows = inputs[name].groupBy("user_id").agg(F.count("*").alias("rows"))
        (found,) = rows.agg(F.count("*").alias("users"), F.count_if(F.col("rows") > 1).alias("repeated")).collect()
        users = max(users, found["users"])
        if found["repeated"]:
            faults.append(f"{table}: {found['repeated']:,} of {found['users']:,} users have several rows")
    if faults:
        head = f"score_users {day}: a user may be scored once, nothing was written:"
        hint = f"Hint: a user has several rows in user_features; build the day again: churnwatch run build_features --day {day}"
        raise DataQualityError("\n  ".join([head, *faults, hint]))
    return {"users": users}
