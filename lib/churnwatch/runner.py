"""Runs jobs: read spans -> build -> check -> replace -> record. No other code does any of this."""

import copy
import importlib.resources
import json
import logging
import math
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from pyspark.sql import SparkSession

from churnwatch import claims
from churnwatch.core import (
    ConfigError,
    ContractError,
    DataQualityError,
    Job,
    LeaseLost,
    MissingDays,
    Refused,
    Scope,
    Skipped,
    WriteConflict,
)
from churnwatch.dry_run import expected
from churnwatch.flow import flow
from churnwatch.graph import Failures
from churnwatch.hashes import code_hash, config_hash, content_id, meaning_hashes
from churnwatch.io.file_errors import files_named
from churnwatch.io.full_disk import full_disk
from churnwatch.io.leases import Leases
from churnwatch.io.ledger import Ledger
from churnwatch.io.operator_log import record_action
from churnwatch.io.session import describe, few_rows_settings
from churnwatch.io.store import Store, Written
from churnwatch.lanes import Lane, Shared, side_by_side
from churnwatch.publishing import InputsChanged, publish
from churnwatch.reading import Reader, Step, first_day_asked, span_text
from churnwatch.results import RunReport
from churnwatch.settings import Settings
from churnwatch.settings.terms import ALL, DONE, FAILED, REFUSED, RUNNING, SKIPPED
from churnwatch.staleness import done_around, find_scope, stop_on_mixed_meanings
from churnwatch.steps import Chooser, Order, Outcome, Start, error_text, failed, unreached
from churnwatch.tables import tables
from churnwatch.versions import current_versions, of_run

__all__ = ["Order", "Outcome", "Runner"]

LOG = logging.getLogger(__name__)
FEW_ROWS = 100_000  # a step that reads at most this many rows runs faster without compiled code (app domain, 3,000 users)
MOST_HALVES = 32  # attempts to find the days of a range whose data are at fault
UNRECORDED_SECONDS = 60.0  # a run of the whole flow that dies repeats at most so much work that had ended well


