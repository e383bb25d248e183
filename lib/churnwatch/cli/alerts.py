"""``churnwatch alerts``: list warnings and record what was done about them."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as RichTable

from churnwatch.cli.common import DEFAULT_CONFIG, Config, Day, Sets, Verbose, run_order, runner_over
from churnwatch.core import ConfigError, DataQualityError, WriteConflict
from churnwatch.settings import Settings, load
from churnwatch.settings.terms import ACKNOWLEDGED, ACTED, CLOSED, LEVELS, OPEN

alerts = typer.Typer(no_args_is_help=True, help="List warnings, and record what was done about them.")
STATES = (OPEN, ACKNOWLEDGED, ACTED, CLOSED)
WAIT_SECONDS = 300.0  # for commands of others that record at the same time
PAUSE_SECONDS = 1.0


@alerts.command("list")
def list_alerts(
    config: Config = DEFAULT_CONFIG,
    day: Annotated[
        datetime | None,
        typer.Option("--day", formats=["%Y-%m-%d"], help="raised on this day; with --overdue: overdue at the end of this day"),
    ] = None,
    owner: Annotated[str | None, typer.Option(help="present owner, after escalation")] = None,
    state: Annotated[str | None, typer.Option(help="open, acknowledged, acted or closed")] = None,
    level: Annotated[str | None, typer.Option(help="blue, yellow, orange or red")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="only those on which nobody acted in time")] = False,
    rows: Annotated[int, typer.Option(min=1, help="most rows to print")] = 50,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """List recent warnings with their newest action; the newest and most urgent come first."""
    from churnwatch.alerts import list_alerts, tracked_days

    for what, given, known in (("state", state, STATES), ("level", level, LEVELS)):
        if given is not None and given not in known:
            raise ConfigError(f"--{what} {given} is not one of {', '.join(known)}")
    settings = load(config, set_ or ())
    runner = runner_over(settings)
    tables, asked = runner.tables, day.date() if day else None
    # the newest day is one row
    looked_at = asked or runner.store.read(tables.risk_alerts).agg({"day": "max"}).collect()[0][0] or date.max
    late_on = looked_at if overdue else None
    raised_on = None if overdue else asked
    # what is older is over: a table of years need not be read
    since = f"day >= DATE'{looked_at - timedelta(days=tracked_days(settings))}'"
    frame = list_alerts(
        runner.store.read(tables.risk_alerts, since),
        runner.store.read(tables.alert_events, since),
        {"day": raised_on, "owner": owner, "state": state, "level": level},
        late_on,
    )
    found = frame.limit(rows + 1).collect()  # bounded by --rows
    _print(found[:rows])
    print(f"{len(found[:rows])} warning(s){'; there are more, see --rows' if len(found) > rows else ''}")


def _print(found: Sequence[Any]) -> None:
    names = ("alert_id", "day", "level", "about", "rule_id", "owner", "due_on", "state", "state_by", "outcome", "state_note")
    table = RichTable()
    for name in names:
        table.add_column(name, no_wrap=name == "alert_id")  # to be copied whole
    for row in found:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in names))
    Console(width=220).print(table)


def _recorded(lines: Sequence[str], settings: Settings, day: date) -> None:
    """Put ``lines`` into the inbox of ``day`` and record what lies there. Waits while another person's command does the same."""
    from churnwatch.alerts import inbox
    from churnwatch.io.inbox import write_lines
    from churnwatch.runner import Order

    file = write_lines(inbox(settings), day, lines)
    deadline = time.monotonic() + WAIT_SECONDS
    waited_for: DataQualityError | WriteConflict
    while True:
        try:
            run_order(settings, Order(("record_alert_events",), day, day))
            return
        except DataQualityError as error:
            if _is_about(error, lines):
                # what was refused must not stop the next command
                file.unlink(missing_ok=True)
                raise
            waited_for = error  # a line of another command, which takes it back
        except WriteConflict as error:
            waited_for = error
        if time.monotonic() > deadline:
            raise type(waited_for)(
                f"{waited_for}\nHint: your {len(lines)} action(s) lie in {file}; the next recording for {day} takes them in"
            ) from waited_for
        time.sleep(PAUSE_SECONDS)


def _is_about(error: DataQualityError, lines: Sequence[str]) -> bool:
    """Whether the error names a warning of ``lines``, or whole lines of the inbox among them."""
    named = {str(json.loads(line)["alert_id"]) for line in lines}
    return any(name in str(error) for name in (*named, *lines))


def _record(
    action: str, ids: list[str], who: str, note: str, config: str, day: datetime | None, sets: Sequence[str], **more: Any
) -> None:
    from churnwatch.alerts import event_line

    now, settings = datetime.now(UTC), load(config, sets)
    try:
        lines = [event_line(alert_id, now, who, action, note, **more) for alert_id in ids]
    except ValueError as error:
        raise ConfigError(str(error)) from error
    _recorded(lines, settings, _business_day(day))


def _business_day(day: datetime | None) -> date:
    if day is None:
        raise ConfigError("--day is missing. Hint: give the business day of the action")
    return day.date()


Ids = Annotated[list[str], typer.Argument(help="ids of warnings")]
Who = Annotated[str, typer.Option(help="who acted")]


@alerts.command("ack")
def acknowledge(
    ids: Ids,
    who: Who,
    note: str = "",
    config: Config = DEFAULT_CONFIG,
    day: Day = None,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Record that somebody has seen the warnings."""
    _record("acknowledged", ids, who, note, config, day, set_ or ())


@alerts.command("act")
def act(
    ids: Ids,
    who: Who,
    note: str = "",
    config: Config = DEFAULT_CONFIG,
    day: Day = None,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Record that somebody has acted on the warnings."""
    _record("acted", ids, who, note, config, day, set_ or ())


@alerts.command("close")
def close(
    ids: Ids,
    who: Who,
    outcome: Annotated[str | None, typer.Option(help="retained, churned, false_alarm or expired")] = None,
    lesson: Annotated[str | None, typer.Option(help="what to do differently next time; the page lists it")] = None,
    note: str = "",
    config: Config = DEFAULT_CONFIG,
    day: Day = None,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Close the warnings; closing again corrects the outcome."""
    _record("closed", ids, who, note, config, day, set_ or (), outcome=outcome, lesson=lesson)


@alerts.command("record")
def record(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or JSON lines")],
    config: Config = DEFAULT_CONFIG,
    day: Day = None,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Record many actions from a file.

    Columns: alert_id, action (ack, act or close), who; optional: note, outcome, lesson, at.
    """
    from churnwatch.cli.bulk import lines_of

    settings = load(config, set_ or ())
    _recorded(lines_of(file, datetime.now(UTC)), settings, _business_day(day))
