"""Rows and files that come after their day was ingested: events, users and consents."""

import random
from datetime import date, timedelta

import pytest
from ingestworld import NO_GATE, Ingest, json_source, settings, write_lines

from churnwatch.core import DataQualityError
from churnwatch.staleness import late_lines

CONSENTS = {"user_id": "u", "channel": "c", "purpose": "c", "granted": "g", "changed_at": "at"}
USERS = {"user_id": "u", "registered_on": "since", "changed_at": "at", "plan": "plan"}
FAR = date(2025, 1, 10)
SIXTY = [date(2025, 1, 1) + timedelta(days=n) for n in range(60)]  # over two firsts of a month


def day(n):
    """The n-th day of March 2025."""
    return date(2025, 3, n)


def event(n, user, time="12:00:00"):
    return {"user_id": user, "event_time": f"{day(n)} {time}", "event_type": "view"}


@pytest.mark.case(9)
def test_a_late_event_is_taken_in_by_the_run_of_the_next_day_and_counted(spark, tmp_path):
    ingest = Ingest(spark, settings(json_source(tmp_path)))
    write_lines(tmp_path / f"log_{day(11)}.jsonl", [event(11, "a")])
    write_lines(tmp_path / f"log_{day(12)}.jsonl", [event(12, "a")])
    ingest.run(day(11), day(12))
    write_lines(tmp_path / f"log_{day(13)}.jsonl", [event(13, "a"), event(12, "late", "23:59:00"), {"user_id": "no time"}])
    ingest.run(day(13))
    assert ingest.scope.days == (day(12), day(13))
    assert [(row["day"], row["user_id"]) for row in ingest.events] == [
        (day(11), "a"),
        (day(12), "a"),
        (day(12), "late"),
        (day(13), "a"),
    ]
    assert late_lines(ingest.scope.note) == ["came late and was taken in: 2025-03-12 1 rows"]
    # the day before has files that are new to it, and no rows that are
    write_lines(tmp_path / f"log_{day(14)}.jsonl", [event(14, "a")])
    ingest.run(day(14))
    assert ingest.scope.days == (day(14),) and set(ingest.scope.note) == {"columns"}
    # a file of two days before is written anew with other rows
    write_lines(tmp_path / f"log_{day(13)}.jsonl", [event(13, "b"), event(12, "late", "23:59:00"), {"user_id": "no time"}])
    ingest.run(day(14))
    assert ingest.scope.days == (day(13), day(14))
    assert [row["user_id"] for row in ingest.events if row["day"] >= day(12)] == ["a", "late", "b", "a"]
    # raw files that were deleted empty no stored day
    (tmp_path / f"log_{day(13)}.jsonl").unlink()
    ingest.run(day(14))
    assert [row["user_id"] for row in ingest.events if row["day"] == day(13)] == ["b"]


@pytest.mark.case(9)
def test_what_comes_after_a_day_has_settled_is_counted_and_waits_for_a_range(spark, tmp_path):
    whole = json_source(tmp_path, path=f"{tmp_path}/log.jsonl")
    daily = json_source(tmp_path, "web")
    ingest = Ingest(spark, settings(whole, daily))
    lines = [event(n, "a") for n in (3, 4, 5, 6)]
    write_lines(tmp_path / "log.jsonl", lines)
    ingest.run(day(3), day(4), day(5))
    # the whole file has a row more of the 3rd and one of the 5th; a file of the 3rd comes three days late
    write_lines(tmp_path / "log.jsonl", [*lines, event(3, "b"), event(5, "c")])
    write_lines(tmp_path / f"web_{day(3)}.jsonl", [event(3, "w")])
    ingest.run(day(6))
    assert ingest.scope.days == (day(5), day(6))
    late = {name: ingest.scope.note[name] for name in ("late_rows", "waiting_rows")}
    assert late == {"late_rows": {"2025-03-05": 1}, "waiting_rows": {"2025-03-03": 2}}
    waiting = {(r["source"], r["day"], r["file_day"]): r["waiting_rows"] for r in ingest.ingested_files if r["waiting_rows"] != 0}
    assert waiting["log", day(3), date(1970, 1, 1)] == 1
    ingest.run(day(3))
    assert {row["user_id"] for row in ingest.events if row["day"] == day(3)} == {"a", "b", "w"}
    assert [r for r in ingest.ingested_files if r["day"] == day(3) and r["waiting_rows"] != 0] == []
    assert sum(r["late_rows"] for r in ingest.ingested_files if r["day"] == day(3)) == 2


