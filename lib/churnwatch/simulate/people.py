"""The users of a world: one row per user, with the latent state that decides behaviour."""

from collections.abc import Callable, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from churnwatch.settings.terms import OFFER
from churnwatch.simulate.draws import Draws, again, exponential, number_at, pick
from churnwatch.simulate.plan import CHANNELS, PLANS, REGIONS, Run, World

STAY_BY_PLAN = {"free": 0.85, "basic": 1.05, "premium": 1.5}
NEVER = 1_000_000  # a day number that no world reaches
TRIAL_DAYS = 21
WAVE_DAYS = 3  # users of a wave leave within this many days
WAVE_DECLINE_DAYS = 2  # days of decline before they leave
SCARE_BLOCK = 90
PAUSE_BLOCK = 60
BACK_DAYS = 5  # won-back users return within this many days


def people(spark: SparkSession, world: World, treated: DataFrame | None = None) -> DataFrame:
    """Return one row per user: latent state in day numbers, and what a treatment makes of it.

    ``treated``: [user_id, treated_from], one row a user (see ``treated_users``).
    Columns: no, user_id, region, plan, channel, bot, joined, pace, chatty, variety, cause, declines (start of the
    decline), leaves (first day away), returns, wave_day, treated_from, spared (stays or returns by the treatment),
    back (first day back), stays_until, and what ``_with_weak_spot`` and ``_with_spells`` add.
    """
    frame = spark.range(1, world.users + 1).select(F.col("id").alias("no"), user_id(F.col("id")).alias("user_id"))
    frame = frame.transform(_with_nature, world).transform(_with_leaving, world).transform(_with_waves, world)
    frame = frame.transform(_with_weak_spot, world).transform(_with_spells, world)
    if treated is None:
        return frame.transform(_untreated)
    return frame.join(treated.select("user_id", "treated_from"), "user_id", "left").transform(_with_treatment, world)


def user_id(number: Column) -> Column:
    """User key of 16 characters."""
    return F.concat(F.lit("u"), F.lpad(number.cast("string"), 15, "0"))


def treated_users(actions: DataFrame, world: World, runs: Sequence[Run]) -> DataFrame:
    """[user_id, action_day, treated_from], days as numbers: one row a user with an offer, by the first that reached a run.

    ``actions``: rows of retention_actions (day, user_id, arm). An offer of day a works from a + 1 on, but never on
    days that were written before it was known; ``runs`` are all runs, the present one last.
    """
    number = F.date_diff("day", F.lit(world.first_day)) + 1
    known = [
        F.when((number <= run.actions_until) & (number < run.last), F.greatest(number + 1, F.lit(run.first)))
        for run in runs
        if run.actions_until is not None
    ]
    start = F.least(*known, F.lit(NEVER), F.lit(NEVER)) if known else F.lit(NEVER)
    return (
        actions.where(F.col("arm") == OFFER)
        .select("user_id", number.alias("action_day"), start.alias("treated_from"))
        .where(F.col("treated_from") < NEVER)
        .groupBy("user_id")
        .agg(F.min(F.struct("treated_from", "action_day")).alias("first"))
        .select("user_id", "first.action_day", "first.treated_from")
    )


def _with_nature(frame: DataFrame, world: World) -> DataFrame:
    """Add what never changes about a user: segment, pace, cause of churn, day of joining."""
    draw, no = Draws(world.seed), F.col("no")
    arrival = draw.uniform("join", no)
    late = (arrival - world.start_share) / max(1e-9, 1 - world.start_share)
    early = -F.floor(again(arrival) * 700)  # registered up to two years before day 1
    low, high = world.pace
    return frame.withColumns(
        {
            "region": pick(draw.uniform("region", no), REGIONS),
            "plan": pick(draw.uniform("plan", no), PLANS),
            "bot": draw.uniform("bot", no) < world.bot_share,
            "channel": F.when(draw.uniform("bot", no) < world.bot_share, F.lit("web")).otherwise(
                pick(draw.uniform("channel", no), CHANNELS)
            ),
            "joined": F.when(arrival < world.start_share, early)
            .otherwise(F.lit(1) + F.floor(late * world.join_days))
            .cast("int"),
            "pace": low + (high - low) * F.pow(draw.uniform("pace", no), F.lit(1.25)),
            "chatty": F.lit(world.events_a_day) * (0.4 + 1.2 * draw.uniform("chatty", no)),
            "variety": 0.3 + 0.7 * draw.uniform("variety", no),
            "cause": pick(draw.uniform("cause", no), {cause.name: cause.weight for cause in world.causes}),
            "key": F.hex("no"),
        }
    )


