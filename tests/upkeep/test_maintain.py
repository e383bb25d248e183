"""What ``churnwatch maintain`` deletes, joins and removes, and what it never touches."""

import json
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

import world
from churnwatch.core import ConfigError
from churnwatch.flow import flow
from churnwatch.io.old_files import find_old_files
from churnwatch.runner import Runner
from churnwatch.upkeep.maintain import maintain
from frames import frame

DAY = date(2025, 3, 10)
OLD_SECONDS = 20 * 86400.0  # longer than replaced files are kept


def stamp(day=DAY):
    return {"run_id": "r", "job": "test", "day": str(day)}


def rejects(spark, table, *days):
    return frame(spark, [(day, "log", str(day), "f", ["no_user"], "raw") for day in days], table.schema)


def events(spark, table, n):
    at = datetime(2025, 3, 10, tzinfo=UTC)
    row = (DAY, f"e{n}", "a", at, "ann", "acted", None, None, None, "model", None)
    return frame(spark, [row], table.schema)


@pytest.fixture
def runner(spark, tmp_path):
    """A runner over a warehouse in which days up to DAY are ingested."""
    more = ("maintenance.keep_days.rejected_events=30", "maintenance.join_from_files=3")
    made = Runner(world.world_settings(tmp_path, *more), spark)
    made.store.create([made.tables.job_runs])
    days = [DAY - timedelta(days=n) for n in range(60)]
    made.ledger.write("r", "ingest_events", "", DAY, "done", days, seconds=60.0)
    made.ledger.flush()
    return made


def grow_old(folder, version):
    """Make the files that a commit removed, and the commit itself, older than replaced files are kept."""
    commit = folder / "_delta_log" / f"{version:020}.json"
    then = time.time() - OLD_SECONDS
    lines = [json.loads(line) for line in commit.read_text().splitlines()]
    for line in lines:
        if removed := line.get("remove"):
            removed["deletionTimestamp"] = int(then * 1000)
            os.utime(folder / removed["path"], (then, then))
    commit.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (commit.parent / f".{commit.name}.crc").unlink(missing_ok=True)


