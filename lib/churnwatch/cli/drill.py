"""``churnwatch drill``: an emergency drill on a copy of the tables."""

from datetime import timedelta
from typing import Annotated

import typer

from churnwatch.cli.common import DEFAULT_CONFIG, Config, Day, Sets, Verbose, started
from churnwatch.core import ConfigError
from churnwatch.progress import Progress
from churnwatch.settings import load


def drill(
    config: Config = DEFAULT_CONFIG,
    day: Day = None,
    segment: Annotated[str | None, typer.Option(help="segment=value whose users are lost; default: all users")] = None,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="share of these users who are lost")] = 0.5,
    days: Annotated[int, typer.Option(min=1, max=28, help="days that are played; the last one is --day")] = 10,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Plant a wave of churn into a copy of the tables, run the jobs on it, and time each step.

    The warehouse is not changed, messages become files, and the copy is removed. Exit code 1 when a step was not reached.
    """
    if day is None:
        raise ConfigError("--day is missing. Hint: give the last day that is played")
    name, found, value = (segment or "").partition("=")
    if segment and not (name and found and value):
        raise ConfigError(f"--segment {segment} is not segment=value. Hint: --segment region=north")
    settings = load(config, set_ or ())
    from churnwatch.drill import Drill, Wave

    wave = Wave(day.date() - timedelta(days=days - 1), day.date(), share, name or None, value or None)
    with Progress() as progress:
        report = Drill(settings, started(settings), wave, progress.step_ended).run()
    for line in report.lines():
        print(line)
    raise typer.Exit(0 if report.passed else 1)
