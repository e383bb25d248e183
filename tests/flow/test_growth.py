"""What a day reads does not grow with the length of history."""

import dataclasses
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql.types import StructType

from churnwatch.core import DataQualityError, Job, Table, column, first_rows, outdated_restatements, restated
from churnwatch.flow import flow
from churnwatch.reading import Reader, Step
from churnwatch.runner import Order, Runner
from churnwatch.settings import load
from frames import frame

ROOT = Path(__file__).resolve().parents[2]
BEGIN = date(2025, 1, 1)
# bounded by attempts and by experiments, not by days
WHOLE = {"model_runs", "experiment_units", "bots"}


class GrownStore:
    """A store whose tables have a file of every day from ``BEGIN`` to ``until``; it notes those that are read."""

    def __init__(self, until: date) -> None:
        self.days: list[date] = []
        self._until = until

    def newest_day(self, table, before, version):
        return (before - timedelta(days=1)).replace(day=1)

    def version(self, table):
        return 0

    def read(self, table, where=None, first=None, last=None, *more):
        first, last = max(first or BEGIN, BEGIN), min(last, self._until)
        self.days += [first + timedelta(days=n) for n in range((last - first).days + 1)]
        return Nothing()


class Nothing:
    """A frame of which nothing is asked."""

    columns = ()

    def __getattr__(self, name):
        return lambda *given, **more: self

    def __ge__(self, other):
        return self


class GrownLedger:
    """A ledger of jobs that have run every day since ``BEGIN``."""

    def __init__(self, last: date) -> None:
        self._days = frozenset(BEGIN + timedelta(days=n) for n in range((last - BEGIN).days + 1))

    def done_days(self, *given, **more):
        return self._days

    good_days = done_days

    def first_day(self, job, enough=None):
        return min(self._days)

    def last_day(self, job):
        return max(self._days)

    def recorded(self, table):
        return 0  # the version of the store


def partitions_read(jobs, day):
    """(job, alias) -> days of the table that the job reads at D."""
    found = {}
    for job in jobs:
        for alias, read in job.reads.items():
            if job.scheduled and read.table.name not in WHOLE:
                store = GrownStore(day)
                output = day - timedelta(days=job.lag_days)
                Reader(store, GrownLedger(day), jobs).cut(Step(job, day, (output,)), read)
                found[job.full_name, alias] = len(store.days)
    return found


@pytest.fixture
def functions_without_spark(monkeypatch):
    """``cut`` makes columns, which need a session, although no frame is read."""
    monkeypatch.setattr("churnwatch.reading.F", Nothing())
    monkeypatch.setattr("churnwatch.reading.Window", Nothing())


@pytest.mark.parametrize("domain", ["app", "ecommerce", "telecom"])
def test_what_a_day_reads_stops_growing_with_history(functions_without_spark, domain):
    jobs = flow(load(ROOT / "conf" / "local.yaml", [f"domain={domain}"]))
    spans = {(job.full_name, alias): read.span for job in jobs for alias, read in job.reads.items()}
    after_30, after_400, after_800, after_1200 = (
        partitions_read(jobs, BEGIN + timedelta(days=days - 1)) for days in (30, 400, 800, 1200)
    )
    # no span of fixed length is longer than two years and a few weeks: the fall of a group is told from a season
    fixed = [key for key in after_800 if not spans[key].as_of]
    assert {key: (after_800[key], after_1200[key]) for key in fixed if after_1200[key] != after_800[key]} == {}
    # what is in force is read from a restatement of at most a month ago on, after 30 days as after 400
    for counts in (after_30, after_400, after_1200):
        too_many = {key: n for key, n in counts.items() if spans[key].as_of and n > 33 - (spans[key].first or 0)}
        assert too_many == {}


def table(name, *more, **options):
    columns = [column("day", "date", "day", nullable=False), column("user_id", "string", "user", nullable=False), *more]
    schema = StructType(columns)
    return Table(name=name, comment="rows", schema=schema, keys=("day", "user_id"), partitions=("day",), **options)


SEEN = table("seen")
RESTATED = table("known_restated", column("since", "date", "own day", nullable=False))
KNOWN = table("known", pick="earliest", pick_key=("user_id",), restatement=RESTATED, complete=True)


@pytest.fixture
def known(spark, tmp_path):
    """``run(lines, first, last)``: ingest the users of each day in ``lines``, and find those who are new; gives the runner."""
    lines = {}

    def seen(inputs, days):
        return {"seen": frame(spark, [(day, user) for day in days for user in lines.get(day, "")], SEEN.schema)}

    def know(inputs, days):
        found = inputs["seen"].groupBy("user_id").agg({"day": "min"}).withColumnRenamed("min(day)", "day")
        new = first_rows(found.select("day", "user_id"), inputs["known"], ["user_id"], days)
        stored = inputs["known"].select("day", "user_id")
        return {"known_restated": restated(stored.unionByName(new), days), "known": new}

    jobs = (
        Job("ingest_events", build=seen, writes=(SEEN,)),
        Job(
            "know",
            build=know,
            reads={"seen": SEEN.on(), "known": KNOWN.as_of()},
            writes=(RESTATED, KNOWN),
            where=lambda days: {"known_restated": outdated_restatements(days)},
        ),
    )
    settings = load(ROOT / "conf" / "local.yaml", [f"storage.root={tmp_path}/w", f"storage.files={tmp_path}/f"])
    runner = Runner(settings, spark, jobs=jobs)

    def run(more, first, last=None):
        lines.update(more)
        for name in ("ingest_events", "know"):
            runner.run(Order((name,), first, last or first))
        runner.store.refresh()
        return runner

    return run


