"""A range in one pass equals day by day, and a second run equals the first: events, rejects, users and consents."""

import random
from datetime import date, timedelta

import pytest
from ingestworld import MAP, Ingest, json_source, settings, write_lines

DAYS = [date(2025, 3, 29) + timedelta(days=n) for n in range(5)]  # over the first of April
GOOD = {"user_id": "u1", "event_time": "2025-03-12 10:00:00", "event_type": "view"}
USERS = {"user_id": "u", "registered_on": "since", "changed_at": "at", "plan": "plan"}
CONSENTS = {"user_id": "u", "channel": "c", "purpose": "c", "granted": "g", "changed_at": "at"}


def events_of(chance, day):
    """Events of a day's file: late, early, repeated, broken and far-off rows."""
    lines = []
    for n in range(60):
        late = chance.choice([-3, -2, -1, 0, 0, 0, 0, 1, 2])
        time = f"{day + timedelta(days=late)} {chance.randrange(24):02}:{chance.randrange(60):02}:00"
        row = GOOD | {"event_time": time, "user_id": f"u{n % 7}", "id": chance.choice([None, "", str(n % 9)])}
        lines.append(chance.choice([row, row, row, row, row | {"user_id": None}, row | {"event_time": None}, "{"]))
    return lines * 2


def users_of(chance):
    """The whole file of users: changes of any day and of a month before, a quarter of them without a time."""
    for n in range(60):
        at = chance.choice(DAYS) + timedelta(days=chance.choice([-30, 0, 0, 0]))
        line = {"u": f"u{n % 9}", "plan": chance.choice(["free", "pro"]), "since": "2025-01-01", "at": f"{at} 10:{n:02}:00"}
        yield line if n % 4 else {k: v for k, v in line.items() if k != "at"}


def consents_of(chance):
    """Files of consents by day: changes of any day and of a month before, some delivered a day late."""
    files = {day: [] for day in DAYS}
    for n in range(60):
        at = chance.choice(DAYS) + timedelta(days=chance.choice([-30, 0, 0, 0]))
        file = min(max(at + timedelta(days=chance.choice([0, 0, 1])), DAYS[0]), DAYS[-1])
        line = {"u": f"u{n % 9}", "c": "mail", "g": chance.choice([True, False]), "at": f"{at} 10:{n:02}:00"}
        files[file].append(line if n % 4 else {k: v for k, v in line.items() if k != "at"})
    return files


@pytest.mark.case(11)
def test_a_range_equals_day_by_day_and_a_second_run_the_first(spark, tmp_path):
    chance = random.Random(3)
    for day, lines in consents_of(chance).items():
        write_lines(tmp_path / f"consents_{day}.jsonl", lines)
        if day != DAYS[3]:  # a day without a file of events
            write_lines(tmp_path / f"log_{day}.jsonl", events_of(chance, day))
    write_lines(tmp_path / "users.jsonl", users_of(chance))
    conf = settings(
        json_source(tmp_path, map=MAP | {"event_id": "id"}),
        users=json_source(tmp_path, "users", path=f"{tmp_path}/users.jsonl", map=USERS),
        consents=json_source(tmp_path, "consents", map=CONSENTS),
        clock={"time_zone": "Asia/Kolkata"},
    )
    whole, daily = Ingest(spark, conf), Ingest(spark, conf)
    whole.run(*DAYS)
    once = {name: list(rows) for name, rows in whole.stored.items()}
    assert len(once["events"]) > 100
    assert len({row["day"] for row in once["events"]}) == 5
    for kind, keys in (("users", 9), ("consents", 9)):
        assert sum(row["full"] for row in once[kind]) == keys
        assert sum(not row["full"] for row in once[kind]) > 12
    for day in DAYS:
        daily.run(day)
    assert daily.stored == whole.stored
    whole.run(*DAYS[1:4])
    assert whole.stored == once
