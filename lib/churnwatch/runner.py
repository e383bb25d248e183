"""Runs jobs: read spans -> build -> check -> replace -> record. No other code does any of this."""

import hashlib
import importlib.resources
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from churnwatch import claims
from churnwatch.core import (
    ContractError,
    DataQualityError,
    Job,
    Refused,
    Skipped,
    Table,
    day_range,
    days_predicate,
    is_snapshot,
)
from churnwatch.flow import flow
from churnwatch.hashes import code_hash, config_hash
from churnwatch.io.file_errors import files_named
from churnwatch.io.ledger import Ledger
from churnwatch.io.session import describe, few_rows_settings
from churnwatch.io.store import Store, Written
from churnwatch.reading import INGEST, Reader, Step
from churnwatch.settings import Settings
from churnwatch.settings.secrets import redacted
from churnwatch.settings.terms import ALL, DONE, FAILED, RUNNING, SKIPPED
from churnwatch.tables import tables

FEW_ROWS = 100_000  # a step that reads at most this many rows runs faster without compiled code (app domain, 3,000 users)
UNRECORDED_SECONDS = 60.0  # a run of the whole flow that dies repeats at most so much work that had ended well


Inputs = Sequence[tuple[str, int | None, date | None, date]]  # table, version, first and last day read
Built = tuple[list[Written], Inputs, str | None]


@dataclass(frozen=True)
class Outcome:
    """How a step ended: its status, what it wrote, and how long it took."""

    step: Step
    status: str
    written: tuple[Written, ...] = ()
    seconds: float = 0.0
    message: str = ""

    def lines(self) -> list[str]:
        """The step for people: job, output days, status, seconds, and rows written or the reason (further lines: more of it)."""
        days = self.step.days
        span = f"{days[0]} .. {days[-1]}" if len(days) > 1 else str(days[0] if days else self.step.day)
        reason = self.message.splitlines() if self.status != DONE else []
        text = ", ".join(f"{w.table} {w.rows:,}" for w in self.written) or (reason[0] if reason else "")
        head = f"{self.step.job.full_name:<26} {span:<24} {self.status:<9} {self.seconds:6.1f} s  {text}"
        return [head, *(f"    {line}" for line in reason[1:])]


@dataclass(frozen=True)
class Order:
    """The jobs to run, the run days D ``first`` .. ``last``, and how: the options of ``churnwatch run``."""

    jobs: tuple[str, ...]
    first: date
    last: date
    every: int | None = None
    decide: bool = False
    dry_run: bool = False
    resume: bool = False

    @property
    def everything(self) -> bool:
        """Whether the whole flow is to run."""
        return self.jobs == (ALL,)


