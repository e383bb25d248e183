"""Tiny worlds for tests of transforms: settings, frames by contract, and inputs cut as the runner cuts them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from random import Random
from typing import Any

from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import DateType, StructField, StructType

from churnwatch.core import Table
from churnwatch.settings import Settings
from churnwatch.tables import Tables, tables
from frames import frame

Row = Mapping[str, Any]
OPEN_END = date(9999, 12, 31)

SMALL: dict[str, Any] = {
    "domain": "small",
    "storage": {"root": "unused", "files": "unused"},
    "mlflow": {"tracking_uri": "unused"},
    "activity": {"buckets": 2, "session_gap_minutes": 30, "distinct_cap": 200},
    "privacy": {"id_key": {"env": "UNUSED"}},
    "sources": {
        "events": [
            {
                "name": "e",
                "format": "parquet",
                "path": "unused",
                "map": {"user_id": "user_id", "event_time": "event_time", "event_type": "event_type"},
            }
        ],
        "users": {"name": "u", "format": "parquet", "path": "unused", "map": {"user_id": "user_id", "plan": "plan"}},
    },
    "measures": {
        "measures": {
            "orders": {"kind": "count", "where": "event_type = 'order'"},
            "cancels": {"kind": "count", "where": "event_type = 'cancel'"},
            "spend_cents": {"kind": "sum", "of": "amount_cents"},
            "slowest_ms": {"kind": "max", "of": "duration_ms"},
            "items": {"kind": "distinct", "of": "item_id"},
        },
        "windows_days": [1, 2, 4],
        "trend_days": 1,
        "ratios": {"cancel_rate": "cancels / orders"},
        "segments": ["plan"],
        "population_days": 3,
    },
    "churn": {
        "primary": "silent",
        "definitions": {"silent": {"events": ["order", "view"], "horizon_days": 2, "lead_days": 1, "active_within_days": 2}},
    },
    "tiers": {"tiers": [{"name": "all"}], "levels": []},
}


def settings(**changes: Any) -> Settings:
    """The small world's settings; ``changes`` replace keys of its parts (``activity={"buckets": 1}``)."""
    tree = {**SMALL}
    for part, values in changes.items():
        tree[part] = {**tree[part], **values} if isinstance(tree.get(part), dict) else values
    return Settings.model_validate(tree)


def contracts(**changes: Any) -> Tables:
    """The contracts under ``settings(**changes)``."""
    return tables(settings(**changes))


def rows(spark: SparkSession, table: Table, given: Iterable[Row]) -> DataFrame:
    """A frame of ``table``'s schema; columns that a row leaves out are null. Nullability is not enforced."""
    return frame(spark, given, table.schema)


def on_days(given: Iterable[Row], first: date, last: date) -> list[Row]:
    """The rows of ``first`` .. ``last``: what an ordinary span reads."""
    return [row for row in given if first <= row["day"] <= last]


def as_of(spark: SparkSession, table: Table, given: Iterable[Row], days: Sequence[date], since_days: int = 0) -> DataFrame:
    """What ``as_of(since_days)`` gives for ``days``: rows per pick key with ``day`` (in force from) and ``until``."""
    by_key: dict[tuple, list[Row]] = {}
    for row in sorted(on_days(given, date.min, max(days)), key=lambda r: r["day"]):
        by_key.setdefault(tuple(row[k] for k in table.pick_key), []).append(row)
    kept = []
    for changes in by_key.values():
        if table.pick == "earliest":
            kept.append({**changes[0], "until": OPEN_END})
            continue
        ends = [after["day"] - timedelta(days=1) for after in changes[1:]] + [OPEN_END]
        kept += [
            {**row, "until": end} for row, end in zip(changes, ends, strict=True) if end >= min(days) - timedelta(since_days)
        ]
    return frame(spark, kept, StructType([*table.schema, StructField("until", DateType())]))


def at(day: date, time: str) -> datetime:
    """The instant of ``time`` (HH:MM or HH:MM:SS) on ``day``, UTC."""
    return datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)


