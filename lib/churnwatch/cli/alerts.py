"""``churnwatch alerts``: list the warnings, say what was done about them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from churnwatch.cli.common import DEFAULT_CONFIG, Config, Day, Sets, Verbose, run_order, runner_over
from churnwatch.core import ConfigError, DataQualityError
from churnwatch.settings import load

alerts = typer.Typer(no_args_is_help=True, help="Warnings: list them, say what was done about them.")


@alerts.command("list")
def list_alerts(
    config: Config = DEFAULT_CONFIG,
    day: Day = None,
    rows: int = 50,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Warnings with the newest thing that was done about each."""
    from churnwatch.alerts import with_state

    runner = runner_over(load(config, set_ or ()))
    where = f"day = DATE'{day.date()}'" if day else None
    frame = with_state(runner.store.read(runner.tables.risk_alerts, where), runner.store.read(runner.tables.alert_events))
    frame.orderBy("day", "level", "alert_id").show(rows, truncate=60)


def _record(action: str, ids: list[str], who: str, note: str, config: str, day: datetime | None, sets: Sequence[str]) -> None:
    from churnwatch.alerts import event_line, inbox
    from churnwatch.io.inbox import put
    from churnwatch.runner import Order

    if day is None:
        raise ConfigError("give --day: the business day of the action")
    now, settings = datetime.now(UTC), load(config, sets)
    lines = [event_line(alert_id, now, who, action, note) for alert_id in ids]
    file = put(inbox(settings), day.date(), lines)
    try:
        run_order(settings, Order(("record_alert_events",), day.date(), day.date()))
    except DataQualityError:
        # what was refused must not stop the next command
        file.unlink(missing_ok=True)
        raise


Ids = Annotated[list[str], typer.Argument(help="ids of warnings")]
Who = Annotated[str, typer.Option(help="who did it")]


@alerts.command("ack")
def acknowledge(ids: Ids, who: Who, note: str = "", config: Config = DEFAULT_CONFIG, day: Day = None, set_: Sets = None) -> None:
    """Somebody has seen the warnings."""
    _record("acknowledged", ids, who, note, config, day, set_ or ())


@alerts.command("act")
def act(ids: Ids, who: Who, note: str = "", config: Config = DEFAULT_CONFIG, day: Day = None, set_: Sets = None) -> None:
    """Somebody has acted on the warnings."""
    _record("acted", ids, who, note, config, day, set_ or ())


@alerts.command("close")
def close(ids: Ids, who: Who, note: str = "", config: Config = DEFAULT_CONFIG, day: Day = None, set_: Sets = None) -> None:
    """The warnings are over."""
    _record("closed", ids, who, note, config, day, set_ or ())
