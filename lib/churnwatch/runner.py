"""The only code that reads, checks, writes and records: read spans -> build -> check -> replace -> record."""

import hashlib
import importlib.resources
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from churnwatch.core import (
    ContractError,
    DataQualityError,
    Job,
    Refused,
    Skipped,
    Table,
    WriteConflict,
    day_range,
    days_predicate,
)
from churnwatch.flow import flow
from churnwatch.io.ledger import Ledger, Run
from churnwatch.io.session import describe
from churnwatch.io.store import Store, Written
from churnwatch.reading import INGEST, Reader, Step, span_text
from churnwatch.settings import Settings
from churnwatch.settings.terms import ALL, DONE, FAILED, RUNNING, SKIPPED
from churnwatch.tables import tables

LOG = logging.getLogger(__name__)
ANCHOR = date(1970, 1, 5)  # the Monday that --every counts from


@dataclass(frozen=True)
class Outcome:
    """How a step ended."""

    step: Step
    status: str
    written: tuple[Written, ...] = ()
    seconds: float = 0.0
    message: str = ""

    def lines(self) -> list[str]:
        """The step as people read it: job, output days, status, seconds and rows or the reason; then more of the reason."""
        days = self.step.days
        span = f"{days[0]} .. {days[-1]}" if len(days) > 1 else str(days[0] if days else self.step.day)
        reason = self.message.splitlines() if self.status != DONE else []
        text = ", ".join(f"{w.table} {w.rows:,}" for w in self.written) or (reason[0] if reason else "")
        head = f"{self.step.job.full_name:<26} {span:<24} {self.status:<9} {self.seconds:6.1f} s  {text}"
        return [head, *(f"    {line}" for line in reason[1:])]


@dataclass(frozen=True)
class Order:
    """What the command line asks for: the jobs, the days D, and how."""

    jobs: tuple[str, ...]
    first: date
    last: date
    every: int | None = None
    decide: bool = False
    dry_run: bool = False
    resume: bool = False

    @property
    def everything(self) -> bool:
        """Whether the whole flow was asked for."""
        return self.jobs == (ALL,)


