"""Tiny worlds for tests of transforms: settings, frames by contract, and inputs cut as the runner cuts them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from churnwatch.core import Table
from churnwatch.settings import Settings
from churnwatch.tables import Tables, tables
from pyspark.sql import DataFrame, SparkSession

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
    names = table.schema.names
    schema = "struct<" + ", ".join(f"`{f.name}`: {f.dataType.simpleString()}" for f in table.schema) + ">"
    return spark.createDataFrame([tuple(row.get(name) for name in names) for row in given], schema)


def on_days(given: Iterable[Row], first: date, last: date) -> list[Row]:
    """The rows of ``first`` .. ``last``: what an ordinary span reads."""
    return [row for row in given if first <= row["day"] <= last]


def as_of(spark: SparkSession, table: Table, given: Iterable[Row], days: Sequence[date]) -> DataFrame:
    """What ``as_of()`` gives for ``days``: rows per pick key with ``day`` (in force from) and ``until``."""
    by_key: dict[tuple, list[Row]] = {}
    for row in sorted(on_days(given, date.min, max(days)), key=lambda r: r["day"]):
        by_key.setdefault(tuple(row[k] for k in table.pick_key), []).append(row)
    kept = []
    for changes in by_key.values():
        if table.pick == "earliest":
            kept.append({**changes[0], "until": OPEN_END})
            continue
        ends = [after["day"] - timedelta(days=1) for after in changes[1:]] + [OPEN_END]
        kept += [{**row, "until": end} for row, end in zip(changes, ends, strict=True) if end >= min(days)]
    names = [*table.schema.names, "until"]
    schema = ", ".join([*(f"`{f.name}` {f.dataType.simpleString()}" for f in table.schema), "until date"])
    return spark.createDataFrame([tuple(row.get(name) for name in names) for row in kept], schema)


def at(day: date, time: str) -> datetime:
    """The instant of ``time`` (HH:MM or HH:MM:SS) on ``day``, UTC."""
    return datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)


def collected(frame: DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries, in an order of their own."""
    return sorted((row.asDict() for row in frame.collect()), key=repr)
