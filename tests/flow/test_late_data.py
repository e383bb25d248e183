"""What comes late: after a rebuild of what is stale, a warehouse is as if it had known everything from the start."""

import json
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import plainworld
import pytest

import smallworld
import world
from churnwatch.core import DataQualityError
from churnwatch.runner import Order, Runner
from churnwatch.upkeep import rebuild_stale

pytestmark = pytest.mark.long  # two warehouses over 77 days: minutes
ZONE = ZoneInfo("Europe/Berlin")  # the clocks change on 31 March
FIRST, LAST = date(2024, 1, 20), date(2024, 4, 5)
EMPTY = date(2024, 2, 29)
# 29 February, the end of a month on which the clocks change, a day that the newest features still see
LATE = (EMPTY, date(2024, 3, 31), date(2024, 4, 4))
MISTAKEN = date(2024, 3, 20)  # from its file lines are taken back later
ACTIVE_DAYS = 10  # of 77: each is a partition; most days are without an event
FACTS = ("ingest_events", "build_activity", "build_months", "build_first_seen")
CHURN = {
    "primary": "silent",
    "definitions": {
        # months are read on both sides: 70 days back, 64 ahead
        "silent": {"events": ["order", "view"], "horizon_days": 64, "active_within_days": 70},
    },
}
TABLES = ("events", "daily_activity", "monthly_activity", "first_seen", "bots", "user_features", "user_labels")
ITEMS = ("a", "b", "Ä", None)
BOT_ABOVE = 3  # events a day: what comes late makes some users bots
STRANGE = [2**63, "🙂", "007"]  # as a number that no long holds, beyond the plane of 16 bits, with zeros before


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
                "duration_s": random.choice([None, 0, 4, 30]),
                "item_id": random.choice(ITEMS),
            }


def append(folder, day, lines):
    """More lines of a day's file, one without a user among them, and the lines."""
    file = folder / f"log_{day}.jsonl"
    lines = [*lines, *events_of(Random(f"{day} {file.exists()}"), day, [" "])]
    with file.open("a") as opened:
        opened.writelines(f"{json.dumps(line)}\n" for line in lines)
    return lines


def take_back(folder, day, user):
    """Remove the user's lines from a day's file; return a test for the lines that stay."""
    file = folder / f"log_{day}.jsonl"
    kept = [line for line in file.read_text().splitlines(keepends=True) if json.loads(line)["user_id"] != user]
    file.write_text("".join(kept))
    return lambda line: line["user_id"] != user or not line["event_time"].startswith(f"{day}")


def shuffled(folder, to):
    """Each file's lines in another order, in two files."""
    to.mkdir()
    for file in folder.glob("log_*.jsonl"):
        lines = sorted(file.read_text().splitlines(keepends=True), key=lambda line: line[::-1])
        for n in (0, 1):
            (to / f"{file.stem}_{n}.jsonl").write_text("".join(lines[n::2]))
    return to


def runner(spark, raw, folder):
    fields = ("user_id", "event_time", "event_type", "amount", "duration_s", "item_id")
    source = {"name": "log", "format": "json", "path": f"{raw}/log_{{day}}*.jsonl", "map": {name: name for name in fields}}
    one = smallworld.settings(
        storage={"root": f"{folder}/tables", "files": f"{folder}/files"},
        clock={"time_zone": str(ZONE), "settle_days": 1},
        sources={"events": [source], "users": None},
        measures={"segments": [], "bots": {"events_a_day": BOT_ABOVE}},
        quality={"max_rejected_share": 0.5},
        churn=CHURN,
    )
    return Runner(one, spark)


def run_all(of):
    world.run(of, *FACTS, first=FIRST, last=LAST)
    world.run(of, "build_features", "label_churn", first=LAST - timedelta(days=2), last=LAST)


def stored(of, name, *but):
    """(user, day) -> the row of a table."""
    return {(row["user_id"], row["day"]): row for row in world.stored(of, name, *but)}


@pytest.fixture
def two_partitions(spark):
    """What is told late and what is told from the start are cut in other ways as well."""
    yield lambda: spark.conf.set("spark.sql.shuffle.partitions", "2")
    spark.conf.set("spark.sql.shuffle.partitions", "1")


@pytest.mark.case(7, 9, 11, 16, 25)
def test_late_data_and_a_rebuild_equal_a_full_recomputation_of_other_files_and_plain_python(spark, tmp_path, two_partitions):
    random = Random(20240229)
    users = [*STRANGE, *(f"{n:03}" for n in range(21) if n != 7)]
    raw, lines = tmp_path / "raw", []
    raw.mkdir()
    for day in [FIRST, *random.sample([d for d in days_of(FIRST, LAST) if d != EMPTY], ACTIVE_DAYS), LAST]:
        lines += append(raw, day, events_of(random, day, random.sample(users, random.randint(4, 9))))
    # a user whose first day is a mistake
    for day, chance in ((MISTAKEN, Random(1)), (LAST, Random(2))):
        lines += append(raw, day, [event | {"event_time": f"{day}T12:00:00Z"} for event in events_of(chance, day, ["moved"])])
    of = runner(spark, raw, tmp_path / "grown")
    run_all(of)
    labelled = world.rows(of, "user_labels")

    for day in LATE:
        # of users who were there, and of one whom nobody had seen
        lines += append(raw, day, events_of(random, day, [*random.sample(users, 3), *STRANGE, "🙂", "late"]))
    lines = list(filter(take_back(raw, MISTAKEN, "moved"), lines))
    world.run(of, "ingest_events", first=LATE[0], last=LATE[-1])
    rebuilt = rebuild_stale(of, Order(("all",), FIRST, LAST))
    assert {o.step.job.name for o in rebuilt} >= {"build_activity", "build_months", "build_features", "label_churn"}
    fresh = runner(spark, shuffled(raw, tmp_path / "other_files"), tmp_path / "fresh")
    two_partitions()
    run_all(fresh)
    assert [name for name in TABLES if world.rows(of, name) != world.rows(fresh, name)] == []
    assert world.rows(of, "user_labels") != labelled, "what came late decided some labels"

    assert [row["day"] for row in world.stored(of, "first_seen") if row["user_id"] == "moved"] == [LAST]

    # ... and as plain Python tells them from the lines: every value, none nearly
    hashes = spark.sql("SELECT xxhash64('a') AS a, xxhash64('b') AS b, xxhash64('Ä') AS `Ä`").first().asDict()
    days = plainworld.daily(lines, ZONE, BOT_ABOVE, hashes)
    assert stored(of, "daily_activity", "bucket") == days
    assert {str(user) for user in STRANGE} < {user for user, _ in days}
    assert any(row["bot"] for row in days.values())
    asked = days_of(LAST - timedelta(days=2), LAST)
    told = [plainworld.features(days, day, min(day for _, day in days)) for day in asked]
    assert stored(of, "user_features") == {(row["user_id"], row["day"]): row for rows in told for row in rows.values()}
    # nothing is lost: every line without a user lies among the rejects
    blank = [line for line in lines if line["user_id"] == " "]
    rejected = world.stored(of, "rejected_events")
    assert [row["reasons"] for row in rejected] == [["no_user"]] * len(blank)
    # a month that is asked for is one folder of files
    months = of.store.read(of.tables.monthly_activity, None, date(2024, 2, 1), date(2024, 3, 30)).inputFiles()
    assert months and all("/day=2024-02-29/" in file for file in months)
    # nobody is labelled beyond the last ingested day
    with pytest.raises(DataQualityError, match=str(LAST + timedelta(days=1))):
        world.run(of, "label_churn", first=LAST + timedelta(days=2))