@pytest.mark.case(9)
def test_a_late_day_whose_rows_fail_the_checks_is_left_out_and_waits_while_the_day_goes_on(spark, tmp_path):
    people = json_source(tmp_path, "consents", map=CONSENTS, file_days=[0])

    def conf(**changes):
        log = json_source(tmp_path, file_days=[0])
        return settings(log, consents=people, quality=NO_GATE | {"max_rejected_share": 0.2} | changes)

    no_time, undecided = {"user_id": "no time"}, {"u": "c", "c": "mail", "g": "perhaps", "at": f"{day(11)} 10:00:00"}
    ingest = Ingest(spark, conf(max_rejected_share=1.0))
    write_lines(tmp_path / f"log_{day(10)}.jsonl", [event(10, "a"), no_time])
    write_lines(tmp_path / f"log_{day(11)}.jsonl", [event(11, "a")])
    write_lines(tmp_path / f"consents_{day(11)}.jsonl", [said("a", day(11), True)])
    ingest.run(day(10), day(11))
    stored = {name: [row for row in ingest.stored[name] if row["day"] <= day(11)] for name in ("events", "consents")}
    # the files of the 10th and 11th are written anew: those of the 10th as they were, in those of the 11th many rows are refused
    ingest.conf = conf()
    write_lines(tmp_path / f"log_{day(10)}.jsonl", [no_time, event(10, "a")])
    write_lines(tmp_path / f"log_{day(11)}.jsonl", [event(11, "a"), event(11, "late"), no_time])
    write_lines(tmp_path / f"consents_{day(11)}.jsonl", [said("a", day(11), False), undecided])
    write_lines(tmp_path / f"log_{day(12)}.jsonl", [event(12, "a")])
    write_lines(tmp_path / f"consents_{day(12)}.jsonl", [said("b", day(12), True)])
    counts = ingest.run(day(12))
    assert (ingest.scope.days, ingest.scope.restated) == ((day(12),), {})
    assert counts["log"].items() >= {"accepted": 1, "rejected": 0, "outside_days": 5}.items()
    assert [row["user_id"] for row in ingest.events if row["day"] == day(12)] == ["a"]
    assert consents(ingest, day(12)) == {"a": True, "b": True}
    for name, rows in stored.items():
        assert [row for row in ingest.stored[name] if row["day"] <= day(11)] == rows
    head, *faults, hint = late_lines(ingest.scope.note)
    assert head.startswith("came late and was left out: 2025-03-11, because its rows fail the quality checks")
    assert ["log: 33.3% of rows refused" in faults[0], "consents: 50.0% of rows refused" in faults[1]] == [True, True]
    assert hint.endswith("churnwatch run ingest_events --from 2025-03-11 --to 2025-03-11")
    waiting = {(r["source"], r["day"]): r["waiting_rows"] for r in ingest.ingested_files if r["waiting_rows"] != 0}
    assert waiting == {("log", day(11)): 2, ("consents", day(11)): None}
    assert ingest.scope.note["waiting_rows"] == {"2025-03-11": -1}
    # the day itself is judged as strictly when it is asked for
    with pytest.raises(DataQualityError, match=r"ingest_events 2025-03-11: .*\n  log: 33.3% of rows refused"):
        ingest.run(day(11))
    ingest.done.add(day(11))
    # files that were corrected are taken in by the next run
    write_lines(tmp_path / f"log_{day(11)}.jsonl", [event(11, "a"), event(11, "late")])
    write_lines(tmp_path / f"consents_{day(11)}.jsonl", [said("a", day(11), False)])
    write_lines(tmp_path / f"log_{day(13)}.jsonl", [event(13, "a")])
    ingest.run(day(13))
    assert ingest.scope.days == (day(11), day(13))
    assert consents(ingest, day(13)) == {"a": False, "b": True}
    assert late_lines(ingest.scope.note) == ["came late and was taken in: 2025-03-11 1 rows"]
    assert [row for row in ingest.ingested_files if row["waiting_rows"] != 0] == []


def consents(ingest, on):
    """Whether each user's newest consent as of ``on`` is granted, read from the newest restatement on."""
    since = max((row["day"] for row in ingest.consents if row["full"] and row["day"] <= on), default=date.min)
    rows = sorted((row for row in ingest.consents if since <= row["day"] <= on), key=lambda row: row["day"])
    return {row["user_id"]: row["granted"] for row in rows}


def said(user, on, granted):
    return {"u": user, "c": "mail", "g": granted, "at": f"{on} 10:00:00"}


@pytest.mark.case(7)
def test_a_late_opt_out_is_honoured_after_every_later_restatement(spark, tmp_path):
    ingest = Ingest(spark, settings(consents=json_source(tmp_path, "consents", map=CONSENTS)))
    every = [FAR + timedelta(days=n) for n in range(25)]
    late, asked_again = FAR + timedelta(days=10), FAR + timedelta(days=15)
    write_lines(tmp_path / f"consents_{FAR}.jsonl", [said(user, FAR, True) for user in "abc"])
    write_lines(tmp_path / f"consents_{asked_again}.jsonl", [said("b", asked_again, True)])
    ingest.run(*every)
    write_lines(tmp_path / f"consents_{late}.jsonl", [said("a", late, False), said("b", late, False)])
    assert consents(ingest, every[-1]) == {"a": True, "b": True, "c": True}
    # the next daily run finds the file; so does a run of its day
    daily = every[-1] + timedelta(days=1)
    ingest.run(daily)
    assert consents(ingest, daily) == {"a": False, "b": True, "c": True}
    assert consents(ingest, late) == {"a": False, "b": False, "c": True}
    assert ingest.scope.restated == {"consents": tuple(one for one in every if one >= late)}
    once = list(ingest.consents)
    ingest.run(late)
    assert ingest.consents == once and ingest.scope.restated == {}


