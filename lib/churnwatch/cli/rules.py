"""``churnwatch rules``: try the rules of rules.yaml."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as RichTable

from churnwatch.cli.common import DEFAULT_CONFIG, Config, Day, Sets, Verbose, runner_over
from churnwatch.core import ConfigError
from churnwatch.settings import Settings, load

rules = typer.Typer(no_args_is_help=True, help="Try warning rules before they warn.")


@rules.callback()
def _group() -> None:
    """Keep ``test`` a subcommand, although it is the only one."""


@rules.command("test")
def try_rules(
    config: Config = DEFAULT_CONFIG,
    day: Day = None,
    rule: Annotated[str | None, typer.Option(help="only this rule and its overlaps")] = None,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Show how many users each rule would warn of, overlaps and past precision; write nothing."""
    from churnwatch.rulebook import off, tried

    if day is None:
        raise ConfigError("--day is missing. Hint: give a day whose features are built")
    settings = load(config, set_ or ())
    trial = tried(runner_over(settings), day.date(), rule)
    console = Console(width=150)
    console.print(_rule_table(trial, settings, rule))
    if pairs := trial.overlaps(rule):
        console.print(_pair_table(trial, pairs))
    for one, why in off(settings, day.date()):
        if rule in (None, one.id):
            print(f"off: {one.id} ({one.title}): {why}")


def _rule_table(trial: Any, settings: Settings, only: str | None) -> RichTable:
    base = trial.replayed.get("")
    note = f"; * replayed on {trial.replayed_on}, when {base.precision:.1%} of all users churned" if base else ""
    caption = f"past precision: of judged days{note}"
    table = RichTable("rule", "level", "warns", "share", "past precision", "of users", title=str(trial.day), caption=caption)
    total = trial.users.get("", 0)
    named = {one.id: one for one in settings.rules.rules}
    for rule_id in [*(i for i in trial.users if i), *(i for i in named if i not in trial.users)]:
        rule = named.get(rule_id)
        if only not in (None, rule_id):
            continue
        if rule and rule.scope != "user":
            if rule_id in trial.groups:
                groups = trial.groups[rule_id]
                table.add_row(rule_id, rule.level, f"{len(groups)} groups", "", ", ".join(groups[:5]), "")
            continue
        users, past = trial.users.get(rule_id, 0), trial.stored.get(rule_id)
        again = trial.replayed.get(rule_id)
        told = past or again
        precision = f"{told.precision:.1%} ({told.low:.1%} to {told.high:.1%}){'' if past else ' *'}" if told else "not known"
        share = f"{users / total:.2%}" if total else ""
        table.add_row(rule_id, rule.level if rule else "", f"{users:,}", share, precision, f"{told.users:,.0f}" if told else "")
    return table


def _pair_table(trial: Any, pairs: Any) -> RichTable:
    table = RichTable("rule", "and", "both", "of the first", "of the other", title="largest overlaps")
    for pair in pairs:
        shares = [f"{pair.users / trial.users[one]:.0%}" for one in (pair.rule_id, pair.other)]
        table.add_row(pair.rule_id, pair.other, f"{pair.users:,}", *shares)
    return table
