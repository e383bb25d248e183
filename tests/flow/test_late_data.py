"""What comes late: after a rebuild of what is stale, a warehouse is as if it had known everything from the start."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

import smallworld
import world
from churnwatch.core import DataQualityError
from churnwatch.runner import Order, Runner
from churnwatch.upkeep import rebuild_stale

ZONE = ZoneInfo("Europe/Berlin")  # the clocks change on 31 March
FIRST, LAST = date(2024, 1, 20), date(2024, 4, 5)
EMPTY = date(2024, 2, 29)
# 29 February, the end of a month on which the clocks change, a day that the newest features still see
LATE = (EMPTY, date(2024, 3, 31), date(2024, 4, 4))
ACTIVE_DAYS = 10  # of 77: each is a partition; most days are without an event
FACTS = ("ingest_events", "build_activity", "build_months", "build_first_seen")
CHURN = {
    "primary": "silent",
    "definitions": {
        # months are read on both sides: 70 days back, 64 ahead
        "silent": {"events": ["order", "view"], "horizon_days": 64, "active_within_days": 70},
    },
}
TABLES = ("events", "daily_activity", "monthly_activity", "user_features", "user_labels")


def days_of(first, last):
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def events_of(random, day, users):
    """Events of a local day, at any time of it, as lines of a source in UTC."""
    start = datetime(day.year, day.month, day.day, tzinfo=ZONE).astimezone(UTC)
    after = day + timedelta(days=1)
    seconds = (datetime(after.year, after.month, after.day, tzinfo=ZONE).astimezone(UTC) - start).total_seconds()
    for user in users:
        for _ in range(random.randint(1, 3)):
            yield {
                "user_id": user,
                "event_time": (start + timedelta(seconds=random.randrange(int(seconds)))).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "event_type": random.choice(["order", "view", "cancel"]),
                "amount": random.randint(-999, 9999) / 100,
            }


def append(folder, day, lines):
    """More lines of a day's file, and the lines."""
    lines = list(lines)
    with Path(folder / f"log_{day}.jsonl").open("a") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in lines)
    return lines


def runner(spark, raw, folder):
    fields = ("user_id", "event_time", "event_type", "amount", "duration_s", "item_id")
    source = {"name": "log", "format": "json", "path": f"{raw}/log_{{day}}.jsonl", "map": {name: name for name in fields}}
    one = smallworld.settings(
        storage={"root": f"{folder}/tables", "files": f"{folder}/files"},
        clock={"time_zone": str(ZONE), "settle_days": 1},
        sources={"events": [source], "users": None},
        measures={"segments": []},
        churn=CHURN,
    )
    return Runner(one, spark, tell=lambda o: print(o.lines()[0], __import__("time").time()))


def run_all(of):
    world.run(of, *FACTS, first=FIRST, last=LAST)
    world.run(of, "build_features", "label_churn", first=LAST - timedelta(days=2), last=LAST)


def reference(lines):
    """(user, day) -> events, orders, spend in cents, events that count for 'silent': from the lines, in plain Python."""
    counts = {}
    for line in lines:
        day = datetime.fromisoformat(line["event_time"]).astimezone(ZONE).date()
        one = counts.setdefault((line["user_id"], day), Counter())
        one.update(events=1, orders=line["event_type"] == "order", def_silent=line["event_type"] in ("order", "view"))
        one["spend_cents"] += round(line["amount"] * 100)
    return {key: tuple(one[n] for n in ("events", "orders", "spend_cents", "def_silent")) for key, one in counts.items()}


def test_late_data_and_a_rebuild_equal_a_full_recomputation(spark, tmp_path):
    random = Random(20240229)
    users = [f"{n:03}" for n in range(24)]
    lines = []
    for day in [FIRST, *random.sample([d for d in days_of(FIRST, LAST) if d != EMPTY], ACTIVE_DAYS), LAST]:
        lines += append(tmp_path, day, events_of(random, day, random.sample(users, random.randint(4, 9))))
    of = runner(spark, tmp_path, tmp_path / "grown")
    run_all(of)
    labelled = world.rows(of, "user_labels")

    for day in LATE:
        # of users who were there, and of one whom nobody had seen
        lines += append(tmp_path, day, events_of(random, day, [*random.sample(users, 6), "late"]))
    world.run(of, "ingest_events", first=LATE[0], last=LATE[-1])
    rebuilt = rebuild_stale(of, Order(("all",), FIRST, LAST))
    assert {o.step.job.name for o in rebuilt} >= {"build_activity", "build_months", "build_features", "label_churn"}
    fresh = runner(spark, tmp_path, tmp_path / "fresh")
    run_all(fresh)
    assert [name for name in TABLES if world.rows(of, name) != world.rows(fresh, name)] == []
    assert world.rows(of, "user_labels") != labelled, "what came late decided some labels"

    stored = of.store.read(of.tables.daily_activity).collect()
    found = {(r["user_id"], r["day"]): (r["events"], r["orders"], r["spend_cents"], r["def_silent"]) for r in stored}
    assert found == reference(lines)
    # nobody is labelled beyond the last ingested day
    with pytest.raises(DataQualityError, match=str(LAST + timedelta(days=1))):
        world.run(of, "label_churn", first=LAST + timedelta(days=2))