def collected(frame: DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries, in an order of their own."""
    return sorted((row.asDict() for row in frame.collect()), key=repr)


def activity(user: str, day: date, **measures: Any) -> Row:
    """A row of daily_activity: one view that counts for the definition, unless ``measures`` say otherwise."""
    base = {"bucket": 0, "events": 1, "sessions": 1, "first_time": at(day, "12:00"), "last_time": at(day, "12:00")}
    base |= {"hours": 1 << 12, "bot": False}
    nothing = {"orders": 0, "cancels": 0, "spend_cents": 0, "slowest_ms": None, "items": [], "def_silent": 1}
    return {"day": day, "user_id": user, **base, **nothing, **measures}


def first_days(rows_: Iterable[Row]) -> list[Row]:
    """Rows of first_seen for rows of daily_activity."""
    first: dict[str, date] = {}
    for row in sorted(rows_, key=lambda r: r["day"]):
        first.setdefault(row["user_id"], row["day"])
    return [{"day": day, "user_id": user} for user, day in first.items()]


def plan_of(user: str, day: date, plan: str | None, registered_on: date | None = None) -> Row:
    """A row of users: from ``day`` on the user has ``plan``."""
    return {"day": day, "user_id": user, "registered_on": registered_on, "attributes": {"plan": plan}, "full": False}


def opted(user: str, day: date, granted: bool) -> Row:
    """A row of consents: from ``day`` on profiling is granted, or not."""
    return {"day": day, "user_id": user, "channel": "profiling", "purpose": "profiling", "granted": granted, "full": False}


@st.composite
def worlds(draw: Any, first: date, length: int) -> dict[str, list[Row]]:
    """Activity of a few users on ``length`` days from ``first``, changes of their plans and consents on the way."""
    users, offsets = st.sampled_from(["a", "b", "c", "d"]), st.integers(0, length - 1)
    active = draw(st.sets(st.tuples(users, offsets), min_size=length, max_size=3 * length))
    number = st.integers(0, 3)
    made = []
    for user, offset in sorted(active):
        items = sorted(draw(st.sets(st.integers(1, 5), max_size=3)))
        values = {
            "orders": draw(number),
            "cancels": draw(number),
            "spend_cents": draw(st.integers(-99, 99)),
            "def_silent": draw(number),
        }
        slowest = draw(st.one_of(st.none(), number))
        made.append(activity(user, first + timedelta(days=offset), items=items, slowest_ms=slowest, **values))
    changes = draw(st.dictionaries(st.tuples(users, offsets), st.sampled_from(["gold", "basic", None]), max_size=6))
    refusals = draw(st.dictionaries(st.tuples(users, offsets), st.booleans(), max_size=4))
    return {
        "activity": made,
        "users": [plan_of(u, first + timedelta(days=o), plan) for (u, o), plan in changes.items()],
        "consents": [opted(u, first + timedelta(days=o), granted) for (u, o), granted in refusals.items()],
    }


def many_worlds(count: int, first: date, length: int, seed: int = 0) -> dict[str, list[Row]]:
    """``count`` random worlds in one, as ``worlds`` draws them; the users of the n-th are named ``w<n>_a`` .. ``w<n>_d``."""
    chance = Random(seed)
    made: dict[str, list[Row]] = {"activity": [], "users": [], "consents": []}
    for number in range(count):
        user_days = [(f"w{number}_{user}", first + timedelta(days=n)) for user in "abcd" for n in range(length)]
        for user, day in sorted(chance.sample(user_days, chance.randint(length, 3 * length))):
            counts = {name: chance.randint(0, 3) for name in ("orders", "cancels", "def_silent")}
            values = {"spend_cents": chance.randint(-99, 99), "slowest_ms": chance.choice([None, 0, 1, 2, 3])}
            items = sorted(chance.sample(range(1, 6), chance.randint(0, 3)))
            made["activity"].append(activity(user, day, items=items, **counts, **values))
        changes = chance.sample(user_days, chance.randint(0, 6))
        made["users"] += [plan_of(user, day, chance.choice(["gold", "basic", None])) for user, day in changes]
        refusals = chance.sample(user_days, chance.randint(0, 4))
        made["consents"] += [opted(user, day, chance.random() < 0.5) for user, day in refusals]
    return made


def inputs_of(
    spark: SparkSession, world: Mapping[str, list[Row]], days: Sequence[date], **spans: tuple[int, int]
) -> dict[str, DataFrame]:
    """Inputs as the runner cuts them for ``days``: ``spans`` alias -> first and last day relative to O, of daily_activity."""
    t = contracts()
    made = {}
    for alias, (first, last) in spans.items():
        wanted = on_days(world["activity"], min(days) + timedelta(days=first), max(days) + timedelta(days=last))
        made[alias] = rows(spark, t.daily_activity, wanted)
    made["first_seen"] = as_of(spark, t.first_seen, world.get("first_seen") or first_days(world["activity"]), days)
    # as if each bot were one for the month that ends with the day
    made["bots"] = as_of(spark, t.bots, [row for row in world["activity"] if row["bot"]], days)
    made["users"] = as_of(spark, t.users, world.get("users", []), days)
    made["consents"] = as_of(spark, t.consents, world.get("consents", []), days)
    return made


def stacked(frames: Iterable[DataFrame]) -> DataFrame:
    """The rows of all ``frames``."""
    return reduce(DataFrame.unionByName, frames)
