"""Messages of a day: a digest an owner, and the offers to users."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.settings import Settings

Keyed = Callable[[DataFrame, str], DataFrame]

TOP = 20  # warnings that a digest names
SHOWN_DIGITS = 16  # of a keyed id
CONTACT = "contact"
DIGEST_CHANNEL = "email"
URGENT = "red"
UNKNOWN = "unknown"
COLUMNS = ("day", "message_id", "kind", "destination", "channel", "subject", "body", "earliest_send_at", "expires_at")


def digests(alerts: DataFrame, day: date, keyed: Keyed, settings: Settings) -> DataFrame:
    """One message an owner: counts by level and cause, then the top warnings, the most urgent first.

    Users are named by their keyed hash alone; a warning's own id is left out, since it is a hash without a key.
    """
    counts = _counts_per_owner(alerts, settings)
    top = _top_per_owner(alerts, keyed, settings)
    title = F.format_string(f"churnwatch {day}: %d warnings for %s, %d {URGENT}", "total", "owner", "urgent")
    body = F.format_string(
        f"Warnings of {day} for %s: %d, of them {URGENT} %d\n\nBy level and cause\n%s\n\nFirst to look at (%d of %d)\n%s\n",
        *("owner", "total", "urgent", "counts", F.size("top"), "total", F.array_join("top", "\n")),
    )
    none = F.lit(None).cast("timestamp")
    messages = counts.join(top, "owner").select(  # one row an owner on either side
        F.lit(day).alias("day"),
        F.lit("digest").alias("kind"),
        F.col("owner").alias("destination"),
        F.lit(DIGEST_CHANNEL).alias("channel"),
        title.alias("subject"),
        body.alias("body"),
        none.alias("earliest_send_at"),
        none.alias("expires_at"),
    )
    return _with_id(messages)


def offers(actions: DataFrame, consents: DataFrame, day: date, keyed: Keyed) -> DataFrame:
    """One message a treated user and campaign, where the user has opted in to contact on the offer's channel as of the day.

    The body is an instruction to the channel's gateway, which holds the texts; why a user gets it is never in it.
    """
    in_force = (F.col("day") <= F.lit(day)) & (F.col("until") >= F.lit(day))
    granted = consents.where(in_force & (F.col("purpose") == CONTACT) & F.col("granted")).select("user_id", "channel")
    allowed = actions.where((F.col("arm") == "offer") & F.col("offer").isNotNull()).join(
        granted, ["user_id", "channel"], "left_semi"
    )
    named = keyed(allowed.select("user_id", "campaign", "offer", "channel", "earliest_send_at", "expires_at"), "user_id")
    body = F.format_string(
        "offer: %s\ncampaign: %s\nnot before: %s\nexpires: %s\n",
        *("offer", "campaign", _instant("earliest_send_at"), _instant("expires_at")),
    )
    messages = named.select(
        F.lit(day).alias("day"),
        F.lit("offer").alias("kind"),
        F.col("user_id").alias("destination"),
        "channel",
        F.col("offer").alias("subject"),
        body.alias("body"),
        "earliest_send_at",
        "expires_at",
    )
    return _with_id(messages)


def day_end(day: date, settings: Settings) -> Column:
    """The instant at which ``day`` ends in ``clock.time_zone``."""
    midnight = F.lit(str(day + timedelta(days=1))).cast("timestamp")
    return F.to_utc_timestamp(midnight, settings.clock.time_zone)


def _counts_per_owner(alerts: DataFrame, settings: Settings) -> DataFrame:
    counts = alerts.groupBy("owner", "level", _cause().alias("cause")).agg(F.count("*").alias("n"))
    ordered = F.array_sort(
        F.collect_list(F.struct((-_rank(settings)).alias("order"), (-F.col("n")).alias("most"), "cause", "level", "n"))
    )
    lines = F.transform(ordered, lambda c: F.format_string("  %-7s %-16s %d", c["level"], c["cause"], c["n"]))
    return counts.groupBy("owner").agg(
        F.sum("n").alias("total"),
        F.sum(F.when(F.col("level") == URGENT, F.col("n")).otherwise(0)).alias("urgent"),
        F.array_join(lines, "\n").alias("counts"),
    )


def _top_per_owner(alerts: DataFrame, keyed: Keyed, settings: Settings) -> DataFrame:
    # a base or group warning concerns many: it stands before those of single users
    order = [_rank(settings).desc(), F.col("scope"), F.col("due_on"), F.col("alert_id")]
    window = Window.partitionBy("owner").orderBy(*order)
    first = alerts.withColumn("place", F.row_number().over(window)).where(F.col("place") <= TOP)
    about = F.coalesce(
        F.concat(F.lit("user "), F.substring("user_id", 1, SHOWN_DIGITS)), F.concat("segment", F.lit("="), "value")
    )
    line = F.format_string(
        "  %-7s %s, %s, by %s, %s: %s",
        F.col("level"),
        about,
        _cause(),
        F.col("due_on").cast("string"),
        F.col("rule_id"),
        F.col("evidence"),
    )
    shown = first.select("owner", "place", "user_id", "segment", "value", "level", "cause", "due_on", "rule_id", "evidence")
    placed = keyed(shown, "user_id").select("owner", F.struct("place", line.alias("line")).alias("placed"))
    return placed.groupBy("owner").agg(F.transform(F.array_sort(F.collect_list("placed")), lambda p: p["line"]).alias("top"))


def _with_id(messages: DataFrame) -> DataFrame:
    content = F.concat_ws("\x1f", F.col("day").cast("string"), "destination", "channel", "subject", "body")
    return messages.withColumn("message_id", F.substring(F.sha2(content, 256), 1, 32)).select(*COLUMNS)


def _rank(settings: Settings) -> Column:
    names = [level.name for level in settings.tiers.levels]
    return reduce(lambda rest, n: F.when(F.col("level") == names[n], n + 1).otherwise(rest), range(len(names)), F.lit(0))


def _cause() -> Column:
    return F.coalesce(F.col("cause"), F.lit(UNKNOWN))


def _instant(name: str) -> Column:
    return F.coalesce(F.date_format(name, "yyyy-MM-dd'T'HH:mm:ss'Z'"), F.lit("-"))
