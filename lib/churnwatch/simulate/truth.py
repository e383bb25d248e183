"""The truth of a world: what was planted. It lies in a folder that the flow never reads."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.simulate.days import active_days
from churnwatch.simulate.people import NEVER
from churnwatch.simulate.plan import World


def truth(who: DataFrame, world: World, treated: DataFrame | None = None) -> dict[str, DataFrame]:
    """Frames by name: ``users`` (a row a user), ``effects`` (a cause), ``waves`` (a wave that has come) and, with
    ``treated``, ``treatments`` (a treated user)."""
    spark = who.sparkSession
    effects = [(c.name, c.weight, c.fade, c.symptom_share, c.save_share) for c in world.causes]
    waves = [(world.day(w.day), w.region, w.share) for w in world.waves if w.day <= world.days]
    columns = "cause string, weight double, fade double, symptom_share double, save_share double"
    frames = {
        "users": planted_users(who, world),
        "effects": spark.createDataFrame(effects, columns),
        "waves": spark.createDataFrame(waves, "day date, region string, share double"),
    }
    return frames if treated is None else frames | {"treatments": treatments(who, world, treated)}


def planted_users(who: DataFrame, world: World) -> DataFrame:
    """Return one row per user who joined by the last day, without any treatment.

    user_id, bot, joined_on, cause, sudden, decline_from (first day of the decline), leaves_on (first day away; null:
    not within the world's days), returns_on, wave_day. No later knowledge than the last day is in the row.
    """
    who = who.where(F.col("joined") <= world.days)

    def on(name: str) -> Column:
        number = F.when(F.col(name) <= world.days, F.col(name))
        return F.date_add(F.lit(world.first_day), (number - 1).cast("int"))

    left = F.col("leaves") <= world.days
    return who.select(
        "user_id",
        "bot",
        on("joined").alias("joined_on"),
        "cause",
        (F.col("decline_days") == 1).alias("sudden"),
        F.when(F.col("leaves") < NEVER, on("declines")).alias("decline_from"),
        on("leaves").alias("leaves_on"),
        on("returns").alias("returns_on"),
        F.when(left, F.date_add(F.lit(world.first_day), F.col("wave_day") - 1)).alias("wave_day"),
    )


def treatments(who: DataFrame, world: World, treated: DataFrame) -> DataFrame:
    """Return one row per treated user: both outcomes, with and without the treatment.

    ``treated``: [user_id, action_day (number), treated_from]. Columns: user_id, day (of the offer), cause, leaves_on
    (without treatment), spared, retained_without and retained_with: active on one of the ``retained_days`` days after
    the offer; null while they are not over. Their mean difference is the planted effect on the treated.
    """
    span = world.retained_days
    treated = treated.where(F.col("action_day") < world.days)
    everyone = who.where(F.col("treated_from").isNotNull())
    plain = everyone.withColumn("spared", F.lit(False))
    action = treated.select("user_id", "action_day")

    def active(who: DataFrame, name: str) -> DataFrame:
        days = active_days(who, world, 1, world.days).join(action, "user_id")
        days = days.where((F.col("n") > F.col("action_day")) & (F.col("n") <= F.col("action_day") + span))
        return days.groupBy("user_id").agg(F.lit(True).alias(name))

    rows = (
        everyone.join(action, "user_id")
        .join(active(plain, "kept_without"), "user_id", "left")
        .join(active(everyone, "kept_with"), "user_id", "left")
    )
    over = F.col("action_day") + span <= world.days
    return rows.select(
        "user_id",
        F.date_add(F.lit(world.first_day), F.col("action_day") - 1).alias("day"),
        "cause",
        F.when(F.col("leaves") <= world.days, F.date_add(F.lit(world.first_day), F.col("leaves") - 1)).alias("leaves_on"),
        "spared",
        F.when(over, F.coalesce("kept_without", F.lit(False))).alias("retained_without"),
        F.when(over, F.coalesce("kept_with", F.lit(False))).alias("retained_with"),
    )
