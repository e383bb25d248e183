"""Users, consents and context as changes: a row where values change, all users again on the first of a month."""

from datetime import date, datetime, timedelta

import pytest
from ingestworld import Ingest, settings, write_lines

import smallworld
from churnwatch.events import build_tables
from churnwatch.events.event_rows import EVENT_SCHEMA
from churnwatch.events.statements import STATEMENT_SCHEMA
from churnwatch.tables import tables

MAR = date(2025, 3, 1)
USERS = {"user_id": "u", "registered_on": "since", "changed_at": "at", "plan": "plan"}


def day(n):
    """The n-th day of March 2025; 0 is 28 February."""
    return MAR + timedelta(days=n - 1)


def days(first, last):
    """The days from the first to the last of March, both in."""
    return [day(n) for n in range(first, last + 1)]


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


def changes_of(ingest):
    return [(r["day"], r["user_id"], (r["attributes"] or {}).get("plan"), r["full"]) for r in ingest.users]


def test_only_changes_are_stored_and_earlier_statements_on_the_first_day(users):
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
    counts = ingest.run(*days(3, 6))
    assert changes_of(ingest) == [
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
    ingest.run(*days(30, 33))
    april = date(2025, 4, 1)
    assert changes_of(ingest) == [
        (day(30), "a", "free", False),
        (day(31), "b", "pro", False),
        (april, "a", "free", True),
        (april, "b", "pro", True),
    ]
    ingest.run(april)
    ingest.run(day(33))
    assert changes_of(ingest)[2:] == [(april, "a", "free", True), (april, "b", "pro", True)]


def test_a_file_that_is_overwritten_in_place_shows_its_changes(users):
    users({"u": "a", "since": "2025-01-01", "plan": "free"}).run(day(3))
    ingest = users({"u": "a", "since": "2025-01-01", "plan": "pro"})
    ingest.run(day(4))
    ingest.run(day(4))
    assert changes_of(ingest) == [(day(3), "a", "free", False), (day(4), "a", "pro", False)]


def test_rows_without_a_key_or_with_bad_values_are_refused(spark, tmp_path):
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
    ingest.run(*days(3, 7))
    assert changes_of(ingest) == [(day(3), "a", "pro", False), (day(6), "a", "max", False)]


def test_a_kind_without_a_source_is_restated_on_the_first_of_a_month_alone(spark):
    conf, april = settings(), date(2025, 4, 1)
    staged = {"events": spark.createDataFrame([], EVENT_SCHEMA), "statements": spark.createDataFrame([], STATEMENT_SCHEMA)}
    stored = {"users": [smallworld.plan_of("u", day(2), "gold")], "consents": [], "context": []}
    found = {}
    for one in (day(31), april):
        state = {kind: smallworld.as_of(spark, getattr(tables(conf), kind), rows, (one,)) for kind, rows in stored.items()}
        users = build_tables(staged | state, (one,), conf)["users"]
        assert sorted(users.columns) == sorted(tables(conf).users.schema.names)
        found[one] = [(row["user_id"], row["full"]) for row in users.collect()]
    assert found == {day(31): [], april: [("u", True)]}