Inputs = Sequence[tuple[str, int | None, date | None, date]]  # table, version, first and last day read
Built = tuple[list[Written], Inputs, str | None, Scope]


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
    _whole: str = field(init=False, default="")  # id of the run of the whole flow that is under way
    _take_over: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.jobs = self.jobs or flow(self.settings)
        self.tables = tables(self.settings)
        self.store = Store(self.spark, self.settings)
        self.leases = Leases(self.settings)
        self.store.check = self.leases.check
        hashes = config_hash(self.settings), code_hash()
        self.ledger = Ledger(self.store, self.tables.job_runs, *hashes, self.leases.owner)
        self.reader = Reader(self.store, self.ledger, self.jobs)
        self.chooser = Chooser(self.settings, self.jobs, self.ledger, self.reader)

    # --- a run ------------------------------------------------------------------------------------------------------

    def run(self, order: Order) -> list[Outcome]:
        """Run ``order``, as ``attempt`` does. Raises the error of the worst failed step, once the others have ended."""
        report = self.attempt(order)
        if report.worst is not None:
            raise report.worst
        return list(report.outcomes)

    def attempt(self, order: Order) -> RunReport:
        """Run ``order`` and record every step in job_runs. Steps that do not depend on a failed one go on.

        Raises WriteConflict when another run of the whole flow holds the days, ConfigError when messages would be sent as of an
        earlier run, and what ends the process, such as Ctrl-C.
        """
        describe(self.spark, "job_runs: what has run so far")
        if not order.dry_run:
            self.store.create([self.tables.job_runs])
        self.store.refresh()
        if asked := first_day_asked(self.chooser.steps(order)):
            self.ledger.reach(asked)
        self.ledger.refresh()
        if not order.dry_run:
            claims.sweep(self.store, self.ledger, self.leases)
        self._take_over = order.take_over
        if order.as_of_run and any("senders" in step.job.ports for step in self.chooser.steps(order)):
            raise ConfigError(
                "--as-of-run does not go with jobs that write or send messages: they would repeat what was sent since"
            )
        self.reader.pinned = of_run(self.ledger, order.as_of_run) if order.as_of_run else {}
        try:
            if order.everything and not order.dry_run:
                return self._run_whole(order)
            run_id, started = uuid.uuid4().hex, time.monotonic()
            outcomes = self._run_steps(self.chooser.steps(order), order)
            return RunReport(run_id, order, tuple(outcomes), time.monotonic() - started)
        finally:
            if not order.dry_run:
                claims.close(self.store, self.ledger, self.leases)

    def _take(self, claim: claims.Claim) -> None:
        """Take the claim. A run that was ended by ``--take-over`` becomes a row of operator_actions, with the person."""
        ended = claims.take(self.ledger, self.leases, claim, self._take_over)
        self.store.refresh()  # an erasure may have ended before the claim
        for run in ended if self._take_over else ():
            note = f"{run.full_name} {span_text(sorted(run.days))}, taken over by run {claim.run_id}"
            record_action(self.store, self.tables.operator_actions, "take_over", run.run_id, note, self.leases.owner.person)

    def _run_whole(self, order: Order) -> RunReport:
        """Run the whole flow: one claim for all of its steps, and a row ``all`` in job_runs when they have ended."""
        steps, days, started = self.chooser.steps(order), order.days, time.monotonic()
        row = (uuid.uuid4().hex, ALL, "", order.last)
        claim = claims.Claim(*row, days, tuple(steps))
        self._take(claim)
        self._whole = row[0]
        end: dict[str, Any] = {"status": FAILED, "message": "the run broke off"}
        try:
            report = RunReport(row[0], order, tuple(self._run_steps(steps, order)), time.monotonic() - started)
            end = {"status": report.status, "message": "\n".join(report.summary()[1:])[:2000] or None}
            end["outputs"] = [Written(*one, 0) for one in current_versions(self.ledger, self.store, self.jobs).items()]
            return report
        except BaseException as error:
            end = {"status": claims.ending(error), "message": error_text(error)}
            raise
        finally:
            self.ledger.write(*row, days=days, seconds=time.monotonic() - started, **end)

    def _run_steps(self, steps: Sequence[Step], order: Order) -> list[Outcome]:
        outcomes: list[Outcome] = []
        failures, lanes = Failures(), self.settings.runs.parallel_steps
        if lanes > 1 and order.everything and not order.dry_run:
            ledger = Shared(self.ledger)
            ended = side_by_side([self._lane(order, failures, ledger) for _ in range(lanes)], steps)
        else:
            ended = self._one_by_one(steps, order, failures)
        for outcome in ended:
            outcomes.append(outcome)
            self.on_end(outcome)
        return outcomes

    def _one_by_one(self, steps: Sequence[Step], order: Order, failures: Failures) -> Iterator[Outcome]:
        for before, step in zip([None, *steps], steps, strict=False):
            describe(self.spark, step.title)
            self.leases.check()
            if before and before.day != step.day:
                self.store.refresh()  # others may have written meanwhile, acknowledgements for example
                self.ledger.refresh()
            if "senders" in step.job.ports:  # what people did during this run must not be escalated
                for read in step.job.reads.values():
                    if read.table.kind == "log":
                        self.store.newest(read.table)
            yield from [expected(self, step)] if order.dry_run else self._attempts(step, order, failures)

    def _lane(self, order: Order, failures: Failures, ledger: Any) -> Lane:
        """Runs a step in a Spark session of its own, because versions of commits and settings for few rows are a session's."""
        lane = copy.copy(self)
        lane.spark, lane.ledger = self.spark.newSession(), ledger
        lane.spark.conf.set("spark.sql.session.timeZone", "UTC")
        lane.store = Store(lane.spark, self.settings)
        lane.store.check = self.leases.check
        lane.reader = Reader(lane.store, ledger, self.jobs)
        lane.chooser = Chooser(self.settings, self.jobs, ledger, lane.reader)

        def run(step: Step) -> list[Outcome]:
            self.leases.check()
            lane.store.refresh()  # other lanes have written meanwhile
            return list(lane._attempts(step, order, failures))

        return run

    def rebuild(self, job: Job, days: Sequence[date], dry_run: bool = False, failures: Failures | None = None) -> list[Outcome]:
        """Run ``job`` again for the output days ``days``: one pass, or one day after the other.

        ``failures``: what has failed before in the same run, and what fails now; days that depend on it are not run.
        """
        groups = [tuple(days)] if job.mode == "range" else [(day,) for day in days]
        outcomes, failures = [], failures or Failures()
        for group in groups:
            self.store.refresh()
            self.ledger.refresh()
            step = Step(job, group[-1] + timedelta(days=job.lag_days), group)
            describe(self.spark, step.title)
            order = Order((job.full_name,), step.day, step.day, with_late=False)
            for outcome in [expected(self, step)] if dry_run else self._attempts(step, order, failures):
                outcomes.append(outcome)
                self.on_end(outcome)
            if not dry_run:
                claims.close(self.store, self.ledger, self.leases)
        return outcomes

    def _attempts(self, step: Step, order: Order, failures: Failures) -> Iterator[Outcome]:
        """Run the output days of the step that can run; yield an outcome for these, and for the days that cannot."""
        left, blocked = failures.split(step)
        for root, days in blocked.items():
            failures.add(outcome := unreached(step, days, root), root)
            yield outcome
        if blocked and not left.days:
            return
        outcomes: Iterable[Outcome]
        try:
            choice = self.chooser.choose(left, order)
            outcomes = [choice] if isinstance(choice, Outcome) else self._parts(choice, order.everything)
        except Exception as error:  # the reason for an early run is read from tables
            outcomes = [failed(left, error)]
        for outcome in outcomes:
            failures.add(outcome)
            yield outcome

    def _parts(self, start: Start, claimed: bool) -> Iterator[Outcome]:
        """Run a step: first the output days whose inputs are all there, then the others, which fail and name what is missing."""
        step, lacking = start.step, self.reader.lacking(start.step)
        parts = [tuple(d for d in step.days if (d in lacking) == missing) for missing in (False, True)]
        for days in [part for part in parts if part] or [()]:
            yield from self._halved(replace(start, step=replace(step, days=days)), claimed)

    def _halved(self, start: Start, claimed: bool) -> Iterator[Outcome]:
        """Run a step. When the data of some of its days are at fault, halve the range until these days stand alone.

        The other days are done, and a run with ``--resume`` takes the days at fault alone. After MOST_HALVES attempts, what is
        left of the range fails as a whole, because then most of its days are at fault.
        """
        waiting, attempts = [start.step], 0
        while waiting:
            step, attempts = waiting.pop(0), attempts + 1
            outcome = self._attempt(Start(step, start.because), claimed)
            days = outcome.step.days
            at_fault = isinstance(outcome.error, DataQualityError | ContractError) and not isinstance(outcome.error, MissingDays)
            if at_fault and len(days) > 1 and attempts < MOST_HALVES:
                half = len(days) // 2
                waiting[:0] = [Step(step.job, step.day, part) for part in (days[:half], days[half:])]
            else:
                yield outcome

    def _attempt(self, start: Start, claimed: bool) -> Outcome:
        """Run a step once; an error becomes its outcome."""
        self.on_start(start.step)
        started = time.monotonic()
        try:
            outcome = self._recorded(start.step, start.because, claimed)
        except LeaseLost:
            raise  # another run goes on with the work, of all steps
        except Exception as error:
            outcome = failed(start.step, error, time.monotonic() - started)
        LOG.info("%s: %s after %.1f s", outcome.title, outcome.status, outcome.seconds)
        return outcome

    # --- one step ---------------------------------------------------------------------------------------------------

    def _recorded(self, step: Step, because: str | None = None, claimed: bool = False) -> Outcome:
        """Runs the step and writes its rows of job_runs; ``claimed``: a run of the whole flow holds its day already."""
        job, started = step.job, time.monotonic()
        run_id = f"{self._whole}-{uuid.uuid4().hex[:12]}" if claimed else uuid.uuid4().hex

        def end(status: str, days: Sequence[date] = step.days, **more: Any) -> None:
            seconds = time.monotonic() - started
            self.ledger.write(run_id, job.name, job.instance, step.day, status, days, seconds=seconds, **more)

        if not step.days:
            message = "no output day lies in the ingested history"
            end(SKIPPED, message=message)
            return Outcome(step, SKIPPED, message=message)
        if claimed:
            self.ledger.write(run_id, job.name, job.instance, step.day, RUNNING, step.days)
        else:
            claim = claims.Claim(run_id, job.name, job.instance, step.day, step.days, (step,))
            self._take(claim)
        try:
            if claimed:
                reads_runs = any(read.table == self.tables.job_runs for read in job.reads.values())
                self.ledger.flush(0.0 if reads_runs else UNRECORDED_SECONDS)
            written, inputs, counts, scope = self._built(step, run_id)
        except (Skipped, Refused) as rightly:
            status, text = SKIPPED if isinstance(rightly, Skipped) else REFUSED, _with_reason(because, str(rightly)) or ""
            end(status, message=text)
            return Outcome(step, status, (), time.monotonic() - started, text)
        except BaseException as error:
            if full := full_disk(error, (self.settings.storage.root, self.settings.storage.files)):
                error.add_note(full)
            end(claims.ending(error), message=error_text(error))
            raise
        told, kept = _with_reason(because, counts), {"restated": scope.restated, "meaning": meaning_hashes(job.meaning)}
        end(DONE, scope.days, inputs=inputs, outputs=written, message=told, **kept)
        step = replace(step, days=scope.days)
        return Outcome(step, DONE, tuple(written), time.monotonic() - started, told or "", late=scope.note)

    def _built(self, step: Step, run_id: str) -> Built:
        """Build and publish the step: what it wrote, the inputs that it read, and the message of its gate.

        When a commit lost to other work that has changed an input, the step is built again, at least once and for at most
        ``runs.conflict_minutes``. Raises WriteConflict after that.
        """
        describe(self.spark, step.title)
        few, minutes, deadline = self.reader.rows(step) <= FEW_ROWS, self.settings.runs.conflict_minutes, math.inf
        with few_rows_settings(self.spark, enabled=few), files_named(step.title):
            while True:
                try:
                    return self._build(step, run_id)
                except InputsChanged as changed:
                    if time.monotonic() > deadline:
                        raise WriteConflict(
                            f"{changed}, and again after each new build for {minutes:g} minutes; readers keep older rows. "
                            "Hint: run it again when fewer runs write these tables"
                        ) from changed
                    deadline = min(deadline, time.monotonic() + minutes * 60.0)
                    LOG.warning("%s; it is built again", changed)

    def _build(self, step: Step, run_id: str) -> Built:
        job, days = step.job, step.days
        self.store.create(job.writes)
        self.reader.stop_on_missing_days(step)
        self.reader.stop_on_deleted_days(step)
        stop_on_mixed_meanings(step, self.jobs, self.ledger)
        inputs = {alias: self.reader.cut(step, read) for alias, read in job.reads.items()}
        read_versions = [
            (read.table.name, self.reader.version(read.table), *read.span.days(days[0], days[-1])) for read in job.reads.values()
        ]
        ports = self.ports(job, run_id, content_id(step, read_versions, self.settings))
        message = None
        scope, scoped = find_scope(step, inputs, ports, self.ledger, self.reader)
        try:
            if job.stage:
                for alias, frame in job.stage(inputs, scope.days, **ports, **scoped).items():
                    inputs[alias] = self.store.stage(run_id, alias, frame)
            if job.narrow:
                scope = job.narrow(inputs, scope, done_around(step, self.ledger)[0])
                scoped = {"scope": scope}
            counts = job.gate(inputs, scope.days, **scoped) if job.gate else None
            if job.gate:
                message = json.dumps({**(counts or {}), **scope.note}, default=str)
            frames = job.build(inputs, scope.days, **({} if job.stage else ports), **scoped)
            versions = {name: version for name, version, *_ in read_versions}
            written = publish(replace(step, days=scope.days), run_id, frames, scoped, versions, self.store, self.reader)
        finally:
            if job.stage or job.ports:
                self.store.drop_stage(run_id)
        return written, read_versions, message, scope

    def ports(self, job: Job, run_id: str, content_id: str) -> dict[str, Any]:
        """The ports of the job, by name."""
        given: dict[str, tuple[Any, ...]] = {"models": (content_id,), "senders": (run_id, self.leases.check)}
        return {name: _port(name)(self.spark, self.settings, *given.get(name, (run_id,))) for name in job.ports}


def _with_reason(because: str | None, message: str | None) -> str | None:
    """The message, after why a job ran that was not yet due."""
    return "; ".join(part for part in (because and f"asked for: {because}", message) if part) or None


def _port(name: str) -> Any:
    """The class of a port: Sources of io/sources.py, for example. Imported late, because MLflow takes seconds."""
    return getattr(importlib.import_module(f"churnwatch.io.{name}"), name.capitalize())
