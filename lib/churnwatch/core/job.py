"""A job: the tables and spans that it reads, the tables that it writes, and the pure function between them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from pyspark.sql import DataFrame

from churnwatch.core.table import Read, Table

Frames = Mapping[str, DataFrame]
Predicates = Mapping[str, str]
Port = Literal["sources", "models", "senders", "pages"]


@dataclass(frozen=True)
class Due:
    """When a scheduled job runs: once ``every_days`` days have passed since its last attempt, and at its first chance.

    ``early_trigger(inputs, day)`` is pure and returns the reason for an earlier run, or None. ``inputs`` are the frames of
    ``reads``, cut like the job's own. It is called only when ``wait_days`` days have passed since the last attempt.
    """

    every_days: int
    reads: Mapping[str, Read] = field(default_factory=dict)
    early_trigger: Callable[[Frames, date], str | None] | None = None
    wait_days: int = 0


@dataclass(frozen=True)
class Scope:
    """Days that a step writes, for jobs that decide it by a look at their input.

    ``days``: output days. ``restated``: other days that the step writes again, by table. ``note``: what came late and what was
    refused, for people.
    """

    days: tuple[date, ...]
    restated: Mapping[str, tuple[date, ...]] = field(default_factory=dict)
    note: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One step of the flow.

    ``build(inputs, days, **ports) -> {table: frame}`` is pure. ``inputs`` holds the frames of ``reads`` by alias, already
    cut to their spans; ``days`` holds the output days in order. For a log table it may return an iterator of frames: each is
    stored in a commit of its own before the next is taken, so that what was done outside is known when the run is killed.

    - ``mode``: ``range`` builds many output days in one call, ``daily`` one day after the other.
    - ``decides``: what it wrote of a day is a fact; ``--resume`` runs a done day of it never again because an input is newer.
    - ``lag_days``: the output day O of a run at day D is D - lag_days.
    - ``due``: when a scheduled job runs; None: every day.
    - ``snapshots``: ``--every`` may thin out the output days.
    - ``despite_failures``: True for a job that runs although a step that it reads has failed, because it shows what there is.
    - ``refused_exit_code``: exit code of a run in which ``build`` raises Refused; 0 where a later run will do better by itself.
    - ``scheduled``: False for a job that only a command runs; it is not part of ``run all``.
    - ``stage(inputs, days, **ports) -> {alias: frame}``: optional first phase. Its frames are written to the run's own
      folder, read back, and passed to ``gate`` and ``build`` as further inputs. With a ``stage``, ``build`` gets no ports.
    - ``gate(inputs, days)``: raises DataQualityError before anything is published. The counts that it returns are stored
      in job_runs.
    - ``where(days) -> {table: SQL}``: the rows to replace, for tables where these are not simply the rows of ``days``.
    - ``scope(inputs, days, earlier, later, before, **ports) -> Scope``: the days to look at, for a job that also takes in what
      came late. ``earlier``: days before ``days`` that it has done, ``later``: those after the first of them, ``before``:
      messages of its done runs, oldest first. Then ``stage``, ``gate``, ``build`` and ``where`` get the ``scope``. Before
      ``gate``, ``narrow(inputs, scope, earlier)`` drops late days that turn out unchanged or at fault.
    - ``late``: when days are built again whose input came late. ``daily``: with the next run. ``settled``: once, when
      ``clock.settle_days`` have passed, and with ``snapshots`` only snapshot days. None: never by a run of other days.
    - ``meaning``: what each column means by the configuration, as text. A day that was built when a column meant something else
      is stale. ``unmixed``: aliases of reads; a span of days that were built under other meanings than now stops the job.
    """

    name: str
    build: Callable[..., Mapping[str, Any]]
    reads: Mapping[str, Read] = field(default_factory=dict)
    writes: tuple[Table, ...] = ()
    instance: str = ""
    mode: Literal["range", "daily"] = "range"
    decides: bool = False
    lag_days: int = 0
    due: Due | None = None
    ports: tuple[Port, ...] = ()
    snapshots: bool = False
    despite_failures: bool = False
    refused_exit_code: int = 0
    scheduled: bool = True
    stage: Callable[..., Frames] | None = None
    gate: Callable[..., Mapping[str, object] | None] | None = None
    where: Callable[..., Predicates] | None = None
    scope: Callable[..., Scope] | None = None
    narrow: Callable[[Frames, Any, Sequence[date]], Scope] | None = None
    late: Literal["daily", "settled"] | None = None
    meaning: Mapping[str, str] = field(default_factory=dict)
    unmixed: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """``job`` or ``job:instance``: the name on the command line and in the logs."""
        return f"{self.name}:{self.instance}" if self.instance else self.name
