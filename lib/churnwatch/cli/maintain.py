"""``churnwatch maintain``: keep the warehouse small."""

from typing import Annotated

import typer

from churnwatch.cli.common import DEFAULT_CONFIG, Config, Sets, Verbose, runner_over
from churnwatch.settings import load


def maintain(
    config: Config = DEFAULT_CONFIG,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be done and change nothing")] = False,
    who: Annotated[str | None, typer.Option(help="who asks for it; default: the user of the operating system")] = None,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Delete old rows and files, join small files, and remove files of old versions, as ``maintenance`` of the config says.

    Exit code 1 when something was left as it is; the next call tries it again.
    """
    from churnwatch.upkeep.maintain import maintain as maintained

    runner, found, bad = runner_over(load(config, set_ or ())), 0, 0
    for good, text in maintained(runner, dry_run, who):
        print(f"{'ok  ' if good else 'BAD '} {text}", flush=True)
        bad += not good
        found += 1
    if not found:
        print("nothing is due")
    raise typer.Exit(1 if bad else 0)
