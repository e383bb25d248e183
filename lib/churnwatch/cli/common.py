"""What every command has: its options, and a runner over the warehouse of its settings."""

from collections.abc import Sequence
from contextvars import ContextVar
from datetime import datetime
from itertools import takewhile
from typing import Annotated, Any

import typer

from churnwatch.progress import Progress
from churnwatch.settings import Settings

Config = Annotated[str, typer.Option("--config", help="conf/<where>.yaml")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="key=value, over the files; repeatable")]
Day = Annotated[datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="the day whose end we stand at")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="traces and logs")]
DEFAULT_CONFIG = "conf/local.yaml"
TYPED = ContextVar("typed", default="churnwatch")  # the command that runs
NAME_LENGTH = 80


def typed(words: Sequence[str]) -> str:
    """The command as a person would name it: what was typed up to the first option, at most NAME_LENGTH characters."""
    return " ".join(["churnwatch", *takewhile(lambda word: not word.startswith("-"), words)])[:NAME_LENGTH]


def started(settings: Settings) -> Any:
    """Spark's session; the application, and its jobs until a step names its own, are called as the command was typed."""
    from churnwatch.io.session import session

    return session(settings, TYPED.get())


def runner_over(settings: Settings, **callbacks: Any) -> Any:
    """A runner over the warehouse of ``settings``; starts Spark."""
    from churnwatch.runner import Runner

    return Runner(settings, started(settings), **callbacks)


def run_order(settings: Settings, order: Any, how: Any = None) -> None:
    """Runs ``order`` and shows its progress; ``how(runner, order)`` in place of the runner's own way."""
    with Progress() as progress:
        runner = runner_over(settings, on_end=progress.step_ended, on_start=progress.step_started)
        progress.watch(runner.spark)
        if how is None:
            runner.run(order)
        else:
            how(runner, order)
