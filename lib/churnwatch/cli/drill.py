"""``churnwatch drill``: an emergency drill on a copy."""

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
    segment: Annotated[str | None, typer.Option(help="segment=value whose users are lost; absent: of the whole base")] = None,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="share of these users that is lost")] = 0.5,
    days: Annotated[int, typer.Option(min=1, max=28, help="days that are played, up to --day")] = 10,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Plants a wave of churn into a copy of the tables, runs the chain on it and says how long each step took.

    Nothing of the warehouse is written to, messages become files, and the copy is removed. Ends with 1 where a step was
    not reached.
    """
    if day is None:
        raise ConfigError("give --day: the last day that is played")
    name, found, value = (segment or "").partition("=")
    if segment and not (name and found and value):
        raise ConfigError(f"--segment {segment} is not segment=value")
    settings = load(config, set_ or ())
    from churnwatch.drill import Drill, Wave

    wave = Wave(day.date() - timedelta(days=days - 1), day.date(), share, name or None, value or None)
    with Progress() as progress:
        report = Drill(settings, started(settings), wave, progress.step_ended).run()
    for line in report.lines():
        print(line)
    raise typer.Exit(0 if report.passed else 1)
