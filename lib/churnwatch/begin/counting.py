"""What a whole log says: rows, columns filled, times read, kinds, days. Pure frames, each of few rows, whatever the log."""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from churnwatch.begin.columns import Column
from churnwatch.begin.guesses import Facts, Filled, Guesses
from churnwatch.begin.times import TimeForm
from churnwatch.events.amounts import number
from churnwatch.events.ids import is_nobody, user_id
from churnwatch.events.instants import business_day, instant, text_of
from churnwatch.settings import NOBODY, Ids

AS_GIVEN = Ids()
NEAR = 0.02  # relative error of counts of distinct values
FAR_DAYS, STRAY_SHARE = 60, 0.001  # events so far from all others, and so few, are a device's wrong date
CANCELLED = "^[Cc][0-9]+$"  # a number with a C before it; not one that is written in hexadecimals


def columns_counted(rows: DataFrame, columns: Sequence[Column], forms: Sequence[TimeForm]) -> DataFrame:
    """One row: rows, filled and distinct values of each column, and rows that each form of a time can read."""
    texts = rows.select(
        *(F.expr(f"CAST({c.sql} AS STRING)").alias(f"c{i}") for i, c in enumerate(columns)),
        *(F.expr(form.sql).alias(f"t{i}") for i, form in enumerate(forms)),
    )
    made = [F.count(F.lit(1)).alias("rows")]
    for i in range(len(columns)):
        made += [F.count(text_of(F.col(f"c{i}"))).alias(f"filled{i}")]
        made += [F.approx_count_distinct(text_of(F.col(f"c{i}")), NEAR).alias(f"distinct{i}")]
    made += [F.count(_instant(texts.schema, f"t{i}")).alias(f"read{i}") for i in range(len(forms))]
    return texts.agg(*made)


def facts(row: dict[str, int], columns: Sequence[Column], forms: Sequence[TimeForm]) -> Facts:
    """The row of ``columns_counted`` as facts."""
    filled = {c.name: Filled(row[f"filled{i}"], row[f"distinct{i}"]) for i, c in enumerate(columns)}
    return Facts(row["rows"], filled, {form.sql: row[f"read{i}"] for i, form in enumerate(forms)})


def distinct_counted(rows: DataFrame, columns: Sequence[Column]) -> DataFrame:
    """One row: the exact number of distinct values of each column, by its place."""
    return rows.agg(
        *(F.count_distinct(text_of(F.expr(f"CAST({c.sql} AS STRING)"))).alias(f"c{i}") for i, c in enumerate(columns))
    )


def with_exact(known: Facts, names: Sequence[str], row: dict[str, int]) -> Facts:
    """The facts with the exact counts of ``distinct_counted``."""
    exact = {name: Filled(known.columns[name].rows, row[f"c{i}"], True) for i, name in enumerate(names)}
    return Facts(known.rows, {**known.columns, **exact}, known.read_as_time)


def as_events(rows: DataFrame, guesses: Guesses, ids: Ids = AS_GIVEN, nobody: Sequence[str] = NOBODY) -> DataFrame:
    """A row a row of the log: user_id (as ingest reads it under ``ids``; null where it is one of ``nobody``), given_user (its
    text without blanks at the ends), day (in the guessed zone), file_day, kind, amount, quantity, seconds and session; null
    where none."""
    fields = {name: guess.sql for name, guess in guesses.fields.items()}
    nothing = "CAST(NULL AS STRING)"
    read = rows.select(
        F.expr(fields["user_id"]).alias("user_id"),
        F.expr(fields["event_time"]).alias("event_time"),
        *(F.expr(fields.get(n, nothing)).alias(n) for n in ("event_type", "amount", "duration_s", "session_id")),
        F.expr(guesses.quantity.sql if guesses.quantity else nothing).alias("quantity"),
        "_file",
    )
    kinds = {field.name: field.dataType for field in read.schema.fields}
    file_day = F.regexp_extract("_file", r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)", 1).try_cast("date")
    user = user_id(F.col("user_id"), kinds["user_id"], ids)
    return read.select(
        F.when(~is_nobody(user, nobody), user).alias("user_id"),
        text_of(F.col("user_id")).alias("given_user"),
        business_day(_instant(read.schema, "event_time", guesses.zone.name), guesses.zone.name).alias("day"),
        file_day.alias("file_day"),
        text_of(F.col("event_type")).alias("kind"),
        *(number(F.col(n), kinds[n], n).try_cast("double").alias(n) for n in ("amount", "duration_s", "quantity")),
        F.col("amount").isNotNull().alias("has_amount"),
        text_of(F.col("session_id")).alias("session_id"),
    )


