"""``churnwatch config``: the configuration as commands see it."""

from typing import Annotated

import typer

from churnwatch.cli.common import DEFAULT_CONFIG, Config, Sets, Verbose


def print_config(
    keys: Annotated[
        list[str] | None, typer.Argument(help="only these keys and those below them, such as storage or model.gate")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    changed: Annotated[bool, typer.Option("--changed", help="leave out values that are defaults")] = False,
    set_: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Print every key with its effective value and where the value comes from: file and line, --set, or the default.

    Values of environment variables are shown as ``${NAME}``.
    """
    from churnwatch.settings.effective import effective

    for value in effective(config, set_ or ()):
        chosen = not keys or any(value.key == key or value.key.startswith(f"{key}.") for key in keys)
        if chosen and not (changed and value.origin == "default"):
            print(f"{value.key} = {value.text}  # {value.origin}")
