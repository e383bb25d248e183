"""Choose the steps of a run: which jobs for which days, and whether each step runs, waits or is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from churnwatch.core import ConfigError, Job, day_range, is_snapshot
from churnwatch.io.causes import described
from churnwatch.io.ledger import Ledger
from churnwatch.io.store import Written
from churnwatch.reading import INGEST, Reader, Step
from churnwatch.settings import Settings
from churnwatch.settings.secrets import redacted
from churnwatch.settings.terms import ALL, DONE, FAILED, REFUSED, SKIPPED
from churnwatch.staleness import late_lines, with_late_days
from churnwatch.versions import History

# how a step may end, besides the statuses of job_runs
KEPT, NOT_DUE, NOT_RUN, MISSING = "kept", "not due", "not run", "missing"


@dataclass(frozen=True)
class Outcome:
    """How a step ended: its status, what it wrote, and how long it took. ``error``: why it failed."""

    step: Step
    status: str
    written: tuple[Written, ...] = ()
    seconds: float = 0.0
    message: str = ""
    error: BaseException | None = None
    late: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """The exit code of a run in which only this step ended in this way."""
        if self.status == REFUSED:
            return self.step.job.refused_exit_code
        return int(getattr(self.error, "exit_code", 1)) if self.status in (FAILED, MISSING) else 0

    @property
    def title(self) -> str:
        """The step for people: ``build_features 2025-03-01 .. 2025-03-07 (7 days)``."""
        return self.step.title

    def lines(self) -> list[str]:
        """The step for people: job, output days, status, seconds, and rows written or the reason (further lines: more of it).

        Of a failure only the first line, because the whole message follows when the run has ended.
        """
        days = self.step.days
        span = f"{days[0]} .. {days[-1]}" if len(days) > 1 else str(days[0] if days else self.step.day)
        reason = self.message.splitlines() if self.status != DONE else []
        text = ", ".join(f"{w.table} {w.rows:,}" for w in self.written) or (reason[0] if reason else "")
        head = f"{self.step.job.full_name:<26} {span:<24} {self.status:<9} {self.seconds:6.1f} s  {text}"
        more = [*(reason[1:] if self.status != FAILED else ()), *late_lines(self.late)]
        return [head, *(f"    {line}" for line in more)]


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
    if_due: bool = False
    as_of_run: str | None = None
    take_over: bool = False
    with_late: bool = True  # whether jobs also build earlier days whose input came late

    def __post_init__(self) -> None:
        if self.every and self.every > 1 and self.decide:
            raise ConfigError(
                f"--every {self.every} and --decide contradict each other: decisions need the features of every day. "
                "Hint: load the history with --every first, then decide its last days with --decide alone"
            )
        if self.as_of_run and (self.everything or self.resume):
            raise ConfigError(
                "--as-of-run goes with jobs by name and without --resume, because a run of the whole flow reads what it has just "
                "written. Hint: name the jobs"
            )

    @property
    def everything(self) -> bool:
        """Whether the whole flow is to run."""
        return self.jobs == (ALL,)

    @property
    def days(self) -> tuple[date, ...]:
        """The run days D."""
        return day_range(self.first, self.last)

    def command(self, resume: bool = False) -> str:
        """The command line of this order, without ``--config`` and ``--set``."""
        days = f"--day {self.first}" if self.first == self.last else f"--from {self.first} --to {self.last}"
        words = ["churnwatch run", *self.jobs, days]
        words += [f"--every {self.every}"] if self.every else []
        words += [f"--as-of-run {self.as_of_run}"] if self.as_of_run else []
        flags = {"--decide": self.decide, "--dry-run": self.dry_run, "--if-due": self.if_due, "--resume": self.resume or resume}
        return " ".join([*words, *(flag for flag, on in flags.items() if on)])


@dataclass(frozen=True)
class Start:
    """A step that runs now. ``because``: why it runs although it is not yet due; null otherwise."""

    step: Step
    because: str | None = None


class Chooser:
    """Chooses the steps of an order, and decides for each step whether it runs now."""

    def __init__(self, settings: Settings, jobs: Sequence[Job], ledger: Ledger, reader: Reader) -> None:
        self._settings, self._jobs, self._ledger, self._reader = settings, jobs, ledger, reader

    def steps(self, order: Order) -> list[Step]:
        """The steps of ``order``, in the order in which they run: range jobs in one step each, then daily jobs day after day.

        Range jobs that read what the daily jobs write come after these, or between them where daily jobs read what they write.
        """
        chosen = [job for job in self._jobs if _is_chosen(job, order)]
        days = order.days
        if order.first == order.last:
            return [_step(job, days, order) for job in chosen]
        daily = [job for job in chosen if job.mode == "daily" and (order.decide or not order.everything)]
        earlier, later = _around_daily([job for job in chosen if job.mode == "range"], daily)
        # daily jobs read what some of these write, such as assignments: these run day after day with them
        read = {read.table.name for job in daily for read in job.reads.values()}
        between = [job for job in later if any(table.name in read for table in job.writes)]
        daily, later = [j for j in chosen if j in daily or j in between], [j for j in later if j not in between]
        steps = [_step(job, days, order) for job in earlier]
        steps += [_step(job, (day,), order) for day in days for job in daily]
        return steps + [_step(job, days, order) for job in later]

    def choose(self, step: Step, order: Order) -> Start | Outcome:
        """Whether ``step`` runs now, or why it does not. Under ``--resume`` it keeps only the days that need a run."""
        if not step.days:
            return Outcome(step, SKIPPED, message=f"no snapshot day among the output days (--every {order.every})")
        because = None
        if (order.everything or order.if_due) and (reason := self._not_due(step)):
            because = self._early_reason(step)
            if because is None:
                return Outcome(step, NOT_DUE, message=reason)
        if order.resume:
            history = History(self._ledger.runs(min(step.days)))
            days = tuple(d for d in step.days if not history.is_kept(step.job, d, self._jobs))
            if not days:
                return Outcome(
                    step, KEPT, message="done before, and a fact" if step.job.decides else "done before, and as new as its inputs"
                )
            step = Step(step.job, step.day, days)
        step = self.with_history(step)
        return Start(
            with_late_days(step, self._jobs, self._ledger, self._settings, order.every) if order.with_late else step, because
        )

    def is_due(self, job: Job, day: date) -> bool:
        """Whether a scheduled job has to run on the run day ``day``; jobs without ``due`` run every day."""
        step = Step(job, day, (day - timedelta(days=job.lag_days),))
        return self._not_due(step) is None

    def _not_due(self, step: Step) -> str | None:
        """Why the step is not due by its days; null when it is. A day on which an attempt was done is not due again."""
        due, last = step.job.due, self._last_attempt(step)
        if due is None or last is None:
            return None
        next_day = last + timedelta(days=due.every_days)
        return f"last attempt {last}, next {next_day}" if step.day < next_day else None

    def _early_reason(self, step: Step) -> str | None:
        """Why the step runs before ``every_days`` have passed since its last attempt; null when it does not."""
        due, last = step.job.due, self._last_attempt(step)
        if due is None or due.early_trigger is None or last is None:
            return None
        if last == step.day or step.day < last + timedelta(days=due.wait_days):
            return None
        return due.early_trigger({alias: self._reader.cut(step, read) for alias, read in due.reads.items()}, step.day)

    def _last_attempt(self, step: Step) -> date | None:
        """Newest run day, of the ``every_days`` days before the step's, on which its job was done; null when it is due."""
        if (due := step.job.due) is None:
            return None
        return self._ledger.last_attempt(step.job.full_name, step.day - timedelta(days=due.every_days), step.day)

    def with_history(self, step: Step) -> Step:
        """Drop output days before the first ingested day, because nothing is known about them.

        Domains without event sources keep all days: they only read experiments that were run elsewhere.
        """
        if step.job.name == INGEST or not step.job.scheduled or not self._settings.sources.events or not step.days:
            return step
        first = self._ledger.first_day(INGEST, min(step.days))
        return Step(step.job, step.day, tuple(d for d in step.days if first and d >= first))


