"""Inputs beside the events: attributes of users, consents, and series of the market; each as changes."""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from churnwatch.settings.terms import BASE_SCOPE, CONTACT, PROFILING
from churnwatch.simulate.draws import Draws, again
from churnwatch.simulate.plan import REGIONS, World

PLAN_CHANGE_SHARE = 0.10
# channel -> (share of users who granted, share who take it back later)
CONSENTS = {"email": (0.93, 0.04), "push": (0.88, 0.05), "sms": (0.45, 0.02), PROFILING: (0.985, 0.005)}
# series of the market: name -> (start, change a year)
SERIES = {"own_price": (9.99, 0.8), "competitor_price": (9.49, -1.2), "staff_turnover_share": (0.02, 0.004)}


def users(who: DataFrame, world: World) -> DataFrame:
    """Return one row per change of a user's attributes up to the last day: user_id, registered_on, changed_at, region, plan."""
    who = who.where(F.col("joined") <= world.days)
    draw = Draws(world.seed).uniform("plan change", F.col("no"))
    changed = F.greatest(F.col("joined"), F.lit(1)) + 20 + F.floor(again(draw) * 200)
    first = F.struct(F.col("joined").alias("n"), "plan")
    other = (
        F.when(F.col("plan") == "free", F.lit("basic")).when(F.col("plan") == "basic", F.lit("premium")).otherwise(F.lit("free"))
    )
    second = F.when(draw < PLAN_CHANGE_SHARE, F.struct(changed.cast("int").alias("n"), other.alias("plan")))
    rows = who.select("*", F.explode(F.filter(F.array(first, second), lambda r: r.isNotNull())).alias("change"))
    return rows.where(F.col("change.n") <= world.days).select(
        "user_id",
        _date(world, F.col("joined")).alias("registered_on"),
        _morning(world, F.col("change.n")).alias("changed_at"),
        "region",
        F.col("change.plan").alias("plan"),
    )


def consents(who: DataFrame, world: World) -> DataFrame:
    """Return one row per change of a user's consent up to the last day: user_id, channel, purpose, granted, changed_at."""
    who = who.where(F.col("joined") <= world.days)
    parts = []
    for channel, (granted, taken_back) in CONSENTS.items():
        draw = Draws(world.seed).uniform(f"consent {channel}", F.col("no"))
        later = Draws(world.seed).uniform(f"withdrawal {channel}", F.col("no"))
        withdrawn = F.greatest(F.col("joined"), F.lit(1)) + 10 + F.floor(again(later) * 240)
        first = F.struct(F.col("joined").alias("n"), (draw < granted).alias("granted"))
        second = F.when(
            (draw < granted) & (later < taken_back), F.struct(withdrawn.cast("int").alias("n"), F.lit(False).alias("granted"))
        )
        changes = F.filter(F.array(first, second), lambda r: r.isNotNull())
        purpose = F.lit(PROFILING if channel == PROFILING else CONTACT)
        parts.append(F.struct(F.lit(channel).alias("channel"), purpose.alias("purpose"), changes.alias("changes")))
    rows = who.select("user_id", F.explode(F.array(*parts)).alias("c")).select("user_id", "c.*")
    rows = rows.select("user_id", "channel", "purpose", F.explode("changes").alias("change")).where(
        F.col("change.n") <= world.days
    )
    return rows.select("user_id", "channel", "purpose", "change.granted", _morning(world, F.col("change.n")).alias("changed_at"))


def context(spark: SparkSession, world: World) -> DataFrame:
    """Return one row per publication (weekly, base and regions) up to the last day: day, scope, name, value (price, share)."""
    weeks = spark.range(0, (world.days - 1) // 7 + 1).select((F.col("id") * 7 + 1).cast("int").alias("n"))
    scopes = F.array(F.lit(BASE_SCOPE), *(F.lit(f"region={region}") for region in REGIONS))
    rows = weeks.select("n", F.explode(scopes).alias("scope"))
    series = [
        F.struct(F.lit(name).alias("name"), F.lit(start).alias("start"), F.lit(slope).alias("slope"))
        for name, (start, slope) in SERIES.items()
    ]
    rows = rows.select("n", "scope", F.explode(F.array(*series)).alias("s")).select("n", "scope", "s.*")
    noise = Draws(world.seed).uniform("context", F.col("n"), F.col("scope"), F.col("name")) - 0.5
    value = F.round(F.col("start") + F.col("slope") * F.col("n") / 365 + F.col("start") * 0.02 * noise, 4)
    return rows.select(_date(world, F.col("n")).alias("day"), "scope", "name", value.alias("value"))


def _date(world: World, number: Column) -> Column:
    return F.date_add(F.lit(world.first_day), (number - 1).cast("int"))


def _morning(world: World, number: Column) -> Column:
    """Return 06:00 UTC of the day, which is before all events of the user on that day."""
    return F.timestamp_seconds(F.unix_date(_date(world, number)).cast("long") * 86_400 + 6 * 3600)