def data_files(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*.parquet") if "_delta_log" not in file.parts)


@pytest.mark.long
@pytest.mark.case(37)
def test_old_rows_small_files_and_old_versions_go_and_a_reader_under_way_notices_nothing(spark, runner, tmp_path):
    store, t = runner.store, runner.tables
    store.create([t.rejected_events, t.alert_events])
    folder = tmp_path / "tables" / "rejected_events"
    old, kept = DAY - timedelta(days=40), DAY - timedelta(days=29)
    for days in ((old, kept), (kept,), (kept,)):
        store.replace(t.rejected_events, rejects(spark, t.rejected_events, *days), f"day IN {_sql(days)}", stamp())
    grow_old(folder, 2)  # the second write replaced a file long ago, the third one has just done so
    before = data_files(folder)
    for n in range(4):
        store.append(t.alert_events, events(spark, t.alert_events, n), stamp())
    reading = [store.read(table).orderBy(*table.keys) for table in (t.rejected_events, t.alert_events)]
    expected = [made.count() for made in reading]

    said = list(maintain(runner, dry_run=True))
    assert data_files(folder) == before and store.newest(t.rejected_events) == 3
    told = [text for _, text in said]
    assert "rejected_events: would delete 1 rows of days before 2025-02-09" in told
    assert "alert_events: would join 4 files" in told
    assert any("rejected_events: would remove up to 1 files" in text for text in told)

    said = list(maintain(runner, dry_run=False, who="ann"))
    assert all(good for good, _ in said), said
    assert [made.count() for made in reading] == expected, "a run that reads older versions is not disturbed"
    runner.store.refresh()
    assert [row["day"] for row in store.read(t.rejected_events).collect()] == [kept]
    assert len(store.read(t.alert_events).inputFiles()) == 1 and store.read(t.alert_events).count() == 4
    gone = set(before) - set(data_files(folder))
    assert len(gone) == 1, "the file that was replaced long ago, and neither the young one nor that of the deleted day"
    assert list(maintain(runner, dry_run=True)) == [], "nothing is left to do"
    (acted,) = store.read(t.operator_actions).collect()
    assert (acted["who"], acted["action"], acted["about"]) == ("ann", "maintain", "warehouse")
    assert "joined 4 files" in acted["note"]


def _sql(days):
    return "(" + ", ".join(f"DATE'{day}'" for day in days) + ")"


@pytest.mark.case(37)
def test_versions_that_a_run_may_read_are_never_removed(runner, tmp_path):
    with pytest.raises(ConfigError, match="keep_versions_days"):
        world.world_settings(tmp_path, "maintenance.keep_versions_days=6")
    with pytest.raises(ConfigError, match="keep_versions_days"):
        world.world_settings(tmp_path, "maintenance.keep_versions_days=22")
    runner.ledger.write("long", "ingest_events", "", DAY, "done", [DAY], seconds=15 * 86400.0)
    runner.ledger.flush()
    with pytest.raises(ConfigError, match="the longest run took 360 hours"):
        list(maintain(runner, dry_run=True))


def test_an_erasure_whose_old_files_are_gone_gets_the_day_of_it(spark, runner):
    erasures = runner.tables.erasures
    runner.store.create([erasures])
    row = {"day": DAY, "erasure_id": "e", "step": "erased", "at": datetime(2025, 3, 10, tzinfo=UTC), "who": "ann", "users": 1}
    row |= {"tables": [], "files": 0, "physically_gone_on": None}
    runner.store.append_rows(erasures, [row], {})
    assert list(maintain(runner, dry_run=True)) == []
    ((good, text),) = maintain(runner, dry_run=False, who="ann")
    assert good and "no file with them is left" in text
    runner.store.refresh()
    gone = [one for one in runner.store.read(erasures).collect() if one["step"] == "gone"]
    assert len(gone) == 1 and gone[0]["physically_gone_on"] is not None
    assert list(maintain(runner, dry_run=False, who="ann")) == []


def test_files_of_dead_processes_and_old_days_go_and_those_of_live_runs_stay(tmp_path):
    settings = world.world_settings(tmp_path, "maintenance.keep_pages_days=10", "maintenance.keep_outbox_days=5")
    files = tmp_path / "files"
    fresh, aged = [], []
    for name, group in (
        ("staging/dead/x.parquet", aged),
        ("staging/live/x.parquet", fresh),
        ("tmp/trees-1/data/x", aged),
        ("drill/1/tables/x", aged),
        ("trials/1/t.json", aged),
        ("models/tiny/1/model.txt", fresh),
        ("outbox/2025-01-01/m.json", aged),
        ("leases/r.taken", aged),
        ("leases/r.json", fresh),
    ):
        file = files / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
        group.append(file)
    for place in [files, *files.rglob("*")]:
        os.utime(place, (time.time() - OLD_SECONDS,) * 2)
    for name, group in (
        ("staging/young/x.parquet", fresh),
        ("inbox/alert_events/2024-01-01/a.jsonl", aged),
        (f"inbox/alert_events/{DAY}/a.jsonl", fresh),
        (f"pages/{DAY - timedelta(days=10)}/report.html", aged),
        (f"pages/{DAY - timedelta(days=9)}/report.html", fresh),
        ("pages/report.html", fresh),
    ):
        file = files / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
        group.append(file)
    found = list(find_old_files(settings, DAY, {"live"}))
    assert {old.kind for old in found} == {"scratch", "leases", "drills", "trials", "inbox", "pages", "outbox"}
    for old in found:
        old.delete()
    assert [str(file) for file in fresh if not file.exists()] == []
    assert [str(file) for file in aged if file.exists()] == []


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ("rejected_event: 9", "no such table: 'rejected_event'; did you mean 'rejected_events'"),
        ("daily_activity: 3", "daily_activity: 3 days, but .* reads"),
        ("first_seen: 900", "first_seen: .* reads all of its days"),
        ("job_runs: 900", "job_runs: its rows say which days were built"),
    ],
)
def test_rows_that_jobs_read_cannot_be_given_up(keep, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        flow(world.world_settings(tmp_path, f"maintenance.keep_days={{{keep}}}"))


def test_a_table_that_is_kept_for_long_enough_is_accepted(tmp_path):
    settings = world.world_settings(tmp_path, "maintenance.keep_days={rejected_events: 90, users: 120, events: 400}")
    kept = {table.name: table.keep_days for job in flow(settings) for table in job.writes if table.keep_days}
    assert kept.items() >= {"rejected_events": 90, "users": 120, "events": 400}.items()
    assert Path(settings.storage.files).name == "files"
