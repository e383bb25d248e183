"""Activity of users on a day: whether they are active, how many events, and how far their decline has gone."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.simulate.draws import Draws, exponential, number_at
from churnwatch.simulate.people import PAUSE_BLOCK, SCARE_BLOCK
from churnwatch.simulate.plan import World

MOST_EVENTS = 60
BOT_EVENTS = 90  # at least; up to twice as many
KEPT = ("no", "key", "user_id", "joined", "plan", "channel", "bot", "chatty", "variety", "cause", "weak", "fade", "symptom_share")
STATE = (
    "pace",
    "scares",
    "pauses",
    "leaves",
    "declines",
    "decline_days",
    "returns",
    "treated_from",
    "spared",
    "back",
    "stays_until",
)


def active_days(people: DataFrame, world: World, first: int, last: int) -> DataFrame:
    """Return one row per user and active day ``n``: adds strain (0 .. 1, how far the trouble has gone) and ``count`` events.

    The row of a day depends on seed, user, day and the user's treatment alone, so any range of days gives the same rows.
    """
    start = F.greatest(F.lit(first), F.col("joined"))
    days = people.where(F.col("joined") <= last).select(*KEPT, *STATE, F.explode(F.sequence(start, F.lit(last))).alias("n"))
    days = days.transform(_with_phase).where("present").transform(_with_strain)
    draw, keys = Draws(world.seed), (F.col("no"), F.col("n"))
    fade, season = F.col("fade"), number_at(world.seasons(first, last), F.col("n") - (first - 1))
    newcomer = F.when(F.col("n") < F.col("joined") + 7, F.lit(1.3)).otherwise(F.lit(1.0))
    level = F.when(F.col("returned"), F.lit(0.6)).otherwise(F.lit(1.0))
    chance = F.least(F.lit(0.97), F.col("pace") * season * newcomer * level * (1 - fade * F.col("strain")))
    chance = F.when(F.col("bot"), F.lit(0.98)).otherwise(chance)
    # the day of joining is an active one
    active = (draw.uniform("active", *keys) < chance) | ((F.col("n") == F.col("joined")) & ~F.col("bot"))
    amount = draw.uniform("amount", *keys)
    usual = F.least(F.lit(MOST_EVENTS), 1 + F.floor(exponential(amount, F.col("chatty") * (1 - 0.6 * fade * F.col("strain")))))
    # the registration is an event more
    usual += (F.col("n") == F.col("joined")).cast("int")
    count = F.when(F.col("bot"), F.lit(BOT_EVENTS) + F.floor(amount * BOT_EVENTS)).otherwise(usual).cast("int")
    return days.where(~_paused() | F.col("bot")).where(active).select(*KEPT, "n", "strain", count.alias("count"))


def _with_phase(days: DataFrame) -> DataFrame:
    """Add ``present``, ``returned``, and the decline in force on the day: [declining_from, leaving_on)."""
    n, spared = F.col("n"), F.col("spared") & (F.col("n") >= F.coalesce(F.col("treated_from"), F.lit(0)))
    leaving = F.when(spared, F.col("stays_until")).otherwise(F.col("leaves"))
    away = spared & (F.col("leaves") <= F.col("treated_from")) & (n < F.col("back"))
    returned = ~spared & F.coalesce(n >= F.col("returns"), F.lit(False))
    return days.withColumns(
        {
            "present": ((n < leaving) & ~away) | returned,
            "returned": returned,
            "leaving_on": leaving,
            "declining_from": F.when(spared, F.col("stays_until") - F.col("decline_days")).otherwise(F.col("declines")),
        }
    )


def _with_strain(days: DataFrame) -> DataFrame:
    """Add ``strain``: 0 before the decline, near 1 at its end; scares rise to 0.7 and end well."""
    n = F.col("n")
    length = F.greatest(F.col("leaving_on") - F.col("declining_from"), F.lit(1))
    decline = F.least(F.lit(1.0), F.greatest(F.lit(0.0), (n - F.col("declining_from")) / length))
    scare = F.get("scares", F.expr(f"cast(n div {SCARE_BLOCK} AS int)"))
    shape = F.lit(0.7) * (1 - F.abs(2 * (n - scare["start"]) / scare["length"] - 1))
    strain = F.greatest(shape, F.when(F.col("returned"), F.lit(0.0)).otherwise(decline), F.lit(0.0))
    return days.withColumn("strain", F.when(F.col("bot"), F.lit(0.0)).otherwise(strain))


def _paused() -> Column:
    """True while the user is on a holiday."""
    pause = F.get("pauses", F.expr(f"cast(n div {PAUSE_BLOCK} AS int)"))
    return (F.col("n") >= pause["start"]) & (F.col("n") < pause["start"] + pause["length"])
