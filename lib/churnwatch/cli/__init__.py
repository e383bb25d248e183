"""The command line: ``churnwatch <command>``.

Exit codes: 0 done, 1 failed, 2 fault of the configuration or the command line, 3 stopped by data quality, 4 another run,
5 scoring refused, 130 Ctrl-C, 143 SIGTERM. Of several steps the worst counts: 1, 2, 3, 5, 4.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as RichTable

from churnwatch.cli.alerts import alerts
from churnwatch.cli.common import (
    DEFAULT_CONFIG,
    TYPED,
    VERBOSE,
    Config,
    Day,
    Sets,
    Verbose,
    error_lines,
    runner_over,
    started,
    typed,
)
from churnwatch.cli.config import print_config
from churnwatch.cli.drill import drill
from churnwatch.cli.log_lines import write_logs
from churnwatch.cli.maintain import maintain
from churnwatch.cli.people import erase, explain, keys
from churnwatch.cli.rules import rules
from churnwatch.cli.run import run
from churnwatch.core import ConfigError, Interrupted
from churnwatch.settings import load
from churnwatch.settings.environment import Logs

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Warns of user churn early, and measures whether retention work helps.",
)
experiment = typer.Typer(no_args_is_help=True, help="Import experiments that were run elsewhere.")
app.add_typer(experiment, name="experiment")
app.add_typer(alerts, name="alerts")
app.command()(drill)
app.command()(maintain)
app.command("config")(print_config)
app.command()(run)
app.add_typer(rules, name="rules")
app.add_typer(keys, name="keys")
app.command()(erase)
app.command()(explain)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and exit with its code. An error prints a few lines, and with ``-v`` the trace."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    verbose = "-v" in given or "--verbose" in given
    TYPED.set(typed(given))
    VERBOSE.set(verbose)
    write_logs(Logs(), verbose)
    try:
        code = app(_with_every(given), prog_name="churnwatch", standalone_mode=False)
    except typer.Exit as ended:
        code = ended.exit_code
    except typer.TyperException as error:  # an unknown command or option, a missing or impossible value
        if text := error.format_message():  # empty when nothing was typed: the help is printed already
            print(f"churnwatch: {text}", file=sys.stderr)
        code = 2
    except Interrupted as ended:
        code = ended.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as error:
        print("\n".join(error_lines(error)), file=sys.stderr)
        code = int(getattr(error, "exit_code", 1))
    sys.exit(int(code or 0))


def _with_every(given: Sequence[str]) -> list[str]:
    """Give ``--every`` without a number the number 0, because Typer knows no option with an optional value."""
    following = [*given[1:], "-"]
    pairs = zip(given, following, strict=False)
    return [f"{word}=0" if word == "--every" and after.startswith("-") else word for word, after in pairs]


# --- look ------------------------------------------------------------------------------------------------------------


@app.command()
def plan(
    config: Config = DEFAULT_CONFIG,
    day: Day = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="list outputs that are older than their inputs, and files that came too late")
    ] = False,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Show each job of the flow: its output day O for a run day D, and what it reads and writes."""
    settings = load(config, set_ or ())
    if stale:
        _print_stale(runner_over(settings))
        return
    from datetime import timedelta

    from churnwatch.flow import flow

    table = RichTable("job", "pass", "O", "reads (O = output day)", "writes", title=f"domain {settings.domain}")
    for job in flow(settings):
        output = f"D-{job.lag_days}" if job.lag_days else "D"
        output += f"\n{day.date() - timedelta(days=job.lag_days)}" if day else ""
        reads = "\n".join(f"{r.table.name}: {r.span}" for r in job.reads.values()) or ", ".join(job.ports)
        table.add_row(
            job.full_name,
            job.mode if job.scheduled else "command",
            output,
            reads,
            ", ".join(t.name for t in job.writes),
        )
    Console(width=160).print(table)
    users = settings.sources.users
    if users and "changed_at" not in users.map and not users.daily:
        print("users have neither changed_at nor {day} in their path: attributes apply from the registration on, not as of a day")