@dataclass
class Runner:
    """Runs the flow's jobs (``jobs``: others, in their order) over one warehouse."""

    settings: Settings
    spark: SparkSession
    tell: Callable[[Outcome], None] = lambda outcome: None
    begin: Callable[[Step], None] = lambda step: None
    jobs: tuple[Job, ...] = ()
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.jobs = self.jobs or flow(self.settings)
        self.tables = tables(self.settings)
        self.store = Store(self.spark, self.settings)
        self.ledger = Ledger(self.store, self.tables.job_runs, config_hash(self.settings), code_hash())
        self.reader = Reader(self.store, self.ledger, self.jobs)

    # --- what to run ------------------------------------------------------------------------------------------------

    def steps(self, order: Order) -> list[Step]:
        """The steps of ``order`` in the order in which they run; ConfigError-free since the command line was checked."""
        chosen = [job for job in self.jobs if self._asked(job, order)]
        days = day_range(order.first, order.last)
        if order.first == order.last:
            return [self._step(job, days, order) for job in chosen]
        steps = [self._step(job, days, order) for job in chosen if job.mode == "range"]
        if order.decide or not order.everything:
            daily = [job for job in chosen if job.mode == "daily"]
            steps += [self._step(job, (day,), order) for day in days for job in daily]
        return steps

    def _asked(self, job: Job, order: Order) -> bool:
        if order.everything:
            return job.scheduled
        return job.name in order.jobs or job.full_name in order.jobs

    def _step(self, job: Job, days: Sequence[date], order: Order) -> Step:
        outputs = [day - timedelta(days=job.lag_days) for day in days]
        if order.every and job.snapshots:
            outputs = [o for o in outputs if (o - ANCHOR).days % order.every == 0]
        return Step(job, days[-1], tuple(outputs))

    def run(self, order: Order) -> list[Outcome]:
        """Runs ``order``; every step is told and recorded. Raises the error of the step that failed."""
        describe(self.spark, "job_runs: what has run so far")
        if not order.dry_run:
            self.store.create([self.tables.job_runs])
        self.store.refresh()
        self.ledger.refresh()
        if not order.dry_run:
            self._sweep()
        outcomes = []
        started, all_id = time.monotonic(), uuid.uuid4().hex
        try:
            for step in self.steps(order):
                describe(self.spark, step.title)
                self.store.refresh()
                outcome = self._dry(step) if order.dry_run else self._run(step, order)
                outcomes.append(outcome)
                self.tell(outcome)
            if order.everything and not order.dry_run:
                days = day_range(order.first, order.last)
                seconds = time.monotonic() - started
                self.ledger.write(all_id, ALL, "", order.last, DONE, days, seconds=seconds)
        finally:
            self.ledger.flush()
        return outcomes

    def rebuild(self, job: Job, days: Sequence[date], dry_run: bool = False) -> list[Outcome]:
        """Runs ``job`` again for the output days ``days``: one pass, or one day after the other."""
        groups = [tuple(days)] if job.mode == "range" else [(day,) for day in days]
        outcomes = []
        for group in groups:
            self.store.refresh()
            self.ledger.refresh()
            step = Step(job, group[-1] + timedelta(days=job.lag_days), group)
            describe(self.spark, step.title)
            self.begin(step)
            outcomes.append(self._dry(step) if dry_run else self._recorded(step))
            self.tell(outcomes[-1])
            self.ledger.flush()
        return outcomes

    def _run(self, step: Step, order: Order) -> Outcome:
        job, because = step.job, None
        self.ledger.refresh()
        if order.everything and job.due and (last := self.ledger.last_attempt(job.full_name, step.day)):
            next_day = last + timedelta(days=job.due.every_days)
            if step.day < next_day:
                because = self._asked_for(step, last)
                if because is None:
                    return Outcome(step, "not due", message=f"last attempt {last}, next {next_day}")
        if order.resume:
            if job.mode == "daily" and self.ledger.finished(job.full_name, step.day):
                return Outcome(step, "kept", message="done before")
            if job.mode == "range":
                good = self.ledger.good_days(job.full_name)
                step = Step(job, step.day, tuple(d for d in step.days if d not in good))
                if not step.days:
                    return Outcome(step, "kept", message="done before")
        step = self._with_history(step)
        self.begin(step)
        return self._recorded(step, because)

    def _asked_for(self, step: Step, last: date) -> str | None:
        """Why the step runs before its days have passed since the ``last`` attempt; None where nothing asks for it."""
        due = step.job.due
        if due is None or due.early_trigger is None or step.day < last + timedelta(days=due.wait_days):
            return None
        return due.early_trigger({alias: self.reader.cut(step, read) for alias, read in due.reads.items()}, step.day)

    def _with_history(self, step: Step) -> Step:
        """Without output days before the first ingested one, of which nothing can be known.

        Where there are no events to ingest, outside experiments alone are read: they need no such history.
        """
        first = min(self.ledger.done_days(INGEST), default=None)
        if step.job.name == INGEST or not step.job.scheduled or not self.settings.sources.events:
            return step
        return Step(step.job, step.day, tuple(d for d in step.days if first and d >= first))

    # --- one step ---------------------------------------------------------------------------------------------------

    def _recorded(self, step: Step, because: str | None = None) -> Outcome:
        job, run_id, started = step.job, uuid.uuid4().hex, time.monotonic()

        def end(status: str, **more: Any) -> None:
            seconds = time.monotonic() - started
            self.ledger.write(run_id, job.name, job.instance, step.day, status, step.days, seconds=seconds, **more)

        if not step.days:
            message = "no output day lies in the ingested history"
            end(SKIPPED, message=message)
            return Outcome(step, SKIPPED, message=message)
        self._claim(step, run_id)
        try:
            written, inputs, counts = self._built(step, run_id)
        except (Skipped, Refused) as rightly:
            status, text = type(rightly).__name__.lower(), _after(because, str(rightly)) or ""
            end(status, message=text)
            return Outcome(step, status, (), time.monotonic() - started, text)
        except BaseException as error:
            end(FAILED, message=f"{type(error).__name__}: {error}"[:2000])
            raise
        end(DONE, inputs=inputs, outputs=written, message=_after(because, counts))
        return Outcome(step, DONE, tuple(written), time.monotonic() - started, _after(because, counts) or "")

    def _claim(self, step: Step, run_id: str) -> None:
        """Writes the running row; WriteConflict when another run of the job and its days is alive."""
        job, minutes = step.job, self.settings.runs.stale_run_minutes
        if others := self.ledger.others(run_id, job.full_name, step.days, minutes):
            raise WriteConflict(_taken(job, step, others[0]))
        self.ledger.write(run_id, job.name, job.instance, step.day, RUNNING, step.days)
        self.ledger.refresh()
        mine = (self.ledger.started_at(run_id, job.full_name), run_id)
        others = [o for o in self.ledger.others(run_id, job.full_name, step.days, minutes) if (o.started_at, o.run_id) < mine]
        if others:
            message = _taken(job, step, others[0])
            self.ledger.write(run_id, job.name, job.instance, step.day, FAILED, step.days, message=message)
            raise WriteConflict(message)

    def _built(
        self, step: Step, run_id: str
    ) -> tuple[list[Written], list[tuple[str, int | None, date | None, date]], str | None]:
        job, days = step.job, step.days
        describe(self.spark, step.title)
        self.store.create([*(t for t in job.writes)])
        self.reader.stop_on_missing_days(step)
        inputs = {alias: self.reader.cut(step, read) for alias, read in job.reads.items()}
        read_versions = [
            (read.table.name, self.store.version(read.table), *read.span.days(days[0], days[-1])) for read in job.reads.values()
        ]
        ports = self._ports(job, run_id, self._content_id(step, read_versions))
        message = None
        try:
            if job.stage:
                for alias, frame in job.stage(inputs, days, **ports).items():
                    inputs[alias] = self.store.stage(run_id, alias, frame)
            if job.gate:
                message = json.dumps(job.gate(inputs, days), default=str)
            frames = job.build(inputs, days, **({} if job.stage else ports))
            written = self._publish(step, run_id, frames)
        finally:
            # of the job's stage, or of a port
            self.store.drop_stage(run_id)
        return written, read_versions, message

    def _publish(self, step: Step, run_id: str, frames: Mapping[str, DataFrame]) -> list[Written]:
        job = step.job
        if set(frames) != {t.name for t in job.writes}:
            raise ContractError(f"{job.full_name} built {sorted(frames)}, but declares {[t.name for t in job.writes]}")
        stamp = {"run_id": run_id, "job": job.full_name, "day": str(step.day)}
        written = []
        for table in job.writes:
            if table.kind == "log":
                written.append(self.store.append(table, self._only_new(step, table, frames[table.name]), stamp))
            else:
                written.append(self.store.replace(table, frames[table.name], self._where(step, table.name), stamp))
        return written

    def _only_new(self, step: Step, table: Table, frame: DataFrame) -> DataFrame:
        """Rows of a log whose key is not stored yet for the step's days: a second run adds nothing."""
        stored = self.store.read(table, days_predicate(step.days)).select(*table.keys)  # one row a key
        return frame.join(stored, list(table.keys), "left_anti").select(*frame.columns)

    def _where(self, step: Step, table: str) -> str:
        special = step.job.where(step.days) if step.job.where else {}
        return special.get(table) or days_predicate(step.days)

    def _ports(self, job: Job, run_id: str, content_id: str) -> dict[str, Any]:
        return {name: _port(name)(self.spark, self.settings, content_id if name == "models" else run_id) for name in job.ports}

    def _content_id(self, step: Step, inputs: Sequence[tuple[str, int | None, date | None, date]]) -> str:
        """Hash of days, configuration, code and the versions of what the job reads and does not write itself."""
        own = {t.name for t in step.job.writes}
        versions = sorted((i[0], i[1]) for i in inputs if i[0] not in own)
        text = json.dumps(
            [
                step.job.full_name,
                [str(d) for d in step.days],
                config_hash(self.settings),
                code_hash(),
                versions,
            ]
        )
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    # --- around ------------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Removes staging folders of runs that are dead."""
        live = {run.run_id for run in self.ledger.live(self.settings.runs.stale_run_minutes)}
        for run_id in self.store.staged_runs():
            if run_id not in live:
                self.store.drop_stage(run_id)

    # --- looking ----------------------------------------------------------------------------------------------------

    def _dry(self, step: Step) -> Outcome:
        """What the step would read and replace, with the rows expected where its job needs no port but sources."""
        self.ledger.refresh()
        step = self._with_history(step)
        if not step.days:
            return Outcome(step, "would skip", message="no output day lies in the ingested history")
        job, lines = step.job, []
        for alias, read in job.reads.items():
            first, last = read.span.days(step.days[0], step.days[-1])
            span = f"{first or 'beginning'} .. {min(last, self.reader.known(step, read))}"
            lines.append(f"reads {alias}: {read.table.name} version {self.store.version(read.table)}, {span}")
        rows: dict[str, int | str] = {table.name: "rows not known before it runs" for table in job.writes}
        if set(job.ports) <= {"sources"}:
            rows |= self._expected(step)
        for table in job.writes:
            text = f"{rows[table.name]:,} rows" if isinstance(rows[table.name], int) else rows[table.name]
            what = "adds to" if table.kind == "log" else f"replaces {self._where(step, table.name)} of"
            lines.append(f"{what} {table.name}: {text}")
        return Outcome(step, "would run", message="\n".join(lines))

    def _expected(self, step: Step) -> dict[str, int | str]:
        try:
            self.reader.stop_on_missing_days(step)
            inputs = {alias: self.reader.cut(step, read) for alias, read in step.job.reads.items()}
            ports = self._ports(step.job, "dry", "dry")
            if step.job.stage:
                inputs |= step.job.stage(inputs, step.days, **ports)
                ports = {}
            if step.job.gate:
                step.job.gate(inputs, step.days)
            return {name: frame.count() for name, frame in step.job.build(inputs, step.days, **ports).items()}
        except (Skipped, Refused, DataQualityError) as rightly:
            return {table.name: str(rightly) for table in step.job.writes}


