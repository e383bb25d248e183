"""What a day reads of job_runs does not grow with the length of history."""

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from churnwatch.flow import flow
from churnwatch.io.ledger import Ledger
from churnwatch.io.local_tables import Days, TableFiles
from churnwatch.reading import Reader, first_day_asked
from churnwatch.settings import load
from churnwatch.staleness import stop_on_mixed_meanings
from churnwatch.steps import Chooser, Order
from churnwatch.versions import complete_version, half_step_text
from churnwatch.watching import missing_days

ROOT = Path(__file__).resolve().parents[2]
BEGIN = date(2023, 1, 1)
FILE_DAYS = 25  # of a file of job_runs: it is joined of a hundred commits


class GrownRuns:
    """A store with files of job_runs of every day from ``BEGIN`` to the day before ``today``; it counts what is read."""

    def __init__(self, jobs, today, more=()):
        self.spark = SimpleNamespace(conf=SimpleNamespace(get=lambda *given: None))
        days = [BEGIN + timedelta(days=n) for n in range((today - BEGIN).days)]
        rows = [row for number, day in enumerate(days) for row in rows_of(jobs, day, number)] + list(more)
        parts: dict[int, list] = {}
        for row in sorted(rows, key=lambda row: row["at"]):
            parts.setdefault((row["at"].date() - BEGIN).days // FILE_DAYS, []).append(row)
        self._parts = {f"{number:03}": part for number, part in parts.items()}
        stats = {
            name: Days(min(r["day"] for r in part), max(r["day"] for r in part), max(r["at"] for r in part).date())
            for name, part in self._parts.items()
        }
        self._files = TableFiles(7, None, stats, {})
        self.newest_commit = len(days)
        self.opened: list[str] = []
        self.reads = 0

    def version(self, table):
        return 7 if table.name == "job_runs" else self.newest_commit

    newest = version

    def commits_from(self, table, first):
        return []

    def rows_since(self, table, first, version):
        names = sorted(self._parts) if first is None else self._files.holding(first, None, first - timedelta(days=2))
        self.reads += 1
        self.opened += names
        rows = [row for name in names for row in self._parts[name]]
        return rows, len(names) == len(self._parts)


def row(run_id, job, instance, day, at, days, status="done", outputs=(), inputs=()):
    return {
        **dict(run_id=run_id, job=job, instance=instance, day=day, at=at, status=status, restated=[], meaning=None),
        **dict(days=[{"first": d, "last": d} for d in days], seconds=9.0, message=None),
        "inputs": [{"table": name, "version": version, "first": day, "last": day} for name, version in inputs],
        "outputs": [{"table": name, "version": version, "rows": 1000} for name, version in outputs],
    }


def written(day):
    """The instant of the rows of a run day: in the night after it."""
    return datetime(day.year, day.month, day.day, 3, tzinfo=UTC) + timedelta(days=1)


def rows_of(jobs, day, number):
    """Rows of job_runs of a run of the whole flow on ``day``, which writes version ``number`` + 1 of each table."""
    at = written(day)
    yield row(f"{day}", "all", "", day, at, [day])
    for job in jobs:
        if job.scheduled and (job.due is None or number % 28 == 0):
            outputs = [(table.name, number + 1) for table in job.writes]
            yield row(
                f"{day}-{job.full_name}", job.name, job.instance, day, at, [day - timedelta(days=job.lag_days)], "done", outputs
            )


def asked_by_a_run(settings, days, more=lambda today: ()):
    """Ask what a run of the whole flow asks, ``days`` days after BEGIN; gives the store, the ledger and the run day."""
    jobs, today = flow(settings), BEGIN + timedelta(days=days)
    store = GrownRuns(jobs, today, more(today))
    ledger = Ledger(store, SimpleNamespace(name="job_runs"), "c", "d", None)
    reader = Reader(store, ledger, jobs)
    chooser, order = Chooser(settings, jobs, ledger, reader), Order(("all",), today, today)
    chooser._early_reason = lambda step: None
    steps = chooser.steps(order)
    ledger.reach(first_day_asked(steps))
    ledger.refresh()
    for step in steps:
        chooser.choose(step, order)
        reader.lacking(step)
        reader.rows(step)
        reader.stop_on_deleted_days(step)
        stop_on_mixed_meanings(step, jobs, ledger)
        for read in step.job.reads.values():
            reader.version(read.table)
    assert missing_days(ledger, today) == []
    return store, ledger, today


@pytest.fixture
def grown(monkeypatch):
    """``grown(days, domain, more)``: as ``asked_by_a_run``, on that day."""

    def asked(days, domain="app", more=lambda today: ()):
        now = datetime(BEGIN.year, 1, 1, 6, tzinfo=UTC) + timedelta(days=days)
        monkeypatch.setattr("churnwatch.io.ledger.datetime", SimpleNamespace(now=lambda zone: now))
        return asked_by_a_run(load(ROOT / "conf" / "local.yaml", [f"domain={domain}"]), days, more)

    return asked


@pytest.mark.parametrize("domain", ["app", "telecom"])
def test_a_run_opens_as_many_files_of_job_runs_after_800_days_as_after_400(grown, domain):
    young, after_400, after_800 = (grown(days, domain)[0] for days in (30, 400, 800))
    assert len(after_400.opened) == len(after_800.opened) <= 11, "of at most nine months"
    assert len(young.opened) <= 2
    assert [store.reads for store in (young, after_400, after_800)] == [1, 1, 1], "once, because each reading is a query"


def test_a_run_under_way_is_known_whatever_its_day(grown):
    def backfill(today):
        at = datetime(today.year, today.month, today.day, 5, tzinfo=UTC)
        return [row("backfill", "build_activity", "", BEGIN, at, [BEGIN], "running")]

    store, ledger, _ = grown(300, more=backfill)
    assert [run.run_id for run in ledger.running()] == ["backfill"]
    assert store.reads == 1


def test_a_question_about_earlier_days_reads_further_back(grown):
    store, ledger, today = grown(300)
    day = BEGIN + timedelta(days=60)
    assert day in ledger.done_days("build_activity", day) and day in ledger.good_days("build_activity", day)
    assert store.reads == 2
    assert ledger.last_day("build_activity") == today - timedelta(days=1)
    assert ledger.first_day("ingest_events", today) <= today and store.reads == 2, "any day up to today is enough"
    assert ledger.first_day("ingest_events", BEGIN - timedelta(days=1)) == BEGIN and store.reads == 3
    assert ledger.first_day("ingest_events") == BEGIN and len(ledger.good_days("build_activity", None)) == 300
    assert store.reads == 3, "everything is known"


def test_the_end_of_an_old_run_is_found_by_the_day_in_its_commit(grown):
    table, old = SimpleNamespace(name="seldom", kind="day"), BEGIN + timedelta(days=10)
    for status, version in (("done", 4), ("failed", 3)):
        store, ledger, _ = grown(300, more=lambda today, s=status: [row("old", "seldom", "", old, written(old), [old], s)])
        store.commits_from = lambda table, first: [(4, {"run_id": "old", "day": str(old)})]
        assert complete_version(ledger, store, table, 4) == version
        store.newest = lambda table: 4
        assert (half_step_text(ledger, store, table) is None) == (status == "done")


def test_a_table_that_was_written_long_ago_is_whole_where_a_done_step_has_read_it(grown):
    def read(today, status="done"):
        day = today - timedelta(days=1)
        return [row("r", "measure_lift", "", day, written(day), [day], status, inputs=[("seldom", 4)])]

    store, ledger, _ = grown(300, more=read)
    assert (ledger.recorded("seldom"), store.reads) == (4, 1)
    assert grown(300, more=lambda today: read(today, "failed"))[1].recorded("seldom") is None


def test_rows_of_days_that_are_not_known_count_as_the_known_ones_on_average(grown):
    _, ledger, today = grown(300)
    last = today - timedelta(days=1)
    assert ledger.rows_between("daily_activity", last - timedelta(days=9), last) == 10 * 1000
    assert ledger.rows_between("daily_activity", last - timedelta(days=249), last) == pytest.approx(250 * 1000)
    assert ledger.rows_between("never written", last, last) == 0
    assert ledger.rows_between("never written", None, last) == math.inf, "it may have been written long ago"