def _print_stale(runner: Any) -> None:
    from churnwatch.upkeep import stale, waiting

    found, waits = stale(runner), waiting(runner)
    for job, days in found:
        what = "decided on older data" if job.mode == "daily" else "stale"
        print(f"{job.full_name}: {what}, {len(days)} day(s), {days[0]} .. {days[-1]}")
    for day, source, rows in waits:
        what = "files that were not read" if rows is None else f"{rows:,} row(s)"
        print(f"{source}: {what} of {day} came too late; run: churnwatch run ingest_events --day {day}")
    if not found and not waits:
        print("nothing is stale")


@app.command("tables")
def tables_(config: Config = DEFAULT_CONFIG, set_: Sets = None, verbose: Verbose = False) -> None:
    """Print the data dictionary as Markdown: every table and column."""
    from churnwatch.dictionary import dictionary

    print(dictionary(load(config, set_ or ())))


@app.command()
def docs(
    config: Config = DEFAULT_CONFIG,
    out: Annotated[Path, typer.Option(help="folder for tables.md, configuration.md and run_result.schema.json")] = Path("docs"),
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Write tables.md, configuration.md, run_result.schema.json, and beside the config the JSON schemas for editors."""
    from churnwatch.dictionary import write_documents

    for path in write_documents(load(config, set_ or ()), Path(config).parent, out):
        print(path)


@app.command()
def show(
    table: Annotated[str, typer.Argument(help="name of a table (see tables)")],
    config: Config = DEFAULT_CONFIG,
    day: Day = None,
    rows: Annotated[int, typer.Option(min=1, help="most rows to print")] = 20,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Print rows of a table, with --day of that day alone."""
    settings = load(config, set_ or ())
    runner = runner_over(settings)
    frame = runner.store.read(_table(runner, table), f"day = DATE'{day.date()}'" if day else None)
    frame.show(rows, truncate=40)


def _table(runner: Any, name: str) -> Any:
    names = [t.name for t in runner.tables]
    if name not in names:
        raise ConfigError(f"no such table: {name}\ntables: {', '.join(names)}")
    return runner.tables[name]


@app.command()
def migrate(
    config: Config = DEFAULT_CONFIG,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be changed and change nothing")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="roll back the last migration, if no rows were written since")] = False,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Create missing tables; add new columns; update rules and comments of stored tables."""
    from churnwatch import upkeep

    if undo and dry_run:
        raise ConfigError("--undo goes without --dry-run. Hint: give one of them")
    runner = runner_over(load(config, set_ or ()))
    for line in upkeep.undo(runner) if undo else upkeep.migrate(runner, dry_run):
        print(line)


@app.command()
def doctor(config: Config = DEFAULT_CONFIG, set_: Sets = None, verbose: Verbose = False) -> None:
    """Check all that a run needs: programs, keys, folders, disk, servers, tables, days and runs that broke off.

    Exit code 1 when something is at fault; nothing is changed.
    """
    from churnwatch.upkeep import examine

    settings, bad = load(config, set_ or ()), 0
    for good, text in examine(settings, lambda: runner_over(settings)):
        print(f"{'ok  ' if good else 'BAD '} {text}", flush=True)
        bad += not good
    raise typer.Exit(1 if bad else 0)


# --- begin ------------------------------------------------------------------------------------------------------------


@app.command()
def init(
    from_: Annotated[list[str], typer.Option("--from", help="file or folder of events; may be repeated")],
    more: Annotated[list[str] | None, typer.Argument(help="more files, as from --from raw/*.csv")] = None,
    out: Annotated[str | None, typer.Option(help="new folder for the domain; the config is <out>.yaml")] = None,
    config: Config = DEFAULT_CONFIG,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Write a domain and a config for a log of events; each guess has its reason beside it."""
    from churnwatch.begin import config_text, file_texts, propose_domain, summary_lines
    from churnwatch.io.logs import Logs, check_new, plain_name, spark_settings, write_new

    folder = Path(out or f"churn_{plain_name(from_[0])}")
    beside = folder.with_name(f"{folder.name}.yaml")
    check_new([folder, beside])
    settings = load(config, set_ or ())
    domain, root = propose_domain([*from_, *(more or ())], folder.name, Logs(started(settings), settings))
    text = config_text(domain, str(Path(f"warehouse_{folder.name}").resolve()), root, spark_settings(config))
    write_new(folder, file_texts(domain), beside, text)
    load(beside)
    for line in summary_lines(domain, str(folder), str(beside)):
        print(line)


# --- commands that write ----------------------------------------------------------------------------------------------


@app.command()
def simulate(
    users: Annotated[int, typer.Option(min=1, help="users of the world")] = 8000,
    days: Annotated[int, typer.Option(min=1, help="number of days of the world")] = 251,
    seed: Annotated[int, typer.Option(help="the same seed writes the same world")] = 7,
    out: Annotated[str, typer.Option(help="folder for the raw files")] = "./raw",
    format_: Annotated[str, typer.Option("--format", help="parquet, json or csv")] = "parquet",
    continue_: Annotated[bool, typer.Option("--continue", help="go on after the last day that was written")] = False,
    actions: Annotated[str | None, typer.Option(help="table of retention actions, to which users respond")] = None,
    truth: Annotated[str | None, typer.Option(help="folder for what was planted; no job reads it")] = None,
    plant: Annotated[
        int | None, typer.Option(min=1, help="plant this many users per warning rule (see planted.yaml), instead of churn")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Write simulated raw events with planted churn, or with --plant users for each warning rule."""
    from churnwatch.io.planted import plant as planted_files
    from churnwatch.io.raw import simulate as simulated
    from churnwatch.simulate import PlantedWorld, World

    if format_ not in ("parquet", "json", "csv"):
        raise ConfigError(f"--format {format_} is not one of parquet, json, csv")
    settings = load(config, set_ or ())
    if plant is not None and (continue_ or actions or format_ != "parquet"):
        raise ConfigError(
            "--plant goes without --continue, --actions and --format, because sources.yaml decides the form of the files"
        )
    runner = runner_over(settings)
    if plant is not None:
        planted = PlantedWorld(settings.planted, World().day(days), days, plant, users)
        print(json.dumps(planted_files(runner.spark, planted, settings, out, truth), default=str))
        return
    acted = runner.store.read(_table(runner, actions)) if actions else None
    world = World(users=users, days=days, seed=seed)
    summary = simulated(runner.spark, world, out, truth, format_, acted, continue_)  # type: ignore[arg-type]
    print(json.dumps(summary, default=str))


@experiment.command("import")
def import_experiment(
    name: Annotated[str, typer.Argument(help="name of an experiment of experiments.yaml")],
    config: Config = DEFAULT_CONFIG,
    day: Day = None,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Read the units of an outside experiment; measure_lift then computes its lift."""
    if day is None:
        raise ConfigError("--day is missing. Hint: give the day of the import")
    run([f"import_experiment:{name}"], config=config, day=day, set_=set_)


@app.command()
def demo(
    users: Annotated[int, typer.Option(min=500, help="users of the world")] = 8000,
    config: Config = DEFAULT_CONFIG,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Play a story on this machine: from raw events to the measured effect of retention work."""
    # before Spark is imported, which takes seconds
    print(f"An app of {users:,} users is simulated, with planted churn and a planted effect of offers.")
    print("Then the whole chain runs on it: about eleven minutes on 2 cores.\n", flush=True)
    from churnwatch.demo import play

    play(config, users, set_ or (), verbose)


if __name__ == "__main__":
    main()
