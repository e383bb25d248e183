"""What a run has done: its summary for people, its exit code, and its results as JSON for programs."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from churnwatch.core import to_ranges
from churnwatch.settings.terms import DONE, FAILED, REFUSED, SKIPPED
from churnwatch.steps import MISSING, NOT_RUN, Order, Outcome, error_text

WORST_FIRST = (1, 2, 3, 5, 4)  # exit codes of steps: the run ends with the first of them that occurs
BAD = (FAILED, REFUSED, NOT_RUN, MISSING)


@dataclass(frozen=True)
class RunReport:
    """How a run ended: each step in the order in which it ended, and the seconds of the whole run."""

    run_id: str
    order: Order
    outcomes: tuple[Outcome, ...]
    seconds: float
    error: BaseException | None = None  # what ended the run before its steps

    @property
    def exit_code(self) -> int:
        """The worst exit code of the steps; 0 when none failed and scoring was not refused."""
        codes = {outcome.exit_code for outcome in self.outcomes} - {0}
        if self.error is not None:
            codes.add(int(getattr(self.error, "exit_code", 1)))
        return next((code for code in WORST_FIRST if code in codes), max(codes, default=0))

    @property
    def status(self) -> str:
        """The status of the row ``all`` of job_runs: done, failed or refused."""
        if self.error is not None or any(outcome.status in (FAILED, MISSING) for outcome in self.outcomes):
            return FAILED
        return REFUSED if self.exit_code else DONE

    @property
    def worst(self) -> BaseException | None:
        """The error of the first failed step with the run's exit code; None when no step failed."""
        failed = [outcome for outcome in self.outcomes if outcome.status == FAILED and outcome.error]
        return next((o.error for o in failed if o.exit_code == self.exit_code), failed[0].error if failed else None)

    def summary(self) -> list[str]:
        """The run for people: how many steps ended in which way, which did not end well and why, and the next command."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        known = [s for s in (DONE, FAILED, SKIPPED, REFUSED, NOT_RUN) if counts[s]]
        words = [f"{counts[s]} {s}" for s in dict.fromkeys((*known, *counts))]
        lines = [f"run {self.run_id}: {', '.join(words) or 'no step'}; {self.seconds:.0f} s, exit code {self.exit_code}"]
        for outcome in self.outcomes:
            if outcome.status in BAD:
                reason = outcome.message.splitlines()[0] if outcome.message else ""
                lines.append(f"  {outcome.status:<8} {outcome.title}: {reason}")
        if self.exit_code:
            lines.append(f"  next: {self.next_command()}")
        return lines

    def next_command(self) -> str:
        """The command that runs what failed or was not run, once the cause is mended."""
        return self.order.command(resume=not self.order.dry_run and not self.order.as_of_run)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Days(_Part):
    """A range of days; both ends are included."""

    first: date = Field(description="first day")
    last: date = Field(description="last day")


class TableResult(_Part):
    """A table that a step wrote."""

    table: str = Field(description="name of the table")
    version: int = Field(description="Delta version of the table after the write")
    rows: int = Field(description="rows that the step wrote")


class StepResult(_Part):
    """How one step ended."""

    job: str = Field(description="name of the job")
    instance: str = Field(description="instance of the job, such as a churn definition; empty: it has none")
    run_day: date = Field(description="last run day D of the step")
    days: list[Days] = Field(description="output days; empty: none lay in the ingested history")
    status: str = Field(
        description="done, failed, skipped, refused, kept (done before, and as new as its inputs), not due, not run (because a "
        "step that it needs failed), missing (was never run), would run, would skip"
    )
    exit_code: int = Field(description="exit code of a run with this step alone")
    seconds: float = Field(description="duration, seconds")
    tables: list[TableResult] = Field(description="tables that the step wrote")
    message: str = Field(description="why the step failed, or was skipped, refused or not run; counts of ingest; empty: none")


class RunResult(_Part):
    """The results of one call of ``churnwatch run``, as ``--json FILE`` writes them."""

    format: Literal[1] = Field(description="version of this format; it rises when a field is removed or changes its meaning")
    run_id: str = Field(description="id of the run; in job_runs it is the run_id of the row of job `all`, where there is one")
    jobs: list[str] = Field(description="the jobs that were named; `all`: the whole flow")
    first_day: date = Field(description="first run day D")
    last_day: date = Field(description="last run day D")
    status: str = Field(description="done, failed (a step failed or is missing) or refused (scoring was refused)")
    exit_code: int = Field(
        description="0 done, 1 a step failed, 2 configuration, 3 data quality, 4 another run, 5 scoring refused; of several the "
        "first in the order 1, 2, 3, 5, 4"
    )
    seconds: float = Field(description="duration of the run, seconds")
    counts: dict[str, int] = Field(description="number of steps by status")
    steps: list[StepResult] = Field(description="the steps, in the order in which they ended")
    message: str = Field(description="why the run ended before its steps did; empty: it did not")
    next_command: str | None = Field(description="what to run once the cause is mended; null after a run that was done")


def run_result(report: RunReport) -> RunResult:
    """The results of a run for programs."""
    return RunResult(
        format=1,
        run_id=report.run_id,
        jobs=list(report.order.jobs),
        first_day=report.order.first,
        last_day=report.order.last,
        status=report.status,
        exit_code=report.exit_code,
        seconds=round(report.seconds, 3),
        counts=dict(Counter(outcome.status for outcome in report.outcomes)),
        steps=[_step_result(outcome) for outcome in report.outcomes],
        message=error_text(report.error) if report.error else "",
        next_command=report.next_command() if report.exit_code else None,
    )


def _step_result(outcome: Outcome) -> StepResult:
    return StepResult(
        job=outcome.step.job.name,
        instance=outcome.step.job.instance,
        run_day=outcome.step.day,
        days=_ranges(outcome.step.days),
        status=outcome.status,
        exit_code=outcome.exit_code,
        seconds=round(outcome.seconds, 3),
        tables=[TableResult(table=w.table, version=w.version, rows=w.rows) for w in outcome.written],
        message=outcome.message,
    )


def _ranges(days: Sequence[date]) -> list[Days]:
    return [Days(first=first, last=last) for first, last in to_ranges(days)]


def schema_text() -> str:
    """The JSON schema of the results, for docs/run_result.schema.json."""
    return json.dumps(RunResult.model_json_schema(), indent=2)