def _is_chosen(job: Job, order: Order) -> bool:
    if order.everything:
        return job.scheduled
    return job.name in order.jobs or job.full_name in order.jobs


def _around_daily(jobs: Sequence[Job], daily: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """The range jobs that run before the daily ones, and those that run after them, because they read what these write."""
    earlier: list[Job] = []
    later: list[Job] = []
    written = {table.name for job in daily for table in job.writes}
    for job in jobs:
        if any(read.table.name in written for read in job.reads.values()):
            later.append(job)
            written |= {table.name for table in job.writes}
        else:
            earlier.append(job)
    return earlier, later


def _step(job: Job, days: Sequence[date], order: Order) -> Step:
    outputs = [day - timedelta(days=job.lag_days) for day in days]
    if order.every and job.snapshots:
        outputs = [o for o in outputs if is_snapshot(o, order.every)]
    return Step(job, days[-1], tuple(outputs))


def unreached(step: Step, days: Sequence[date], cause: str) -> Outcome:
    """The outcome of days that were not run, because a step that they need has failed."""
    return Outcome(Step(step.job, step.day, tuple(days)), NOT_RUN, message=f"because of {cause}")


def failed(step: Step, error: BaseException, seconds: float = 0.0) -> Outcome:
    """The outcome of a step that ended with ``error``."""
    return Outcome(step, FAILED, (), seconds, error_text(error), error)


def error_text(error: BaseException) -> str:
    """The error as job_runs keeps it: the name of its class, its message or causes, and the notes that were added to it."""
    return redacted("\n".join([f"{type(error).__name__}: {described(error)}", *getattr(error, "__notes__", ())]))[:2000]
