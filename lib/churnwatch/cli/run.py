"""``churnwatch run``: run jobs for a day or for a range of days."""

import time
import uuid
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from churnwatch.cli.common import DEFAULT_CONFIG, Config, Day, Sets, Verbose, report_order
from churnwatch.core import ConfigError, JobFailed
from churnwatch.settings import Settings, load
from churnwatch.settings.terms import ALL


def run(
    jobs: Annotated[list[str], typer.Argument(help="jobs by name (see plan), or all")],
    config: Config = DEFAULT_CONFIG,
    day: Day = None,
    from_: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first day of a range, instead of --day")
    ] = None,
    to: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last day of a range, included")] = None,
    every: Annotated[
        int | None,
        typer.Option(min=0, help="of jobs with snapshots only every n-th day; without a number: model.snapshot_every_days"),
    ] = None,
    decide: Annotated[
        bool, typer.Option("--decide", help="run also the daily jobs of a range: scores, warnings, offers, messages")
    ] = False,
    only: Annotated[str | None, typer.Option(help="one instance of the job, such as a churn definition")] = None,
    set_: Sets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be done and write nothing")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="run only what failed, was skipped, refused or not run, or is older than its inputs; done decisions stay",
        ),
    ] = False,
    if_due: Annotated[
        bool, typer.Option("--if-due", help="of jobs by name that are due now and then, run only those that are due")
    ] = False,
    as_of_run: Annotated[
        str | None, typer.Option("--as-of-run", help="read the versions of the tables that this run of the whole flow has left")
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="take over the work of a run that holds these days, even if it seems to live")
    ] = False,
    stale: Annotated[bool, typer.Option("--stale", help="with all: rebuild days that are older than their input")] = False,
    send_history: Annotated[
        bool, typer.Option("--send-history", help="send also messages of days before sending.history_after_days")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="file for the results of the run (docs/run_result.schema.json)")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Run jobs for a day, or for a range of days. ``finish`` in place of a job closes a day whose jobs were run by name."""
    from churnwatch.runner import Order

    settings = load(config, [*(set_ or ()), *(["sending.history_after_days=null"] if send_history else [])])
    if list(jobs) == ["finish"]:
        if day is None or from_ or to or resume or stale or dry_run:
            raise ConfigError("finish takes a day alone. Hint: churnwatch run finish --day DAY")
        from churnwatch.closing import finish

        order = Order((ALL,), day.date(), day.date())
        raise typer.Exit(report_order(settings, order, lambda runner, _: finish(runner, day.date()), json_file))
    named = _job_names(jobs, only, settings)
    if stale and (named != (ALL,) or resume):
        raise ConfigError("--stale goes with the job all and without --resume. Hint: churnwatch run all --day DAY --stale")
    first, last = _span(day, from_, to)
    every = settings.model.snapshot_every_days if every == 0 else every
    order = Order(named, first, last, every, decide, dry_run, resume, if_due, as_of_run, take_over)
    how = _rebuilt if stale else _attempted
    raise typer.Exit(report_order(settings, order, how, json_file))


def _attempted(runner: Any, order: Any) -> Any:
    """Run the order. A dry run also tries whether its outputs can be written; it fails when one cannot."""
    report = runner.attempt(order)
    if order.dry_run:
        from churnwatch.upkeep.doctor import check_outputs

        steps = [outcome.step for outcome in report.outcomes]
        if bad := [text for good, text in check_outputs(runner, steps) if not good]:
            raise JobFailed("outputs of this run are out of reach:\n  " + "\n  ".join(bad))
    return report


def _rebuilt(runner: Any, order: Any) -> Any:
    from churnwatch.results import RunReport
    from churnwatch.upkeep import rebuild_stale

    started = time.monotonic()
    outcomes = rebuild_stale(runner, order)
    return RunReport(uuid.uuid4().hex, order, tuple(outcomes), time.monotonic() - started)


def _job_names(jobs: Sequence[str], only: str | None, settings: Settings) -> tuple[str, ...]:
    from churnwatch.flow import check_job_names, flow

    named = tuple(f"{job}:{only}" if only else job for job in jobs)
    check_job_names(named, flow(settings))
    return named


def _span(day: datetime | None, first: datetime | None, last: datetime | None) -> tuple[date, date]:
    if day and not first and not last:
        return day.date(), day.date()
    if day or not first or not last:
        raise ConfigError("the days are missing or given twice. Hint: give either --day, or --from and --to")
    if last < first:
        raise ConfigError(f"--to {last.date()} is before --from {first.date()}")
    return first.date(), last.date()
