"""Users, consents and context as changes: a row where something changes, everybody anew on the first of a month."""

import random
from datetime import date, datetime, timedelta

import pytest
from ingestworld import Ingest, settings, write_lines

MAR = date(2025, 3, 1)
USERS = {"user_id": "u", "registered_on": "since", "changed_at": "at", "plan": "plan"}


def day(n):
    """The n-th of March 2025; 0 is 28 February."""
    return MAR + timedelta(days=n - 1)


def people(folder, name, fields, **changes):
    return {"name": name, "format": "json", "path": f"{folder}/{name}.jsonl", "map": fields} | changes


@pytest.fixture
def users(spark, tmp_path):
    """``ingest(lines)``: writes the whole users file and gives the ingest that reads it."""
    ingest = Ingest(spark, settings(users=people(tmp_path, "users", USERS)))

    def written(*lines):
        write_lines(tmp_path / "users.jsonl", lines)
        return ingest

    return written


def told(ingest):
    return [(r["day"], r["user_id"], (r["attributes"] or {}).get("plan"), r["full"]) for r in ingest.users]


def test_only_changes_are_kept_and_what_was_known_earlier_lands_on_the_first_day(users):
    ingest = users(
        {"u": "a", "at": "2025-01-05 00:00:00", "plan": "free", "since": "2025-01-01"},
        {"u": "a", "at": "2025-02-01 00:00:00", "plan": "pro", "since": "2025-01-01"},
        {"u": "a", "at": "2025-03-04 10:00:00", "plan": "pro", "since": "2025-01-01"},
        {"u": "a", "at": "2025-03-05 10:00:00", "plan": "max", "since": "2025-01-01"},
        {"u": "a", "at": "2025-03-05 09:00:00", "plan": "free", "since": "2025-01-01"},
        {"u": "b", "since": "2025-03-04", "plan": "free"},
        {"u": "c", "plan": "free"},
        {"u": "d", "at": "2025-03-20 00:00:00", "plan": "free"},
    )
    counts = ingest.run(day(3), day(6))
    assert told(ingest) == [
        (day(3), "a", "pro", False),
        (day(3), "c", "free", False),
        (day(4), "b", "free", False),
        (day(5), "a", "max", False),
    ]
    assert counts["users"] == {"read": 8, "accepted": 7, "duplicate": 0, "rejected": 0, "outside_days": 1}
    assert ingest.users[0]["changed_at"] == datetime(2025, 2, 1)
    assert ingest.users[0]["registered_on"] == date(2025, 1, 1)


def test_the_first_of_a_month_restates_everybody(users):
    ingest = users({"u": "a", "plan": "free"}, {"u": "b", "at": "2025-03-31 12:00:00", "plan": "pro"})
    ingest.run(day(30), day(33))
    april = date(2025, 4, 1)
    assert told(ingest) == [
        (day(30), "a", "free", False),
        (day(31), "b", "pro", False),
        (april, "a", "free", True),
        (april, "b", "pro", True),
    ]
    ingest.run(april)
    ingest.run(day(33))
    assert told(ingest)[2:] == [(april, "a", "free", True), (april, "b", "pro", True)]


def test_a_file_that_is_overwritten_in_place_shows_its_changes(users):
    users({"u": "a", "since": "2025-01-01", "plan": "free"}).run(day(3))
    ingest = users({"u": "a", "since": "2025-01-01", "plan": "pro"})
    ingest.run(day(4))
    ingest.run(day(4))
    assert told(ingest) == [(day(3), "a", "free", False), (day(4), "a", "pro", False)]


