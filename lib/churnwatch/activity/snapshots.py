"""Join rows with the snapshot days that use them, and compute their age on each."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F


def per_snapshot(frame: DataFrame, days: Sequence[date], oldest: int, newest: int = 0) -> DataFrame:
    """Return one row per row of ``frame`` and day of ``days`` on which it is ``newest`` .. ``oldest`` days old (both in).

    Adds ``snapshot`` (one of ``days``) and ``age`` (whole days from the row's ``day`` to the snapshot; negative when the
    row is later). One broadcast join on ``day``, whatever the number of snapshots; none for a single one.
    """
    if len(set(days)) == 1:
        age = F.date_diff(F.lit(days[0]), "day")
        return frame.where(age.between(newest, oldest)).withColumns({"snapshot": F.lit(days[0]), "age": age})
    seen = days_seen(snapshots(frame.sparkSession, days), oldest, newest)
    return frame.join(F.broadcast(seen), "day", "inner")  # unique by (day, snapshot)


def snapshots(session: SparkSession, days: Sequence[date]) -> DataFrame:
    """Return one row per day of ``days``, in the column ``snapshot``."""
    values = ", ".join(f"(DATE'{day}')" for day in sorted(set(days)))
    return session.sql(f"SELECT snapshot FROM VALUES {values} AS t(snapshot)")


def days_seen(snapshots: DataFrame, oldest: int, newest: int = 0) -> DataFrame:
    """Return one row per ``snapshot`` and ``day`` that is ``newest`` .. ``oldest`` days old on it (both in), with its ``age``."""
    return snapshots.select("snapshot", F.explode(F.sequence(F.lit(newest), F.lit(oldest))).alias("age")).select(
        "snapshot", "age", F.date_sub("snapshot", F.col("age")).alias("day")
    )