def _after(because: str | None, message: str | None) -> str | None:
    """The message, after why a job ran that was not yet due."""
    return "; ".join(part for part in (because and f"asked for: {because}", message) if part) or None


def _taken(job: Job, step: Step, other: Run) -> str:
    since = f"{other.message}, since {other.started_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{job.full_name} {span_text(step.days)} is being run by {other.run_id} ({since}); nothing was written"


def _port(name: str) -> Any:
    """The class of a port: Sources of io/sources.py, and so on; a port that no job of a run asks for is not imported."""
    return getattr(importlib.import_module(f"churnwatch.io.{name}"), name.capitalize())


def config_hash(settings: Settings) -> str:
    """Hash of what things mean: all settings but where they run and what is planted."""
    text = settings.model_dump_json(exclude={"spark", "storage", "mlflow", "sending", "runs", "planted"})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def code_hash() -> str:
    """Hash of the package's Python files."""
    digest = hashlib.sha256()
    for folder in sorted(_folders(importlib.resources.files("churnwatch")), key=lambda f: str(f)):
        for file in sorted(folder.iterdir(), key=lambda f: f.name):
            if file.name.endswith(".py"):
                digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _folders(folder: Any) -> Iterator[Any]:
    yield folder
    for child in folder.iterdir():
        if child.is_dir() and not child.name.startswith("_"):
            yield from _folders(child)