def test_changes_whose_files_were_deleted_stay_when_an_earlier_one_comes_late(spark, tmp_path):
    ingest = Ingest(spark, settings(consents=json_source(tmp_path, "consents", map=CONSENTS)))
    every = [FAR + timedelta(days=n) for n in range(25)]
    later = FAR + timedelta(days=15)
    write_lines(tmp_path / f"consents_{FAR}.jsonl", [said(user, FAR, True) for user in "ab"])
    write_lines(tmp_path / f"consents_{later}.jsonl", [said("b", later, False)])
    ingest.run(*every)
    (tmp_path / f"consents_{later}.jsonl").unlink()
    late = FAR + timedelta(days=5)
    write_lines(tmp_path / f"consents_{late}.jsonl", [said("a", late, False)])
    ingest.run(late)
    assert consents(ingest, every[-1]) == {"a": False, "b": False}


@pytest.mark.case(7)
@pytest.mark.parametrize("noted", [True, False], ids=["noted", "ingested by a version that noted no files"])
def test_a_day_keeps_its_rows_when_its_files_were_moved_away_after_its_ingest(spark, tmp_path, noted):
    ingest = Ingest(spark, settings(json_source(tmp_path), consents=json_source(tmp_path, "consents", map=CONSENTS)))
    for n in (11, 12):
        write_lines(tmp_path / f"log_{day(n)}.jsonl", [event(n, "a"), event(n, "b")])
        write_lines(tmp_path / f"consents_{day(n)}.jsonl", [said(user, day(n), n == 11) for user in "ab"])
        ingest.run(day(n))
        for file in tmp_path.glob("*.jsonl"):
            file.unlink()
    if not noted:
        ingest.ingested_files.clear()
    # the file of the 13th may hold rows of the 12th, and does
    write_lines(tmp_path / f"log_{day(13)}.jsonl", [event(13, "a"), event(12, "late", "23:59:00")])
    write_lines(tmp_path / f"consents_{day(13)}.jsonl", [said("c", day(13), True)])
    ingest.run(day(13))
    assert sorted(row["user_id"] for row in ingest.events if row["day"] == day(12)) == ["a", "b"]
    assert consents(ingest, day(13)) == {"a": False, "b": False, "c": True}


def files_of_sixty_days(chance):
    """Files of consents and of users by day, with statements of the day, repeated ones and some of days before."""
    files = {}
    for one in SIXTY:
        at = [one - timedelta(days=chance.choice([0, 0, 0, 1])) for _ in range(3)]
        files["consents", one] = [said(f"u{chance.randrange(6)}", on, chance.random() < 0.5) for on in at]
        files["users", one] = [
            {
                "u": f"u{chance.randrange(6)}",
                "since": "2025-01-01",
                "plan": chance.choice(["free", "pro"]),
                "at": f"{on} 09:00:00",
            }
            for on in at[:2]
        ]
    return files


def as_of_state(ingest):
    """What is stored of users and consents, day by day: equal rows give equal states as of every day."""
    return ingest.users, ingest.consents


@pytest.mark.long
@pytest.mark.case(7, 11)
@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_of_arrival_of_the_files_of_sixty_days_ends_in_the_state_of_a_full_load(spark, tmp_path, seed):
    chance = random.Random(seed)
    files = files_of_sixty_days(chance)

    def conf(folder):
        people = json_source(folder, "users", map=USERS)
        return settings(users=people, consents=json_source(folder, "consents", map=CONSENTS))

    for (name, one), lines in files.items():
        write_lines(tmp_path / "whole" / f"{name}_{one}.jsonl", lines)
    whole = Ingest(spark, conf(tmp_path / "whole"))
    whole.run(*SIXTY)
    grown, order = Ingest(spark, conf(tmp_path / "grown")), list(files)
    chance.shuffle(order)
    for n in range(6):
        landed = order[n::6]
        for name, one in landed:
            write_lines(tmp_path / "grown" / f"{name}_{one}.jsonl", files[name, one])
        # the first load takes half of the days, the next ones the days of what has landed, in any order
        days = SIXTY if n == 0 else sorted({one for _, one in landed})
        grown.run(*days)
    assert as_of_state(grown) == as_of_state(whole)