def test_rows_that_say_nothing_of_anybody_are_refused(spark, tmp_path):
    write_lines(tmp_path / "users.jsonl", [{"plan": "x"}, {"u": "a", "since": "soon", "at": "2025-02-30"}, "{"])
    consents = {"user_id": "u", "channel": "c", "purpose": "p", "granted": "g"}
    write_lines(
        tmp_path / "consents.jsonl",
        [
            {"u": "a", "c": "mail", "p": "offers", "g": True},
            {"u": "a", "c": "profiling", "p": "model", "g": "no"},
            {"u": "a", "c": "mail", "g": "perhaps"},
        ],
    )
    context = {"day": "d", "scope": "s", "name": "n", "value": "v"}
    write_lines(
        tmp_path / "context.jsonl",
        [
            {"d": "2025-03-03", "s": "base", "n": "price", "v": "9.5"},
            {"d": "2025-03-03", "s": "base", "n": "price", "v": "NaN"},
            {"s": "base", "n": "price", "v": 1},
        ],
    )
    ingest = Ingest(
        spark,
        settings(
            users=people(tmp_path, "users", USERS),
            consents=people(tmp_path, "consents", consents),
            context=people(tmp_path, "context", context),
        ),
    )
    counts = ingest.run(day(3))
    refused = {(r["source"], tuple(r["reasons"]), r["day"]) for r in ingest.rejected_events}
    undated = date(1970, 1, 1)
    assert refused == {
        ("users", ("no_user",), undated),
        ("users", ("bad_changed_at", "bad_registered_on"), undated),
        ("users", ("broken_row",), undated),
        ("consents", ("bad_granted", "no_purpose"), undated),
        ("context", ("value_not_finite",), day(3)),
        ("context", ("bad_day",), undated),
    }
    assert [counts[n]["rejected"] for n in ("users", "consents", "context")] == [3, 1, 2]
    assert {(r["channel"], r["granted"]) for r in ingest.consents} == {("mail", True), ("profiling", False)}
    assert [(r["day"], r["scope"], r["name"], r["value"]) for r in ingest.context] == [(day(3), "base", "price", 9.5)]


def test_a_late_old_change_does_not_undo_a_newer_one(spark, tmp_path):
    daily = people(tmp_path, "users", USERS, path=f"{tmp_path}/users_{{day}}.jsonl")
    write_lines(tmp_path / f"users_{day(3)}.jsonl", [{"u": "a", "at": "2025-03-03 10:00:00", "plan": "pro"}])
    write_lines(tmp_path / f"users_{day(5)}.jsonl", [{"u": "a", "at": "2025-03-02 10:00:00", "plan": "free"}])
    write_lines(tmp_path / f"users_{day(6)}.jsonl", [{"u": "a", "plan": "max"}])
    ingest = Ingest(spark, settings(users=daily))
    ingest.run(day(3), day(7))
    assert told(ingest) == [(day(3), "a", "pro", False), (day(6), "a", "max", False)]


@pytest.mark.parametrize("files", ["one file", "a file a day"])
def test_people_of_a_range_equal_day_by_day_and_a_second_run_the_first(spark, tmp_path, files):
    chance, daily = random.Random(5), files == "a file a day"
    days = [day(n) for n in range(29, 35)]  # over the first of April
    lines = {d: [] for d in days}
    for n in range(60):
        at = chance.choice(days) + timedelta(days=chance.choice([-30, 0, 0, 0]))
        line = {"u": f"u{n % 9}", "plan": chance.choice(["free", "pro"]), "since": "2025-01-01", "at": f"{at} 10:{n:02}:00"}
        file = min(max(at + timedelta(days=chance.choice([0, 0, 1])), days[0]), days[-1])
        lines[file].append(line if daily or n % 4 else {k: v for k, v in line.items() if k != "at"})
    if daily:
        for d in days:
            write_lines(tmp_path / f"users_{d}.jsonl", lines[d])
    else:
        write_lines(tmp_path / "users.jsonl", [line for d in days for line in lines[d]])
    path = f"{tmp_path}/users_{{day}}.jsonl" if daily else f"{tmp_path}/users.jsonl"
    conf = settings(users=people(tmp_path, "users", USERS, path=path))
    whole, each = Ingest(spark, conf), Ingest(spark, conf)
    whole.run(days[0], days[-1])
    once = list(whole.users)
    for d in days:
        each.run(d)
    assert each.users == whole.users
    assert sum(row["full"] for row in once) == 9
    assert sum(not row["full"] for row in once) > 12
    whole.run(days[2], days[4])
    assert whole.users == once
