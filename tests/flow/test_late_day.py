"""The run of a day takes in what came late for the days before it, through the runner."""

import json
from datetime import date

import pytest

import smallworld
import world
from churnwatch.core import DataQualityError
from churnwatch.runner import Runner
from churnwatch.upkeep import stale, waiting

JOBS = ("ingest_events", "build_activity", "build_months", "build_first_seen")
CONSENTS = {"user_id": "user_id", "channel": "channel", "purpose": "channel", "granted": "granted", "changed_at": "at"}


def day(n):
    """The n-th day of March 2025; 0 and below lie in February."""
    return date.fromordinal(date(2025, 3, 1).toordinal() + n - 1)


def runner(spark, folder):
    fields = ("user_id", "event_time", "event_type")
    log = {"name": "log", "format": "json", "path": f"{folder}/raw/log_{{day}}.jsonl", "map": {name: name for name in fields}}
    consents = {"name": "consents", "format": "json", "path": f"{folder}/raw/consents_{{day}}.jsonl", "map": CONSENTS}
    return Runner(
        smallworld.settings(
            storage={"root": f"{folder}/tables", "files": f"{folder}/files"},
            clock={"settle_days": 2},
            sources={"events": [log], "users": None, "consents": consents},
            measures={"segments": []},
        ),
        spark,
    )


def write(folder, name, n, *rows):
    file = folder / "raw" / f"{name}_{day(n)}.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def event(n, user):
    return {"user_id": user, "event_time": f"{day(n)}T23:00:00Z", "event_type": "view"}


def consent(n, user, granted):
    return {"user_id": user, "channel": "mail", "granted": granted, "at": f"{day(n)}T10:00:00Z"}


@pytest.mark.case(7, 9)
def test_a_day_takes_in_late_events_and_a_late_opt_out_and_builds_again_what_they_change(spark, tmp_path):
    for n in (0, 1, 2):
        write(tmp_path, "log", n, event(n, "a"))
    write(tmp_path, "consents", -1, consent(-1, "a", True))
    of = runner(spark, tmp_path)
    world.run(of, *JOBS, first=day(-1), last=day(2))
    # of the day before: an event; of the day before that: a file that had not landed; of 28 February: an opt-out
    write(tmp_path, "log", 3, event(3, "b"), event(2, "b"))
    write(tmp_path, "consents", 0, consent(0, "a", False))
    ingest, activity, _, seen = world.run(of, *JOBS, first=day(3))
    assert ingest.step.days == (day(2), day(3)) and activity.step.days == seen.step.days == (day(2), day(3))
    assert ingest.lines()[1:] == [f"    came late and was taken in: {day(2)} 1 rows"]
    assert [(r["day"], r["user_id"]) for r in world.stored(of, "daily_activity") if r["user_id"] == "b"] == [
        (day(2), "b"),
        (day(3), "b"),
    ]
    assert [r["day"] for r in world.stored(of, "first_seen") if r["user_id"] == "b"] == [day(2)]
    restated = {r["day"]: r["granted"] for r in world.stored(of, "consents")}
    assert restated[day(1)] is False, "the restatement of 1 March repeats the opt-out"
    as_of = of.store.read(of.tables.consents, f"day >= DATE'{day(1)}'").orderBy("day").collect()
    assert as_of[-1]["granted"] is False
    done = [r for r in world.stored(of, "job_runs") if r["job"] == "ingest_events" and r["status"] == "done"]
    last = max(done, key=lambda r: r["at"])
    assert last["days"] == [{"first": day(2), "last": day(3)}]
    assert last["restated"] == [{"table": "consents", "first": day(0), "last": day(2)}]
    assert stale(of) == [] and waiting(of) == []
    # nothing came: the next day writes no other
    write(tmp_path, "log", 4, event(4, "a"))
    assert [o.step.days for o in world.run(of, *JOBS, first=day(4))] == [(day(4),)] * 4
    # a file of a day that has settled is counted, and waits for a run of its day
    write(tmp_path, "log", -1, event(-1, "c"))
    assert "came too late" in "".join(world.run(of, "ingest_events", first=day(4))[0].lines())
    assert waiting(of) == [(day(-1), "log", None)]
    world.run(of, "ingest_events", first=day(-1))
    assert waiting(of) == [] and [r["day"] for r in world.stored(of, "events") if r["user_id"] == "c"] == [day(-1)]
    # a late file whose rows fail the checks stops the day of its rows, and not the day that finds it
    write(tmp_path, "log", 5, event(5, "a"))
    write(tmp_path, "log", 4, event(4, "a"), event(4, "b"), {"user_id": "no time"})
    (ingest,) = world.run(of, "ingest_events", first=day(5))
    assert (ingest.step.days, waiting(of)) == ((day(5),), [(day(4), "log", 2)])
    assert f"    came late and was left out: {day(4)}, because" in ingest.lines()[1]
    with pytest.raises(DataQualityError, match="log: 33.3% of rows refused"):
        world.run(of, "ingest_events", first=day(4))