def _with_leaving(frame: DataFrame, world: World) -> DataFrame:
    """Add the day on which a user leaves by nature, the decline before it and a return after it."""
    draw, no = Draws(world.seed), F.col("no")
    start = F.greatest(F.col("joined"), F.lit(1))
    factor = number_at(
        [STAY_BY_PLAN[plan] for plan in PLANS], F.array_position(F.array(*map(F.lit, PLANS)), F.col("plan")).cast("int")
    )
    stay = world.first_stay_days + F.floor(exponential(draw.uniform("stay", no), factor * world.mean_stay_days))
    trial = draw.uniform("trial", no)
    on_trial = (F.col("joined") >= 1) & (trial < world.trial_share)
    trial_stay = world.first_stay_days + F.floor(again(trial) * (TRIAL_DAYS - world.first_stay_days))
    leaves = F.when(F.col("bot"), F.lit(NEVER)).otherwise(start + F.when(on_trial, trial_stay).otherwise(stay)).cast("int")
    low, high = world.decline_days
    pattern = draw.uniform("decline", no)
    sudden = again(pattern) < world.sudden_share
    length = F.when(sudden, F.lit(1)).otherwise(low + F.floor(pattern * (high - low + 1)))
    comeback = draw.uniform("return", no)
    away = 30 + F.floor(again(comeback) * 60)
    returns = F.when((comeback < world.return_share) & (F.col("leaves") < NEVER), (F.col("leaves") + away).cast("int"))
    frame = frame.withColumn("leaves", leaves).withColumn("decline_days", length.cast("int")).withColumn("returns", returns)
    return frame.withColumn("declines", F.greatest(start - 1, F.col("leaves") - F.col("decline_days")).cast("int"))


def _with_waves(frame: DataFrame, world: World) -> DataFrame:
    """Move a wave's members to its days; adds ``wave_day``. A wave takes only users who would have stayed longer."""
    frame = frame.withColumn("wave_day", F.lit(None).cast("int"))
    for index, wave in enumerate(world.waves):
        share = Draws(world.seed).uniform(f"wave {index}", F.col("no"))
        present = (F.col("joined") <= wave.day - world.first_stay_days) & (F.col("leaves") > wave.day + WAVE_DAYS)
        member = (F.col("region") == wave.region) & (share < wave.share) & present & ~F.col("bot") & F.col("wave_day").isNull()
        leaves = (F.lit(wave.day) + F.floor(again(share) * WAVE_DAYS)).cast("int")
        frame = frame.withColumn("member", member).withColumns(
            {
                "wave_day": F.when(F.col("member"), F.lit(wave.day)).otherwise(F.col("wave_day")),
                "cause": F.when(F.col("member"), F.lit("quality")).otherwise(F.col("cause")),
                "returns": F.when(~F.col("member"), F.col("returns")),
                "declines": F.when(F.col("member"), F.lit(wave.day - WAVE_DECLINE_DAYS)).otherwise(F.col("declines")),
                "leaves": F.when(F.col("member"), leaves).otherwise(F.col("leaves")),
            }
        )
    return frame.drop("member")


def _with_weak_spot(frame: DataFrame, world: World) -> DataFrame:
    """Add the parameters of the user's cause: ``weak`` (its position), ``fade``, ``symptom_share``."""
    place = F.array_position(F.array(*(F.lit(cause.name) for cause in world.causes)), F.col("cause")).cast("int")
    frame = frame.withColumn("weak", place)
    return frame.withColumns(
        {
            "fade": number_at([cause.fade for cause in world.causes], F.col("weak")),
            "symptom_share": number_at([cause.symptom_share for cause in world.causes], F.col("weak")),
        }
    )


def _with_spells(frame: DataFrame, world: World) -> DataFrame:
    """Add ``scares`` (declines that end well) and ``pauses`` (holidays of 5 .. 18 days, short ones more often).

    One {start, length} for each SCARE_BLOCK and PAUSE_BLOCK days up to the world's last day; start NEVER: none.
    """
    scare_start, scare_length = 60, 15  # at most, and above 14
    pause_start, pause_length = 42, 14  # at most, and above 5

    def spells(name: str, block_days: int, share: float, latest: int, length: Callable[[Column], Column]) -> Column:
        def spell(block: Column) -> Column:
            chance = Draws(world.seed).uniform(name, F.col("no"), block)
            start = block * block_days + F.floor(again(chance) * latest)
            start = F.when(chance < share, start).otherwise(F.lit(NEVER)).cast("int")
            return F.struct(start.alias("start"), length(again(chance, 104729.0)).cast("int").alias("length"))

        return F.transform(F.sequence(F.lit(0), F.lit(world.days // block_days)), spell)

    return frame.withColumns(
        {
            "scares": spells("scare", SCARE_BLOCK, world.scare_share, scare_start, lambda u: 14 + F.floor(u * scare_length)),
            "pauses": spells("pause", PAUSE_BLOCK, world.pause_share, pause_start, lambda u: 5 + F.floor(u * u * pause_length)),
        }
    )


def _untreated(frame: DataFrame) -> DataFrame:
    none = F.lit(None).cast("int")
    return frame.withColumns({"treated_from": none, "spared": F.lit(False), "back": none, "stays_until": none})


def _with_treatment(frame: DataFrame, world: World) -> DataFrame:
    """Add the effect of the treatment: a leaver in reach stays or returns for months, with the probability of the cause."""
    draw, no, start = Draws(world.seed), F.col("no"), F.col("treated_from")
    save = number_at([cause.save_share for cause in world.causes], F.col("weak"))
    share = draw.uniform("treatment", no)
    in_reach = (F.col("leaves") >= start - world.win_back_days) & (F.col("leaves") <= start + world.reach_days)
    spared = F.coalesce(start.isNotNull() & in_reach & (share < save), F.lit(False))
    back = F.when(F.col("leaves") <= start, start + F.floor(draw.uniform("back", no) * BACK_DAYS)).otherwise(start)
    stays = start + 90 + F.floor(draw.uniform("stays", no) * 120)
    frame = frame.withColumn("spared", spared)
    spared = F.col("spared")
    return frame.withColumn("back", F.when(spared, back).cast("int")).withColumn("stays_until", F.when(spared, stays).cast("int"))
