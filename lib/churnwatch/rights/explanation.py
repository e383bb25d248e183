"""Everything that is known, scored, warned, offered and sent about one user, with where it comes from."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import functions as F

from churnwatch.core import DataQualityError, Table
from churnwatch.io.erasing import Match, TableRows
from churnwatch.io.keys import display_keys, keyed_id, table_key
from churnwatch.runner import Runner

# all rows up to the day are shown from these tables; from others the rows of the day, or in force on it
HISTORY = ("risk_alerts", "retention_actions", "notifications", "alert_events", "deliveries", "lost_users", "experiment_units")


@dataclass(frozen=True)
class About:
    """Rows of one table about the user, and where they come from: the table's version, and the jobs that write it."""

    table: str
    meaning: str
    version: int
    written_by: tuple[str, ...]
    rows: list[dict[str, Any]]


def explain(runner: Runner, user: str, day: date) -> list[About]:
    """Return what is stored about ``user`` (as the source spells the id) up to ``day``, in the order of the flow.

    Events are counted by day, source and type. Raises DataQualityError where nothing is stored.
    """
    settings, store, contracts = runner.settings, runner.store, runner.tables
    store.refresh()
    stored = TableRows(runner.spark, store)
    stored_id = keyed_id(user, table_key(settings)) if settings.privacy.pseudonymise else user
    hashes = [keyed_id(stored_id, key) for key in display_keys(settings)]
    found: dict[str, list[dict[str, Any]]] = {}
    for table in contracts:
        if not store.exists(table) or not (matches := _matches(table, stored_id, hashes, found)):
            continue
        frame = stored.rows(table, matches).where(F.col("day") <= F.lit(day))
        if table.name == contracts.events.name:
            counted = frame.groupBy("day", "source", "event_type").count()
            rows = [row.asDict() for row in counted.orderBy("day", "source", "event_type").collect()]
        else:
            if table.pick is None and table.name not in HISTORY:
                frame = frame.where(F.col("day") == F.lit(day))
            once = {tuple(row[name] for name in table.keys): row.asDict(recursive=True) for row in frame.collect()}
            rows = _in_force(table, once.values())
        found[table.name] = rows
    if not any(found.values()):
        raise DataQualityError(f"nothing is stored about this user up to {day}. Hint: give the id as the source writes it")
    scores = found.get("user_scores", [])
    if scores and store.exists(contracts.model_runs):
        version = scores[0]["model_version"]
        models = store.read(contracts.model_runs).where(F.col("model_version") == F.lit(version))
        found["model_runs"] = [row.asDict(recursive=True) for row in models.collect()]
    writers = {table.name: [job.full_name for job in runner.jobs if table in job.writes] for table in contracts}
    return [
        About(name, contracts[name].comment, store.version(contracts[name]) or 0, tuple(writers[name]), rows)
        for name, rows in found.items()
        if rows
    ]


def _matches(table: Table, user: str, hashes: Sequence[str], found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Match]:
    """Return how the rows about the user are found; none where the table has none. ``found``: rows of tables before it."""
    if table.name == "notifications":
        return [Match("destination", tuple(hashes)), Match("user_id", (user,))]
    for name in ("user_id", "unit"):
        if name in table.schema.names:
            return [Match(name, (user,))]
    for name, other in (("alert_id", "risk_alerts"), ("message_id", "notifications")):
        if name in table.schema.names and found.get(other):
            return [Match(name, tuple(row[name] for row in found[other]))]
    return []


def _in_force(table: Table, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort rows by day; of a table with rows in force keep one per key."""
    order = [name for name in ("day", "at", "changed_at") if name in table.schema.names]
    ordered = sorted(rows, key=lambda row: [(row[name] is not None, row[name]) for name in order])
    if table.pick is None:
        return ordered
    newest = ordered if table.pick == "latest" else ordered[::-1]
    return list({tuple(row[name] for name in table.pick_key): row for row in newest}.values())


def to_json(user: str, day: date, found: Sequence[About]) -> str:
    """Write the explanation as JSON: per table its meaning, source and rows."""
    tables = {
        about.table: {
            "meaning": about.meaning,
            "version": about.version,
            "written_by": list(about.written_by),
            "rows": about.rows,
        }
        for about in found
    }
    return json.dumps({"user": user, "day": str(day), "tables": tables}, indent=2, ensure_ascii=False, default=str)


def to_lines(user: str, day: date, found: Sequence[About]) -> Iterator[str]:
    """Write the explanation for people: a paragraph a table, a line a value; values that are null are left out."""
    yield f"What is stored about user {user} up to {day}"
    for about in found:
        yield ""
        yield f"{about.table}: {about.meaning}"
        yield f"  from {', '.join(about.written_by) or 'a command'}, version {about.version} of the table"
        for row in about.rows:
            yield ""
            width = max(len(name) for name in row)
            yield from (f"  {name:<{width}}  {_shown(value)}" for name, value in row.items() if value not in (None, "", [], {}))


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
