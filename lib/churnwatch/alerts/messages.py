"""Messages of a day: tasks, urgent ones, digests and escalations to owners, and the offers to users."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from churnwatch.alerts.rules import value_for
from churnwatch.settings import Settings
from churnwatch.settings.terms import CONTACT, OFFER, UNKNOWN

Keyed = Callable[[DataFrame, str], DataFrame]

TOP = 20  # warnings that a digest names
SHOWN_DIGITS = 16  # of a keyed id
OWNER_CHANNEL = "owner"
MESSAGE = ("owner", "kind", "topic")  # what a message to an owner is one of
TOLD = (
    "alert_id",
    "scope",
    "user_id",
    "segment",
    "value",
    "rule_id",
    "level",
    "cause",
    "evidence",
    "due_on",
    "value_at_risk_cents",
)
COLUMNS = ("day", "message_id", "kind", "destination", "channel", "subject", "body", "earliest_send_at", "expires_at")


def owner_messages(alerts: DataFrame, overdue: DataFrame | None, day: date, keyed: Keyed, settings: Settings) -> DataFrame:
    """Messages about the day's warnings, each of which stands in one message alone.

    A task for each warning of a group or the base; one urgent message an owner for warnings of ``sending.urgent_levels``;
    one digest an owner for the rest; one escalation a superior for the cases of ``overdue``. Each counts by level and
    cause and names the top warnings, the most urgent first. Users are named by their keyed hash, and to chats not at all
    unless conf says so; a user warning's own id is left out, since it is a hash without a key.
    """
    single = F.col("scope") == "user"
    kind = F.when(~single, "task").when(F.col("level").isin(*settings.sending.urgent_levels), "urgent").otherwise("digest")
    told = alerts.select(*TOLD, "owner", kind.alias("kind"), F.when(~single, F.col("alert_id")).alias("topic"))
    if overdue is not None:
        handed = overdue.select(*TOLD, F.col("superior").alias("owner"), F.lit("escalation").alias("kind"))
        told = told.unionByName(handed.withColumn("topic", F.lit(None).cast("string")))
    told = told.withColumn("topic", F.coalesce("topic", F.lit("")))
    counts = _counts(told, settings)
    top = _top(told, keyed, settings)
    title = F.when(
        F.col("kind") == "task", F.concat(F.lit(f"churnwatch {day}: task for "), "owner", F.lit(", "), F.get("levels", F.lit(0)))
    ).otherwise(F.format_string(f"churnwatch {day}: %d %swarnings for %s", "total", _adjective(), "owner"))
    body = F.format_string(
        f"%s of {day} for %s: %d\n\nBy level and cause\n%s\n\nFirst to look at (%d of %d)\n%s\n\n%s\n",
        _heading(),
        *("owner", "total", "counts", F.size("top"), "total", F.array_join("top", "\n")),
        F.when(
            F.col("kind") == "task", F.concat(F.lit("say what was done: churnwatch alerts act "), "topic", F.lit(" --who ..."))
        ).otherwise(F.concat(F.lit("all of them: churnwatch alerts list --owner "), "owner")),
    )
    none = F.lit(None).cast("timestamp")
    messages = counts.join(top, ["owner", "kind", "topic"]).select(  # one row a message on either side
        F.lit(day).alias("day"),
        "kind",
        _destination(settings).alias("destination"),
        F.lit(OWNER_CHANNEL).alias("channel"),
        title.alias("subject"),
        body.alias("body"),
        none.alias("earliest_send_at"),
        none.alias("expires_at"),
    )
    return _with_id(messages)


def offer_messages(actions: DataFrame, consents: DataFrame, day: date, keyed: Keyed) -> DataFrame:
    """One message a treated user and campaign, where the user has opted in to contact on the offer's channel as of the day.

    The body is an instruction to the channel's gateway, which holds the texts; why a user gets it is never in it.
    """
    allowed = actions.where((F.col("arm") == OFFER) & F.col("offer").isNotNull()).join(
        _granted(consents, day), ["user_id", "channel"], "left_semi"
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


def only_still_consented(left: DataFrame, consents: DataFrame, day: date, keyed: Keyed) -> DataFrame:
    """Messages of earlier days without the offers to users who withdrew their consent since; same grain."""
    granted = keyed(_granted(consents, day), "user_id").withColumnRenamed("user_id", "destination")
    is_offer = F.col("kind") == "offer"
    return left.where(~is_offer).unionByName(left.where(is_offer).join(granted, ["destination", "channel"], "left_semi"))


def _granted(consents: DataFrame, day: date) -> DataFrame:
    """Users and channels with an opt-in to contact in force on the day: one row each."""
    in_force = (F.col("day") <= F.lit(day)) & (F.col("until") >= F.lit(day))
    return consents.where(in_force & (F.col("purpose") == CONTACT) & F.col("granted")).select("user_id", "channel")


def day_end(day: date, settings: Settings) -> Column:
    """The instant at which ``day`` ends in ``clock.time_zone``."""
    midnight = F.lit(str(day + timedelta(days=1))).cast("timestamp")
    return F.to_utc_timestamp(midnight, settings.clock.time_zone)


def _counts(told: DataFrame, settings: Settings) -> DataFrame:
    """One row a message: warnings in all, and by level and cause as lines."""
    counts = told.groupBy(*MESSAGE, "level", _cause().alias("cause")).agg(F.count("*").alias("n"))
    ordered = F.array_sort(
        F.collect_list(F.struct((-_rank(settings)).alias("order"), (-F.col("n")).alias("most"), "cause", "level", "n"))
    )
    lines = F.transform(ordered, lambda c: F.format_string("  %-7s %-16s %d", c["level"], c["cause"], c["n"]))
    return counts.groupBy(*MESSAGE).agg(
        F.sum("n").alias("total"),
        F.array_join(lines, "\n").alias("counts"),
        F.transform(ordered, lambda c: F.concat(c["level"], F.lit(", "), c["cause"])).alias("levels"),
    )


def _top(told: DataFrame, keyed: Keyed, settings: Settings) -> DataFrame:
    """One row a message: its first warnings as lines."""
    order = [_rank(settings).desc(), F.desc_nulls_last("value_at_risk_cents"), F.col("due_on"), F.col("alert_id")]
    window = Window.partitionBy(*MESSAGE).orderBy(*order)
    first = told.withColumn("place", F.row_number().over(window)).where(F.col("place") <= TOP)
    open_to_all = [name for name, one in settings.sending.destinations.items() if one.is_chat and not one.user_ids]
    user = F.when(_destination(settings).isin(open_to_all), F.lit("a user")).otherwise(
        F.concat(F.lit("user "), F.substring("user_id", 1, SHOWN_DIGITS))
    )
    about = F.when(F.col("user_id").isNotNull(), user).otherwise(F.concat("segment", F.lit("="), "value"))
    line = F.format_string(
        "  %-7s %s, %s, by %s, %s: %s",
        F.col("level"),
        about,
        _cause(),
        F.col("due_on").cast("string"),
        F.col("rule_id"),
        F.col("evidence"),
    )
    shown = first.select(*MESSAGE, "place", "user_id", "segment", "value", "level", "cause", "due_on", "rule_id", "evidence")
    placed = keyed(shown, "user_id").select(*MESSAGE, F.struct("place", line.alias("line")).alias("placed"))
    return placed.groupBy(*MESSAGE).agg(F.transform(F.array_sort(F.collect_list("placed")), lambda p: p["line"]).alias("top"))


def _adjective() -> Column:
    kind = F.col("kind")
    return F.when(kind == "urgent", "urgent ").when(kind == "escalation", "overdue ").otherwise("")


def _heading() -> Column:
    kind = F.col("kind")
    return (
        F.when(kind == "task", "Warnings of a group")
        .when(kind == "urgent", "Urgent warnings")
        .when(kind == "escalation", "Overdue warnings")
        .otherwise("Warnings")
    )


def _destination(settings: Settings) -> Column:
    """Name of the destination of the row's owner: the owner's own where conf names no other."""
    return F.coalesce(value_for(settings.owners.destinations, F.col("owner")).cast("string"), F.col("owner"))


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
