"""Statements as changes: a row only where something changes, and all keys anew on the first of each month."""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.events.mapping import fingerprint, map_text
from churnwatch.events.statements import KEYS, VALUES


def changes(said: DataFrame, stored: DataFrame, kind: str, days: Sequence[date], daily: bool) -> DataFrame:
    """Rows of the table ``kind`` for ``days``: one a key and day on which its values change, and restatements.

    ``said``: accepted statements, with the ``day`` on which they come into force; the newest of a day counts.
    ``stored``: the table as of the days; only the state before the first day is looked at, so a re-run gives the same.
    ``daily``: files belong to days, so an old change may arrive after a newer one was seen: it is left out.
    """
    keys, values = list(KEYS[kind]), list(VALUES[kind])
    first = min(days)
    before = stored.where((F.col("day") < F.lit(first)) & (F.col("until") >= F.lit(first - timedelta(days=1)))).select(
        F.lit(first - timedelta(days=1)).alias("day"),
        F.lit(None).cast("date").alias("said_on"),
        *keys,
        *values,
        F.lit(True).alias("_stored"),
    )
    line = said.select("day", "said_on", *keys, *values, F.lit(False).alias("_stored")).unionByName(before)
    line = line.withColumn("_content", fingerprint(*_content(kind, daily)))
    window = Window.partitionBy(*keys).orderBy(
        "day", F.col("said_on").asc_nulls_first(), F.col("changed_at").asc_nulls_first(), "_content"
    )
    newest = line.withColumn("_next", F.lead("day").over(window)).where("_next IS NULL OR _next > day")
    if daily:
        earlier = window.rowsBetween(Window.unboundedPreceding, -1)
        newest = newest.withColumn("_seen", F.max("changed_at").over(earlier)).where(
            "_seen IS NULL OR changed_at IS NULL OR changed_at >= _seen"
        )
    changed = newest.withColumn("_was", F.lag("_content").over(window)).where("_was IS NULL OR _was != _content")
    lasting = changed.withColumn("_next", F.lead("day").over(window))
    return lasting.withColumn("day", F.explode(_written_on(days))).select(
        "day", *keys, *values, (F.dayofmonth("day") == 1).alias("full")
    )


def _content(kind: str, daily: bool) -> list[Column]:
    """What makes a change. The instant itself does only where a later late row must be compared with it."""
    columns = {name: F.col(name) for name in VALUES[kind]}
    if "attributes" in columns:
        columns["attributes"] = map_text(F.coalesce("attributes", F.expr("CAST(map() AS MAP<STRING, STRING>)")))
    if not daily:
        del columns["changed_at"]
    else:
        columns["changed_at"] = F.unix_micros("changed_at")
    return list(columns.values())


def _written_on(days: Sequence[date]) -> Column:
    """The days on which a row is written: its own, if it was not stored before, and firsts of months while it lasts."""
    firsts = [F.lit(day) for day in sorted(days) if day.day == 1]
    own = F.when(F.col("_stored"), F.array().cast("array<date>")).otherwise(F.array("day"))
    if not firsts:
        return own
    lasting = F.filter(F.array(*firsts), lambda day: (day > F.col("day")) & (F.col("_next").isNull() | (day < F.col("_next"))))
    return F.concat(own, lasting)
