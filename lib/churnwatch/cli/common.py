"""Options that all commands share, and the runner over the warehouse of the settings."""

import sys
import traceback
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import typer

from churnwatch.cli.log_lines import write_logs
from churnwatch.core import ChurnwatchError
from churnwatch.io.clock import refuse_future
from churnwatch.progress import Progress
from churnwatch.settings import Settings
from churnwatch.settings.secrets import redacted

Config = Annotated[str, typer.Option("--config", help="configuration: conf/<where>.yaml")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="key=value in place of the files' own; may be repeated")]
Day = Annotated[datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="run day D; its end is taken as now")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="print logs, and the trace of an error")]
DEFAULT_CONFIG = "conf/local.yaml"
TYPED = ContextVar("typed", default="churnwatch")  # the command that runs
VERBOSE = ContextVar("verbose", default=False)  # whether -v was given
NAME_LENGTH = 80


def typed(words: Sequence[str]) -> str:
    """The command up to its first option, at most NAME_LENGTH characters."""
    return " ".join(["churnwatch", *takewhile(lambda word: not word.startswith("-"), words)])[:NAME_LENGTH]


def started(settings: Settings) -> Any:
    """Start Spark, and log as the settings say. The command names the application, and Spark jobs outside of any step."""
    write_logs(settings.logs, VERBOSE.get())
    from churnwatch.io.session import end_on_signals, session

    spark = session(settings, TYPED.get())
    end_on_signals(spark)
    return spark


def runner_over(settings: Settings, **callbacks: Any) -> Any:
    """Start Spark and make a runner over the warehouse of ``settings``."""
    from churnwatch.runner import Runner

    return Runner(settings, started(settings), **callbacks)


def run_order(settings: Settings, order: Any) -> None:
    """Run ``order`` and show its progress. Raises the error of the worst failed step."""
    refuse_future(order.last, settings)
    with Progress() as progress:
        runner = runner_over(settings, on_end=progress.step_ended, on_start=progress.step_started)
        progress.watch(runner.spark)
        runner.run(order)


def report_order(settings: Settings, order: Any, how: Any, json_file: Path | None = None) -> int:
    """Run ``order`` by ``how(runner, order)``, which returns a RunReport; show progress and summary; return the exit code.

    ``json_file``: file for the results. A run that is stopped before its steps end writes them too.
    """
    refuse_future(order.last, settings)
    from churnwatch.results import RunReport

    with Progress() as progress:
        try:
            runner = runner_over(settings, on_end=progress.step_ended, on_start=progress.step_started)
            progress.watch(runner.spark)
            report = how(runner, order)
        except Exception as error:
            report = RunReport("", order, (), 0.0, error)
            _tell_others(settings, report, None)  # first: the file may not be writable
            try:
                _write_json(report, json_file)
            except OSError as unwritten:
                error.add_note(f"the results were not written: {unwritten}")
            raise
    for outcome in report.outcomes:
        if outcome.error is not None:
            print("\n".join(error_lines(outcome.error, f"{outcome.title} failed")), file=sys.stderr)
    if len(report.outcomes) > 1 or report.exit_code:
        print("\n".join(report.summary()))
    _write_json(report, json_file)
    _tell_others(settings, report, runner.ledger)
    return int(report.exit_code)


def _tell_others(settings: Settings, report: Any, ledger: Any) -> None:
    """Send lineage of the run, and to the operators what went wrong; ``ledger`` None: it was stopped before its steps."""
    from churnwatch.io.lineage import send_lineage
    from churnwatch.io.operators import message_operators
    from churnwatch.watching import findings, runs_of

    if report.order.dry_run:
        return
    if settings.lineage.namespace and ledger is not None:
        send_lineage(settings.lineage.namespace, report.run_id, runs_of(report, ledger))
    if lines := findings(report, ledger):
        command, code = report.order.command(), report.exit_code
        about = f"{report.run_id or command} {code}"
        message_operators(settings, about, report.order.last, f"{command} (exit code {code})", [*lines, report.next_command()])


def error_lines(error: BaseException, title: str = "") -> list[str]:
    """An error for people: ``title``, its message or causes, and what was noted about it. ``-v`` prints its trace first."""
    from churnwatch.io.causes import described

    if VERBOSE.get():
        print(redacted("".join(traceback.format_exception(error))), file=sys.stderr)
    known = isinstance(error, ChurnwatchError)
    text = redacted(described(error) if known else f"{type(error).__name__}: {described(error)}")
    lines = [f"churnwatch: {title}:", *text.splitlines()] if title else f"churnwatch: {text}".splitlines()
    lines += getattr(error, "__notes__", ())
    if not known and not VERBOSE.get():
        lines.append("run again with -v for the trace")
    return [lines[0], *(f"  {line}" for line in lines[1:])] if title else lines


def _write_json(report: Any, file: Path | None) -> None:
    """Write the results into ``file`` as a whole: a reader never finds half of them."""
    from churnwatch.results import run_result

    if file is None:
        return
    beside = file.with_name(f".{file.name}.part")
    beside.write_text(run_result(report).model_dump_json(indent=2) + "\n", encoding="utf-8")
    beside.replace(file)