def as_of(runner, day):
    """User -> first day, as a job that runs on ``day`` reads it; and the days of the files that it reads for that."""
    reader = Job("read", build=lambda inputs, days: {}, reads={"known": KNOWN.as_of()})
    cut = runner.reader.cut(Step(reader, day, (day,)), reader.reads["known"])
    files = [file.split("/day=")[1].split("/")[0] for file in cut.inputFiles()]
    return {row["user_id"]: row["day"] for row in cut.collect()}, sorted(files)


def test_a_backfill_of_an_older_day_reaches_every_later_day_through_the_restatements(known):
    jan, feb, mar = date(2025, 1, 30), date(2025, 2, 10), date(2025, 3, 2)
    runner = known({jan: "a", feb: "b", mar: "abc"}, jan, date(2025, 3, 3))
    once = {"a": jan, "b": feb, "c": mar}
    assert as_of(runner, date(2025, 3, 3)) == (once, ["2025-03-01", "2025-03-02"])
    assert as_of(runner, date(2025, 3, 1)) == ({"a": jan, "b": feb}, ["2025-02-01", "2025-02-10"])
    # a file of 5 February comes late: c was there before March
    late = date(2025, 2, 5)
    runner = known({late: "c"}, late)
    told, files = as_of(runner, date(2025, 3, 3))
    assert told == once | {"c": late} and "2025-03-01" not in files
    runner = known({}, date(2025, 3, 1), date(2025, 3, 3))
    assert as_of(runner, date(2025, 3, 3)) == (once | {"c": late}, ["2025-03-01"])
    # and one who was there by mistake is forgotten
    runner = known({jan: ""}, jan, date(2025, 3, 3))
    assert as_of(runner, date(2025, 3, 3))[0] == {"a": mar, "b": feb, "c": late}


def test_late_days_before_a_first_of_a_month_keep_its_restatement(known):
    february, march = date(2025, 2, 27), date(2025, 3, 2)
    runner = known({february: "a", march: "b"}, february, march)
    known({february: "ac"}, february)
    runner.rebuild(runner.jobs[1], (february, march))
    runner.store.refresh()
    told, files = as_of(runner, date(2025, 3, 3))
    assert told == {"a": february, "b": march, "c": february}
    assert files == ["2025-03-01", "2025-03-02"]


def test_a_state_that_misses_days_before_is_not_built_on(known):
    first, last = date(2025, 3, 1), date(2025, 3, 9)
    runner = known({first: "a"}, first, date(2025, 3, 2))
    runner.run(Order(("ingest_events",), date(2025, 3, 3), last))
    with pytest.raises(DataQualityError, match=r"known \(2025-03-03 .. 2025-03-08\): run know for them"):
        runner.run(Order(("know",), last, last))
    runner.run(Order(("know",), date(2025, 3, 3), last))


def test_a_restatement_of_a_step_that_broke_off_is_not_read(known, monkeypatch):
    """The copy is written before the table: a run that dies between the two must not hide the users before it."""
    first, march = date(2025, 2, 27), date(2025, 3, 1)
    runner = known({first: "a", march: "b"}, first, date(2025, 2, 28))
    runner.run(Order(("ingest_events",), march, march))
    real = type(runner.store).replace

    def broken(store, table, *more):
        if table.name == "known":
            raise RuntimeError("the process died")
        return real(store, table, *more)

    monkeypatch.setattr(type(runner.store), "replace", broken)
    with pytest.raises(RuntimeError):
        runner.run(Order(("know",), march, march))
    monkeypatch.undo()
    runner.store.refresh()
    assert as_of(runner, date(2025, 3, 2))[0]["a"] == first


def test_a_day_whose_input_may_be_deleted_is_not_built_again(known):
    runner = known({}, date(2025, 3, 1), date(2025, 3, 9))
    kept = dataclasses.replace(SEEN, keep_days=5)
    built = Job("sum", build=lambda inputs, days: {}, reads={"seen": kept.trailing(2)})
    runner.reader.stop_on_deleted_days(Step(built, date(2025, 3, 6), (date(2025, 3, 6),)))
    with pytest.raises(DataQualityError, match="seen from 2025-03-04 on: rows before 2025-03-05 are deleted"):
        runner.reader.stop_on_deleted_days(Step(built, date(2025, 3, 5), (date(2025, 3, 5),)))


def test_missing_days_that_keep_days_has_removed_are_named():
    kept, ledger = dataclasses.replace(SEEN, keep_days=5, complete=True), GrownLedger(date(2025, 3, 9))
    ledger.good_days = lambda *given: frozenset()
    jobs = [
        Job("see", build=lambda inputs, days: {}, writes=(kept,)),
        Job("sum", build=lambda inputs, days: {}, reads={"seen": kept.trailing(2)}),
    ]
    step = Step(jobs[1], date(2025, 3, 5), (date(2025, 3, 5),))
    text = r"seen \(2025-03-04 .. 2025-03-05\): run see for them; 2025-03-04: before 2025-03-05, so maintain has deleted"
    with pytest.raises(DataQualityError, match=text):
        Reader(GrownStore(date(2025, 3, 9)), ledger, jobs).stop_on_missing_days(step)
