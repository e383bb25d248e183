"""Options that all commands share, and the runner over the warehouse of the settings."""

from collections.abc import Sequence
from contextvars import ContextVar
from datetime import datetime
from itertools import takewhile
from typing import Annotated, Any

import typer

from churnwatch.io.clock import refuse_future
from churnwatch.progress import Progress
from churnwatch.settings import Settings

Config = Annotated[str, typer.Option("--config", help="configuration: conf/<where>.yaml")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="key=value in place of the files' own; may be repeated")]
Day = Annotated[datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="run day D; its end is taken as now")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="print logs, and the trace of an error")]
DEFAULT_CONFIG = "conf/local.yaml"
TYPED = ContextVar("typed", default="churnwatch")  # the command that runs
NAME_LENGTH = 80


def typed(words: Sequence[str]) -> str:
    """The command up to its first option, at most NAME_LENGTH characters."""
    return " ".join(["churnwatch", *takewhile(lambda word: not word.startswith("-"), words)])[:NAME_LENGTH]


def started(settings: Settings) -> Any:
    """Start Spark. The command names the application, and Spark jobs outside of any step."""
    from churnwatch.io.session import session

    return session(settings, TYPED.get())


def runner_over(settings: Settings, **callbacks: Any) -> Any:
    """Start Spark and make a runner over the warehouse of ``settings``."""
    from churnwatch.runner import Runner

    return Runner(settings, started(settings), **callbacks)


def run_order(settings: Settings, order: Any, how: Any = None) -> None:
    """Run ``order`` and show its progress; ``how(runner, order)`` replaces ``runner.run``."""
    refuse_future(order.last, settings)
    with Progress() as progress:
        runner = runner_over(settings, on_end=progress.step_ended, on_start=progress.step_started)
        progress.watch(runner.spark)
        if how is None:
            runner.run(order)
        else:
            how(runner, order)