@dataclass
class Runner:
    """Runs jobs over one warehouse: those of the flow, or ``jobs`` in their order.

    ``on_start`` is called with each step that starts, ``on_end`` with how each step ended.
    """

    settings: Settings
    spark: SparkSession
    on_end: Callable[[Outcome], None] = lambda outcome: None
    on_start: Callable[[Step], None] = lambda step: None
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
        """The steps of ``order``, in the order in which they run: range jobs in one step each, then daily jobs day after day."""
        chosen = [job for job in self.jobs if self._is_chosen(job, order)]
        days = day_range(order.first, order.last)
        if order.first == order.last:
            return [self._step(job, days, order) for job in chosen]
        steps = [self._step(job, days, order) for job in chosen if job.mode == "range"]
        if order.decide or not order.everything:
            daily = [job for job in chosen if job.mode == "daily"]
            steps += [self._step(job, (day,), order) for day in days for job in daily]
        return steps

    def _is_chosen(self, job: Job, order: Order) -> bool:
        if order.everything:
            return job.scheduled
        return job.name in order.jobs or job.full_name in order.jobs

    def _step(self, job: Job, days: Sequence[date], order: Order) -> Step:
        outputs = [day - timedelta(days=job.lag_days) for day in days]
        if order.every and job.snapshots:
            outputs = [o for o in outputs if is_snapshot(o, order.every)]
        return Step(job, days[-1], tuple(outputs))

    def run(self, order: Order) -> list[Outcome]:
        """Runs ``order`` and records every step in job_runs. Raises the error of the step that fails; later steps do not run."""
        describe(self.spark, "job_runs: what has run so far")
        if not order.dry_run:
            self.store.create([self.tables.job_runs])
        self.store.refresh()
        self.ledger.refresh()
        if not order.dry_run:
            self._sweep()
        try:
            whole = order.everything and not order.dry_run
            return self._run_whole(order) if whole else self._run_steps(self.steps(order), order)
        finally:
            self.ledger.flush()

    def _run_whole(self, order: Order) -> list[Outcome]:
        """Run the whole flow: one claim for all of its steps, and a row ``all`` in job_runs when they have ended."""
        steps, days, started = self.steps(order), day_range(order.first, order.last), time.monotonic()
        row = (uuid.uuid4().hex, ALL, "", order.last)
        claim = claims.Claim(*row, days, tuple(steps))
        self._claim(claim)
        status, message = DONE, None
        try:
            return self._run_steps(steps, order, claim)
        except BaseException as error:
            status, message = FAILED, _text(error)
            raise
        finally:
            self.ledger.write(*row, status, days, seconds=time.monotonic() - started, message=message)

    def _run_steps(self, steps: Sequence[Step], order: Order, claim: claims.Claim | None = None) -> list[Outcome]:
        outcomes: list[Outcome] = []
        renewed, renew_seconds = time.monotonic(), self.settings.runs.stale_run_minutes * 15.0
        for before, step in zip([None, *steps], steps, strict=False):
            describe(self.spark, step.title)
            if claim and time.monotonic() - renewed > renew_seconds:
                claims.renew(self.ledger, claim)
                renewed = time.monotonic()
            if before and before.day != step.day:
                self.store.refresh()  # others may have written meanwhile, acknowledgements for example
            if "senders" in step.job.ports:  # what people did during this run must not be escalated
                for read in step.job.reads.values():
                    if read.table.kind == "log":
                        self.store.newest(read.table)
            outcomes.append(self._dry(step) if order.dry_run else self._run(step, order))
            self.on_end(outcomes[-1])
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
            self.on_start(step)
            outcomes.append(self._dry(step) if dry_run else self._recorded(step))
            self.on_end(outcomes[-1])
            self.ledger.flush()
        return outcomes

    def _run(self, step: Step, order: Order) -> Outcome:
        job, because = step.job, None
        if order.everything and job.due and (last := self.ledger.last_attempt(job.full_name, step.day)):
            next_day = last + timedelta(days=job.due.every_days)
            if step.day < next_day:
                because = self._early_reason(step, last)
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
        self.on_start(step)
        return self._recorded(step, because, claimed=order.everything)

    def _early_reason(self, step: Step, last: date) -> str | None:
        """Why the step runs before ``every_days`` have passed since the ``last`` attempt; null when it does not."""
        due = step.job.due
        if due is None or due.early_trigger is None or step.day < last + timedelta(days=due.wait_days):
            return None
        return due.early_trigger({alias: self.reader.cut(step, read) for alias, read in due.reads.items()}, step.day)

    def _with_history(self, step: Step) -> Step:
        """Drop output days before the first ingested day, because nothing is known about them.

        Domains without event sources keep all days: they only read experiments that were run elsewhere.
        """
        first = min(self.ledger.done_days(INGEST), default=None)
        if step.job.name == INGEST or not step.job.scheduled or not self.settings.sources.events:
            return step
        return Step(step.job, step.day, tuple(d for d in step.days if first and d >= first))

    # --- one step ---------------------------------------------------------------------------------------------------

    def _recorded(self, step: Step, because: str | None = None, claimed: bool = False) -> Outcome:
        """Runs the step and writes its rows of job_runs; ``claimed``: a run of the whole flow holds its day already."""
        job, run_id, started = step.job, uuid.uuid4().hex, time.monotonic()

        def end(status: str, **more: Any) -> None:
            seconds = time.monotonic() - started
            self.ledger.write(run_id, job.name, job.instance, step.day, status, step.days, seconds=seconds, **more)

        if not step.days:
            message = "no output day lies in the ingested history"
            end(SKIPPED, message=message)
            return Outcome(step, SKIPPED, message=message)
        if claimed:
            self.ledger.write(run_id, job.name, job.instance, step.day, RUNNING, step.days)
        else:
            self._claim(claims.Claim(run_id, job.name, job.instance, step.day, step.days, (step,)))
        try:
            if claimed:
                reads_runs = any(read.table == self.tables.job_runs for read in job.reads.values())
                self.ledger.flush(0.0 if reads_runs else UNRECORDED_SECONDS)
            written, inputs, counts = self._built(step, run_id)
        except (Skipped, Refused) as rightly:
            status, text = type(rightly).__name__.lower(), _with_reason(because, str(rightly)) or ""
            end(status, message=text)
            return Outcome(step, status, (), time.monotonic() - started, text)
        except BaseException as error:
            end(FAILED, message=_text(error))
            raise
        end(DONE, inputs=inputs, outputs=written, message=_with_reason(because, counts))
        return Outcome(step, DONE, tuple(written), time.monotonic() - started, _with_reason(because, counts) or "")

    def _claim(self, claim: claims.Claim) -> None:
        claims.take(self.ledger, claim, self.settings.runs.stale_run_minutes)

    def _built(self, step: Step, run_id: str) -> Built:
        """Build and publish the step: what it wrote, the inputs that it read, and the message of its gate."""
        describe(self.spark, step.title)
        few = self.reader.rows(step) <= FEW_ROWS
        with few_rows_settings(self.spark, enabled=few), files_named(step.title):
            return self._build(step, run_id)

    def _build(self, step: Step, run_id: str) -> Built:
        job, days = step.job, step.days
        self.store.create(job.writes)
        self.reader.stop_on_missing_days(step)
        self.reader.stop_on_deleted_days(step)
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
            if job.stage or job.ports:
                self.store.drop_stage(run_id)
        return written, read_versions, message

    def _publish(self, step: Step, run_id: str, frames: Mapping[str, Any]) -> list[Written]:
        job = step.job
        if set(frames) != {t.name for t in job.writes}:
            raise ContractError(f"{job.full_name} built {sorted(frames)}, but declares {[t.name for t in job.writes]}")
        stamp = {"run_id": run_id, "job": job.full_name, "day": str(step.day)}
        written = []
        for table in job.writes:
            if table.kind == "log":
                slices = [frames[table.name]] if isinstance(frames[table.name], DataFrame) else frames[table.name]
                ends = [self.store.append(table, self._only_new(step, table, rows), stamp) for rows in slices]
                version = ends[-1].version if ends else self.store.version(table) or 0
                written.append(Written(table.name, version, sum(end.rows for end in ends)))
            else:
                written.append(self.store.replace(table, frames[table.name], self._where(step, table.name), stamp))
        return written

    def _only_new(self, step: Step, table: Table, frame: DataFrame) -> DataFrame:
        """Rows of a log table whose key is not yet stored for the step's days, so that a second run adds nothing."""
        stored = self.store.read(table, days_predicate(step.days), min(step.days), max(step.days))
        stored = stored.select(*table.keys)  # one row a key
        return frame.join(stored, list(table.keys), "left_anti").select(*frame.columns)

    def _where(self, step: Step, table: str) -> str:
        special = step.job.where(step.days) if step.job.where else {}
        return special.get(table) or days_predicate(step.days)

    def _ports(self, job: Job, run_id: str, content_id: str) -> dict[str, Any]:
        return {name: _port(name)(self.spark, self.settings, content_id if name == "models" else run_id) for name in job.ports}

    def _content_id(self, step: Step, inputs: Inputs) -> str:
        """Hash of the days, the configuration, the code and the versions of the tables that the job reads and does not write."""
        own = {t.name for t in step.job.writes}
        versions = sorted((i[0], i[1]) for i in inputs if i[0] not in own)
        hashes, days = (config_hash(self.settings), code_hash()), [str(d) for d in step.days]
        text = json.dumps([step.job.full_name, days, *hashes, versions])
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    # --- around ------------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Remove the staging folders of runs that are no longer live."""
        if not (staged := self.store.staged_runs()):
            return
        self.ledger.refresh()  # after the look at the folders, because a run commits its claim before it stages
        live = self.ledger.live(self.settings.runs.stale_run_minutes)
        if any(run.job == ALL for run in live):
            return  # running rows of its steps may still wait in its memory
        for run_id in set(staged) - {run.run_id for run in live}:
            self.store.drop_stage(run_id)

    # --- looking ----------------------------------------------------------------------------------------------------

    def _dry(self, step: Step) -> Outcome:
        """What the step would read and replace. Rows are counted only for jobs that need no port but sources."""
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


def _with_reason(because: str | None, message: str | None) -> str | None:
    """The message, after why a job ran that was not yet due."""
    return "; ".join(part for part in (because and f"asked for: {because}", message) if part) or None


def _text(error: BaseException) -> str:
    """The error as job_runs keeps it."""
    return redacted(f"{type(error).__name__}: {error}")[:2000]


def _port(name: str) -> Any:
    """The class of a port: Sources of io/sources.py, for example. Imported late, because MLflow takes seconds."""
    return getattr(importlib.import_module(f"churnwatch.io.{name}"), name.capitalize())