def events_counted(events: DataFrame) -> DataFrame:
    """One row: rows; without user; of nobody; of users: without time; below zero; sessions named C...; ids that are whole
    numbers (``whole_ids``), those among them written with a decimal zero or a minus, and the ids 0 and -1."""
    known, given = F.col("user_id").isNotNull(), F.col("given_user")
    zero, minus_one = given.rlike(r"^0(\.0+)?$"), given.rlike(r"^-1(\.0+)?$")
    whole = known & given.rlike(r"^[+-]?\d+(\.0+)?$") & ~zero & ~minus_one
    below = (F.coalesce("amount", F.lit(0)) < 0) | (F.coalesce("quantity", F.lit(0)) < 0)
    return events.agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_if(given.isNull()).alias("no_user"),
        F.count_if(~known & given.isNotNull()).alias("nobody"),
        F.count_if(whole).alias("whole_ids"),
        F.count_if(whole & given.contains(".")).alias("decimal_ids"),
        F.count_if(whole & given.startswith("-")).alias("negative_ids"),
        F.count_if(zero).alias("zero_ids"),
        F.count_if(minus_one).alias("minus_one_ids"),
        F.count_if(known & F.col("day").isNull()).alias("no_time"),
        F.count_if(known & below).alias("below_zero"),
        F.count_if(known & F.col("session_id").rlike(CANCELLED)).alias("cancelled_sessions"),
    )


def kinds_counted(events: DataFrame, most: int) -> DataFrame:
    """A row a kind of event, the most frequent first, at most ``most``: events, with an amount, with a duration."""
    known = events.where("user_id IS NOT NULL AND kind IS NOT NULL")
    counted = known.groupBy("kind").agg(
        F.count(F.lit(1)).alias("events"), F.count("amount").alias("amounts"), F.count("duration_s").alias("durations")
    )
    return counted.orderBy(F.desc("events"), "kind").limit(most)


def days_counted(events: DataFrame) -> DataFrame:
    """A row a day: events of users."""
    return events.where("user_id IS NOT NULL AND day IS NOT NULL").groupBy("day").agg(F.count(F.lit(1)).alias("events"))


def lateness_counted(events: DataFrame) -> DataFrame:
    """A row a number of days, up to 60, that the day of a file lies after the day of its event: events."""
    late = events.withColumn("late", F.datediff("file_day", "day")).where("late BETWEEN -60 AND 60")
    return late.groupBy("late").agg(F.count(F.lit(1)).alias("events"))


def main_span(days: dict[date, int]) -> tuple[date, date]:
    """First and last day of the log, without a few events that lie months away from all others."""
    ordered, total = sorted(days), sum(days.values())
    first, last = 0, len(ordered) - 1
    seen = 0
    for i, (one, after) in enumerate(zip(ordered, ordered[1:], strict=False)):
        seen += days[one]
        if after - one > timedelta(days=FAR_DAYS):
            if seen <= STRAY_SHARE * total:
                first = i + 1
            elif total - seen <= STRAY_SHARE * total:
                last = i
                break
    return ordered[first], ordered[last]


def _instant(schema: StructType, name: str, zone: str = "UTC") -> SparkColumn:
    return instant(F.col(name), schema[name].dataType, zone, name)
