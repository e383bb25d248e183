"""Progress on the console while jobs run: one line a step, and on a terminal a live line of its tasks."""

from typing import Any

from rich.console import Console


class Progress:
    """Prints one line a step; on a terminal also a live line with the tasks of the step that runs."""

    def __init__(self) -> None:
        # no markup: the bar and some reasons contain brackets
        self._out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
        self._live: Any = None
        self._spark: Any = None
        self._step = ""

    def __enter__(self) -> "Progress":
        if self._out.is_terminal:
            from rich.live import Live

            self._live = Live(get_renderable=self._line, console=self._out, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def watch(self, spark: Any) -> None:
        """Show the tasks of this Spark session in the live line."""
        self._spark = spark

    def _line(self) -> str:
        if not self._spark or not self._step:
            return ""
        from churnwatch.io.session import tasks

        done, known = tasks(self._spark)
        filled = round(20 * done / known) if known else 0
        return f"{self._step} [{'#' * filled}{'.' * (20 - filled)}] tasks {done} of {known}"

    def step_started(self, step: Any) -> None:
        """Name the step in the live line."""
        self._step = f"{step.job.full_name} {step.day}"

    def step_ended(self, outcome: Any) -> None:
        """Print the lines of the step that ended."""
        self._step = ""
        for line in outcome.lines():
            self._out.print(line)
