"""Reduce statements on users, consents and context to changes: a row where values change, and all keys on the first of
each month."""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.events.mapping import fingerprint, is_one_of, map_text
from churnwatch.events.statements import KEYS, VALUES


def changed_rows(
    statements: DataFrame,
    stored: DataFrame,
    kind: str,
    days: Sequence[date],
    daily: bool,
    kept: DataFrame | None = None,
    kept_days: Sequence[date] = (),
) -> DataFrame:
    """Return the rows of the table ``kind`` for ``days``: one per key and day on which its values change, and on the first
    of a month one per key (``full``).

    ``statements``: accepted statements with the ``day`` from which they are in force; of several on one day the newest
    counts. ``stored``: the table as of the days; only its state before the first day is read, so that a second run gives
    the same rows. ``daily``: each file belongs to a day. An old change may then arrive after a newer one; it is left out.
    ``kept``: stored rows. Their changes on ``kept_days`` count as statements, because the files of these days are not all there.
    """
    keys, values = list(KEYS[kind]), list(VALUES[kind])
    first = min(days)
    before = stored.where((F.col("day") < F.lit(first)) & (F.col("until") >= F.lit(first - timedelta(days=1)))).select(
        F.lit(first - timedelta(days=1)).alias("day"),
        F.lit(None).cast("date").alias("stated_on"),
        *keys,
        *values,
        F.lit(True).alias("_stored"),
    )
    line = statements.select("day", "stated_on", *keys, *values, F.lit(False).alias("_stored")).unionByName(before)
    if kept is not None and kept_days:
        line = line.unionByName(_stored_changes(kept, kind, daily, kept_days).select(*line.columns))
    line = line.withColumn("_content", fingerprint(*_content(kind, daily)))
    window = Window.partitionBy(*keys).orderBy(
        "day", F.col("stated_on").asc_nulls_first(), F.col("changed_at").asc_nulls_first(), "_content"
    )
    newest = line.withColumn("_next", F.lead("day").over(window)).where("_next IS NULL OR _next > day")
    if daily:
        earlier = window.rowsBetween(Window.unboundedPreceding, -1)
        newest = newest.withColumn("_latest", F.max("changed_at").over(earlier)).where(
            "_latest IS NULL OR changed_at IS NULL OR changed_at >= _latest"
        )
    changed = newest.withColumn("_was", F.lag("_content").over(window)).where("_was IS NULL OR _was != _content")
    lasting = changed.withColumn("_next", F.lead("day").over(window))
    return lasting.withColumn("day", F.explode(_days_written(days))).select(
        "day", *keys, *values, (F.dayofmonth("day") == 1).alias("full")
    )


def _stored_changes(stored: DataFrame, kind: str, daily: bool, days: Sequence[date]) -> DataFrame:
    """Return the stored rows of ``days`` that change something: a restated row that equals the one before it is left out."""
    window = Window.partitionBy(*KEYS[kind]).orderBy("day")
    content = fingerprint(*_content(kind, daily))
    compared = stored.withColumn("_content", content).withColumn("_was", F.lag("_content").over(window))
    changes = compared.where(
        is_one_of(days, F.col("day")) & (~F.col("full") | F.col("_was").isNull() | (F.col("_was") != F.col("_content")))
    )
    return changes.withColumns({"stated_on": F.lit(None).cast("date"), "_stored": F.lit(False)})


def _content(kind: str, daily: bool) -> list[Column]:
    """Return the values whose difference makes a change. ``changed_at`` is among them only for files of days, because only
    there a later, older statement has to be compared with it."""
    columns = {name: F.col(name) for name in VALUES[kind]}
    if "attributes" in columns:
        columns["attributes"] = map_text(F.coalesce("attributes", F.expr("CAST(map() AS MAP<STRING, STRING>)")))
    if not daily:
        del columns["changed_at"]
    else:
        columns["changed_at"] = F.unix_micros("changed_at")
    return list(columns.values())


def _days_written(days: Sequence[date]) -> Column:
    """Return the days on which a row is written: its own day unless it is stored already, and each first of a month while
    it is in force."""
    firsts = [F.lit(day) for day in sorted(days) if day.day == 1]
    own = F.when(F.col("_stored"), F.array().cast("array<date>")).otherwise(F.array("day"))
    if not firsts:
        return own
    lasting = F.filter(F.array(*firsts), lambda day: (day > F.col("day")) & (F.col("_next").isNull() | (day < F.col("_next"))))
    return F.concat(own, lasting)
