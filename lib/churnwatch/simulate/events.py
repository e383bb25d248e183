"""Events of a world as its systems would write them: with duplicates, late and broken rows."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.settings import EVENT_FIELDS
from churnwatch.simulate.days import active_days
from churnwatch.simulate.draws import Draws, entry, exponential, number_at, place, table
from churnwatch.simulate.plan import PLANS, World

# what users do in quiet times; the last six are the noise that symptoms must stand out from
TYPES = {
    "view": 0.388,
    "download": 0.01,
    "subscribe": 0.002,
    "use": 0.29,
    "click": 0.15,
    "like": 0.05,
    "comment": 0.03,
    "share": 0.02,
    "purchase": 0.03,
    "cancel": 0.004,
    "rating": 0.008,
    "complaint": 0.004,
    "service": 0.004,
    "crash": 0.005,
    "slow_page": 0.005,
}
# what a cause shows in the weeks before leaving: event types by weight, a type:item where the item says it
SYMPTOMS: dict[str, dict[str, float]] = {
    "price": {"view:pricing": 0.6, "cancel": 0.4},
    "quality": {"crash": 0.45, "slow_page": 0.55},
    "service": {"complaint": 0.5, "service": 0.35, "rating": 0.15},
    "competitor": {"view:competitor": 1.0},
}
BROKEN = (
    "no_user",
    "blank_user",
    "no_time",
    "impossible_time",
    "unknown_type",
    "nan_amount",
    "infinite_amount",
    "negative_duration",
    "cut_row",
)
SYMPTOM_PLACES = 100
RARE_PAGES = {20: "pricing", 27: "competitor"}
PAGES = [RARE_PAGES.get(n, f"page_{n:02d}") for n in range(30)]
FUNCTIONS = [f"function_{n:02d}" for n in range(24)]
MEAN_SECONDS = '{"view": 25, "use": 160, "slow_page": 5, "service": 900}'
PLAN_SPEND = {"free": 0.6, "basic": 1.0, "premium": 1.8}
# raw files of a world are named as the map names fields; its money is in the domain's currency, and no column says so
EVENT_COLUMNS = tuple(name for name in EVENT_FIELDS if name != "currency")


def events(who: DataFrame, world: World, first: int, last: int) -> DataFrame:
    """Return the rows of the raw files of days ``first`` .. ``last``: EVENT_COLUMNS, ``day`` (the file's) and ``kind``.

    kind: event, duplicate, or one of BROKEN; a late row lies in the file of the next day. Amounts in major units,
    durations in seconds, times in UTC. ``who``: all users, see ``people``.
    """
    # late rows of the day before the first belong to the first file
    days = active_days(who, world, max(1, first - 1), last)
    return days.transform(clean_events, world).transform(_as_written, world, first, last)


def clean_events(days: DataFrame, world: World) -> DataFrame:
    """Return one row per event, as it happened: EVENT_COLUMNS, day number ``n`` and the event's ``draw``."""
    draw, no, n = Draws(world.seed), F.col("no"), F.col("n")
    twice = ~F.col("bot") & (F.col("count") >= 4) & (draw.uniform("sessions", no, n) < 0.35)
    midnight = F.unix_date(F.date_add(F.lit(world.first_day), n - 1)).cast("long") * 86_400_000
    frame = days.withColumns(
        {
            "key": F.concat_ws("-", "key", n.cast("string")),
            "midnight": midnight,
            # events of the first session; the rest belongs to a second one
            "first": F.when(twice, F.floor(F.col("count") * 0.6).cast("int")).otherwise(F.col("count")),
            "morning": 6.5 * 3600 + draw.uniform("morning", no, n) * 8 * 3600,
            "evening": 15.5 * 3600 + draw.uniform("evening", no, n) * 6 * 3600,
        }
    )
    frame = frame.select("*", F.explode(F.sequence(F.lit(0), F.col("count") - 1)).alias("k"))
    frame = frame.withColumn("draw", draw.mixed("event", no, n, F.col("k"))).transform(_with_type, world)
    return frame.select(
        "n",
        "draw",
        F.concat_ws("-", "key", F.col("k").cast("string")).alias("event_id"),
        "user_id",
        _time(world).alias("event_time"),
        "event_type",
        _amount(world).alias("amount"),
        _duration(world).alias("duration_s"),
        _item(world).alias("item_id"),
        F.concat("key", F.when(F.col("k") < F.col("first"), F.lit("-a")).otherwise(F.lit("-b"))).alias("session_id"),
        "channel",
        _properties(world).alias("properties"),
    )


def _draw(world: World, salt: str) -> Column:
    return Draws(world.seed).uniform(salt, F.col("draw"))


def _with_type(frame: DataFrame, world: World) -> DataFrame:
    """Add ``event_type`` and ``shown``: the place of the symptom in the tables, null where the event is none."""
    # on the day of joining the registration comes before the log-in
    start, joins = (F.col("n") == F.col("joined")).cast("int"), ~F.col("bot") & (F.col("n") == F.col("joined"))
    register, login = joins & (F.col("k") == 0), (F.col("k") == start) | (F.col("k") == F.col("first"))
    chance = _draw(world, "symptom")
    symptom = ~login & ~register & (chance < F.col("symptom_share") * F.col("strain"))
    places = (F.col("weak") - 1) * SYMPTOM_PLACES + place(_draw(world, "which"), SYMPTOM_PLACES)
    frame = frame.withColumn("shown", F.when(symptom, places))
    types = [name.partition(":")[0] for name in _symptoms(world)]
    usual = entry(table(TYPES), place(_draw(world, "type")))
    chosen = F.when(F.col("bot"), F.lit("view")).when(register, F.lit("register")).when(login, F.lit("login"))
    return frame.withColumn("event_type", chosen.otherwise(F.coalesce(entry(types, F.col("shown")), usual)))


def _symptoms(world: World) -> list[str]:
    """SYMPTOM_PLACES places a cause, in the causes' order: type, or type:item."""
    return [name for cause in world.causes for name in table(SYMPTOMS.get(cause.name, {"view": 1.0}), SYMPTOM_PLACES)]


def _time(world: World) -> Column:
    """Instant in UTC, within the day: sessions start in the morning and in the afternoon, bots never rest."""
    later, jitter = F.col("k") >= F.col("first"), _draw(world, "time")
    start = F.when(later, F.col("evening") + (F.col("k") - F.col("first") + jitter) * 70).otherwise(
        F.col("morning") + (F.col("k") + jitter) * 70
    )
    seconds = F.when(F.col("bot"), (F.col("k") + jitter) * 86_400 / F.col("count")).otherwise(start)
    return F.timestamp_millis(F.col("midnight") + F.least(F.floor(seconds * 1000), F.lit(86_399_999)))


def _amount(world: World) -> Column:
    spend = number_at(
        [PLAN_SPEND[plan] for plan in PLANS], F.array_position(F.array(*map(F.lit, PLANS)), F.col("plan")).cast("int")
    )
    chance = _draw(world, "price")
    return F.when(F.col("event_type").isin("purchase", "cancel"), F.round(spend * (4.99 + 60 * chance * chance * chance), 2))


def _duration(world: World) -> Column:
    """Seconds: stay of a view or use, wait for a slow page or for the service's answer."""
    length, strain = _draw(world, "duration"), F.col("strain")
    mean = F.element_at(F.from_json(F.lit(MEAN_SECONDS), "map<string,double>"), F.col("event_type"))
    changed = F.when(F.col("cause") == "engagement", 1 - 0.6 * strain).when(
        (F.col("cause") == "service") & (F.col("event_type") == "service"), 1 + 5 * strain
    )
    return F.round(3 + exponential(length, mean) * F.coalesce(changed, F.lit(1.0)), 1)


def _item(world: World) -> Column:
    """Page of a view, function of a use; users in falling engagement give functions up."""
    chance = _draw(world, "item")
    low = chance * chance  # the first pages and functions are used most
    tired = F.when(F.col("cause") == "engagement", 1 - 0.7 * F.col("strain")).otherwise(F.lit(1.0))
    functions = (F.floor(low * (1 + 23 * F.col("variety") * tired)) + 1).cast("int")
    items = [name.partition(":")[2] or PAGES[0] for name in _symptoms(world)]
    view = F.coalesce(entry(items, F.col("shown")), entry(PAGES, place(low, len(PAGES))))
    return F.when(F.col("event_type") == "view", view).when(F.col("event_type") == "use", entry(FUNCTIONS, functions))


def _properties(world: World) -> Column:
    chance, kind = _draw(world, "properties"), F.col("event_type")
    unhappy = F.when(F.col("cause").isin("service", "quality"), F.col("strain")).otherwise(F.lit(0.0))
    stars = F.ceil(5 * F.pow(chance, 0.4 + 1.6 * unhappy)).cast("string")
    topic = F.when(chance < 0.5 + 0.4 * unhappy, F.lit("service")).otherwise(F.lit("other"))
    name = F.when(kind == "rating", F.lit("stars")).otherwise(F.lit("topic"))
    value = F.when(kind == "rating", stars).otherwise(topic)
    return F.when(kind.isin("rating", "complaint"), F.create_map(name, value))


def _as_written(frame: DataFrame, world: World, first: int, last: int) -> DataFrame:
    """Add duplicates (same row, same id) and broken rows (damaged copies with ids of their own), places late rows."""
    event, chance = F.lit("event"), _draw(world, "flaw")
    fault = entry(BROKEN, place(_draw(world, "fault"), len(BROKEN)))
    copies = (
        F.when(chance < world.duplicate_share, F.array(event, F.lit("duplicate")))
        .when(chance < world.duplicate_share + world.broken_share, F.array(event, fault))
        .otherwise(F.array(event))
    )
    frame = frame.select("*", F.explode(copies).alias("kind"))
    late = Draws(world.seed).uniform("late", F.col("draw"), F.col("kind")) < world.late_share
    frame = frame.withColumn("file", F.col("n") + late.cast("int")).where((F.col("file") >= first) & (F.col("file") <= last))
    frame = frame.withColumn("day", F.date_add(F.lit(world.first_day), F.col("file") - 1))
    damaged = {name: _damaged(name).alias(name) for name in EVENT_COLUMNS}
    return frame.select(*damaged.values(), "day", "kind")


def _damaged(name: str) -> Column:
    """The column as it is written: whole, or as the row's fault leaves it."""
    kind, value = F.col("kind"), F.col(name)
    if name == "event_id":
        return F.when(kind.isin(*BROKEN), F.concat(F.lit("x"), value)).otherwise(value)
    faults = {
        "user_id": {"no_user": F.lit(None), "blank_user": F.lit("  ")},
        "event_time": {"no_time": F.lit(None), "impossible_time": F.to_timestamp(F.lit("2999-12-31 00:00:00"))},
        "event_type": {"unknown_type": F.lit("teleport")},
        "amount": {"nan_amount": F.lit(float("nan")), "infinite_amount": F.lit(float("inf"))},
        "duration_s": {"negative_duration": F.lit(-5.0)},
    }
    column = F.when(kind == "cut_row", F.lit(None))
    for fault, broken in faults.get(name, {}).items():
        column = column.when(kind == fault, broken)
    return column.otherwise(value)
