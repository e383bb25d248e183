"""A job: what it reads, how far, what it writes, and the pure function between."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from pyspark.sql import DataFrame

from churnwatch.core.table import Read, Table

Frames = Mapping[str, DataFrame]
Port = Literal["sources", "models", "senders", "pages"]


@dataclass(frozen=True)
class Due:
    """A job runs when ``every_days`` days have passed since its last attempt; without one, always.

    ``asked(inputs, day)``, pure, says why it runs earlier, or None; ``inputs``: the frames of ``reads``, cut as the job's own.
    It is asked only when ``wait_days`` have passed since the last attempt.
    """

    every_days: int
    reads: Mapping[str, Read] = field(default_factory=dict)
    asked: Callable[[Frames, date], str | None] | None = None
    wait_days: int = 0


@dataclass(frozen=True)
class Job:
    """One step of the flow.

    ``build(inputs, days, **ports) -> {table: frame}`` is pure: ``inputs`` are the frames of ``reads`` by alias, already
    cut to their spans, ``days`` the output days in order. ``pass_`` range: many output days in one call; daily:
    one call a day, one day after the other. ``lag_days``: O = D - lag_days. ``snapshots``: ``--every`` may thin its days.
    ``stage(inputs, days, **ports) -> {alias: frame}`` is written to the run's own folder first and read back as
    further inputs of ``gate`` and ``build``; the ports are then handed to it alone. ``gate(inputs, days)`` raises
    DataQualityError before anything is published, its counts go to job_runs.
    ``where(days) -> {table: SQL}`` names the rows that are replaced where they are not simply those of ``days``.
    ``scheduled`` False: a command's job, never part of ``run all``.
    """

    name: str
    build: Callable[..., Frames]
    reads: Mapping[str, Read] = field(default_factory=dict)
    writes: tuple[Table, ...] = ()
    instance: str = ""
    pass_: Literal["range", "daily"] = "range"
    lag_days: int = 0
    due: Due | None = None
    ports: tuple[Port, ...] = ()
    snapshots: bool = False
    scheduled: bool = True
    stage: Callable[..., Frames] | None = None
    gate: Callable[[Frames, Sequence[date]], Mapping[str, object] | None] | None = None
    where: Callable[[Sequence[date]], Mapping[str, str]] | None = None

    @property
    def full_name(self) -> str:
        """``job`` or ``job:instance``, as it is named on the command line and in the logs."""
        return f"{self.name}:{self.instance}" if self.instance else self.name
