"""``churnwatch erase``, ``explain`` and ``keys``: the rights of the people whose events are stored."""

from pathlib import Path
from typing import Annotated

import typer

from churnwatch.cli.common import DEFAULT_CONFIG, Config, Day, Sets, Verbose, runner_over
from churnwatch.core import ConfigError
from churnwatch.settings import load

keys = typer.Typer(no_args_is_help=True, help="Replace the key of hashed user ids.")


@keys.callback()
def _group() -> None:
    """Keep ``rotate`` a subcommand, although it is the only one."""


@keys.command()
def rotate(config: Config = DEFAULT_CONFIG, set_: Sets = None, verbose: Verbose = False) -> None:
    """Replace the key of the hashes on pages, in exports and in messages; tables keep their ids."""
    from churnwatch.io.keys import rotate_id_key

    settings = load(config, set_ or ())
    print(f"a new key is in {settings.privacy.id_key.file}; the old one is kept as {rotate_id_key(settings)}")
    print("Pages and messages made from now on show other hashes. Keep the old key: erase finds old messages by it.")


def erase(
    requests: Annotated[Path | None, typer.Option(help="file with one user id a line, as the source gives it")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what is stored about the users and change nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="erase")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="check earlier erasures, and whether old files are gone")] = False,
    who: Annotated[str | None, typer.Option(help="who erases; default: the user of this machine")] = None,
    config: Config = DEFAULT_CONFIG,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Erase users from all tables and files, and keep them out of later ingests.

    Exit code 1 when a scan still finds them, 3 when ``--verify`` does, 4 while other runs are under way.
    """
    from churnwatch import rights
    from churnwatch.io.operator_log import this_person

    if verify == bool(requests) or (requests and dry_run == yes):
        raise ConfigError(
            "erase takes a file of requests and either --dry-run or --yes; or --verify alone\n"
            "Hint: churnwatch erase --requests FILE --dry-run, then with --yes; or churnwatch erase --verify"
        )
    settings = load(config, set_ or ())
    if requests is None:
        failed = False
        for good, text in rights.verify(runner_over(settings)):
            print(f"{'ok  ' if good else 'BAD '} {text}")
            failed |= not good
        raise typer.Exit(3 if failed else 0)
    ids = rights.read_requests(requests)
    erasure = rights.Erasure(runner_over(settings), ids)
    found, what = (erasure.find(), "would be erased") if dry_run else (None, "")
    if found is None:
        number, found = erasure.run(who or this_person())
        what = f"erased, and a scan found nothing more (erasure {number})"
    print(f"{len(ids)} user(s): {what}")
    for line in found.lines():
        print(f"  {line}")


def explain(
    user: Annotated[str, typer.Option(help="id of the user, as the source gives it")],
    config: Config = DEFAULT_CONFIG,
    day: Day = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Show everything that is known, scored, warned, offered and sent about one user up to a day, with its sources.

    Exit code 3 when nothing is stored about the user.
    """
    from churnwatch import rights

    if day is None:
        raise ConfigError("--day is missing. Hint: give the last day that is shown")
    found = rights.explain(runner_over(load(config, set_ or ())), user, day.date())
    if json:
        print(rights.to_json(user, day.date(), found))
    else:
        print("\n".join(rights.to_lines(user, day.date(), found)))
