"""Worlds of a domain's warning rules: for each rule, users for whom it must fire, beside usual users.

Nothing is left to chance: a row is a function of the user's number, the pattern and the last day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from churnwatch.settings import Pattern, Planted, PlantedEvents
from churnwatch.settings.terms import CONTACT, PROFILING
from churnwatch.simulate.events import EVENT_COLUMNS

USUAL = "usual"
CONSENTS = (*((channel, CONTACT) for channel in ("email", "push", "sms", "phone")), (PROFILING, PROFILING))
FIRST_HOUR, PLACES = 8, 600  # events of a day lie a minute apart, from eight in the morning on
DONE = "rule string, place int, day date, event_type string, count int, amount double, duration_s double, item_id string, "


@dataclass(frozen=True)
class PlantedWorld:
    """``users_a_rule`` users for each rule (or as many as its pattern asks for) and ``usual_users``, on ``days`` days that
    end with ``last_day``."""

    planted: Planted
    last_day: date
    days: int
    users_a_rule: int = 5
    usual_users: int = 100

    @property
    def first_day(self) -> date:
        """The first day with events."""
        return self.last_day - timedelta(days=self.days - 1)

    @property
    def patterns(self) -> dict[str, Pattern]:
        """Pattern by rule, the usual one last."""
        return {**self.planted.rules, USUAL: self.planted.usual}

    def users(self, rule: str) -> int:
        """Return the number of users with the pattern of ``rule``."""
        return self.usual_users if rule == USUAL else max(self.users_a_rule, self.planted.rules[rule].users)


def planted_world(spark: SparkSession, world: PlantedWorld) -> dict[str, DataFrame]:
    """The raw input by name, columns named as maps name fields: ``events`` (with ``day``), ``users``, ``consents``,
    ``context``; and ``truth``: [rule, user_id], a row a planted user."""
    who = _people(spark, world)
    return {
        "events": _events(who, world),
        "users": _users(who, world),
        "consents": _consents(who, world),
        "context": _context(spark, world),
        "truth": who.where(F.col("rule") != USUAL).select("rule", "user_id"),
    }


def days_of(events: PlantedEvents, last_day: date) -> Iterator[date]:
    """The days on which ``events`` happen, in order."""
    if events.months_ago is not None:
        months = last_day.year * 12 + last_day.month - 1 - events.months_ago
        yield date(months // 12, months % 12 + 1, 1)
        return
    latest = events.days_ago if events.until_days_ago is None else events.until_days_ago
    for ago in range(events.days_ago or 0, (latest or 0) - 1, -events.every_days):
        yield last_day - timedelta(days=ago)


def _people(spark: SparkSession, world: PlantedWorld) -> DataFrame:
    """Return one row per user: user_id and rule."""
    bounds, end = [], 0
    for rule in world.patterns:
        bounds.append((rule, end, end + world.users(rule)))
        end = bounds[-1][2]
    places = F.broadcast(spark.createDataFrame(bounds, "rule string, start long, end long"))
    mine = (F.col("no") >= F.col("start")) & (F.col("no") < F.col("end"))
    numbers = spark.range(end).withColumnRenamed("id", "no")
    user_id = F.concat(F.lit("p"), F.lpad(F.col("no").cast("string"), 15, "0"))
    return numbers.join(places, mine).select(user_id.alias("user_id"), "rule")


def _events(who: DataFrame, world: PlantedWorld) -> DataFrame:
    done = who.sparkSession.createDataFrame(list(_done(world)), f"{DONE}properties map<string, string>")
    rows = who.join(F.broadcast(done), "rule").select("*", F.explode(F.sequence(F.lit(1), "count")).alias("k"))
    minute = F.lit(FIRST_HOUR * 60) + F.pmod(F.col("place") + F.col("k"), F.lit(PLACES))
    instant = F.timestamp_seconds(F.unix_date("day").cast("long") * 86_400 + minute * 60)
    made = {
        "event_id": F.concat_ws("-", "user_id", "day", "place", "k"),
        "event_time": instant,
        "session_id": F.concat_ws("-", "user_id", "day"),
        "channel": F.lit("web"),
    }
    return rows.select(*(made[name].alias(name) if name in made else F.col(name) for name in EVENT_COLUMNS), "day")


def _done(world: PlantedWorld) -> Iterator[tuple[object, ...]]:
    """Yield one row per pattern, kind of events and day within the world; bounded by what is configured, not by users."""
    for rule, pattern in world.patterns.items():
        usual = world.planted.usual.events if rule != USUAL and pattern.as_usual else []
        for place, events in enumerate([*pattern.events, *usual]):
            what = (events.type, events.count, events.amount, events.duration_s, events.item, events.properties or None)
            for day in days_of(events, world.last_day):
                if world.first_day <= day <= world.last_day:
                    yield (rule, place * 20, day, *what)


def _users(who: DataFrame, world: PlantedWorld) -> DataFrame:
    """Return one row per user: registered_on, changed_at (the first day) and attributes by name."""
    names = sorted({name for p in world.patterns.values() for name in (*p.attributes, *p.days_ahead)})
    known = []
    for rule, pattern in world.patterns.items():
        ahead = {name: str(world.last_day + timedelta(days=n)) for name, n in pattern.days_ahead.items()}
        attributes = world.planted.usual.attributes | pattern.attributes | ahead
        registered = world.last_day - timedelta(days=pattern.registered_days_ago)
        known.append((rule, registered, *(attributes.get(name) for name in names)))
    schema = ", ".join(["rule string", "registered_on date", *(f"`{name}` string" for name in names)])
    facts = F.broadcast(who.sparkSession.createDataFrame(known, schema))
    changed_at = _instant(world.first_day, time(6))
    return who.join(facts, "rule").select("user_id", "registered_on", changed_at.alias("changed_at"), *names)


def _consents(who: DataFrame, world: PlantedWorld) -> DataFrame:
    """Grant every channel to every user from the first day on."""
    granted = F.array(*(F.struct(F.lit(c).alias("channel"), F.lit(p).alias("purpose")) for c, p in CONSENTS))
    rows = who.select("user_id", F.explode(granted).alias("one")).select("user_id", "one.channel", "one.purpose")
    return rows.withColumn("granted", F.lit(True)).withColumn("changed_at", _instant(world.first_day, time(6)))


def _context(spark: SparkSession, world: PlantedWorld) -> DataFrame:
    rows = []
    for name, one in world.planted.market.items():
        later = world.last_day - timedelta(days=one.later_days - 1)
        for scope in one.scopes:
            rows += [(world.first_day, scope, name, one.value), (later, scope, name, one.later)]
    return spark.createDataFrame(rows, "day date, scope string, name string, value double")


def _instant(day: date, at: time) -> Column:
    return F.lit(datetime.combine(day, at, UTC))
