"""What a person sees while jobs run: one line a step, and a live line of its tasks on a terminal."""

from typing import Any

from rich.console import Console


class Progress:
    """One line a step, and a live line of its tasks on a terminal."""

    def __init__(self) -> None:
        # text as it is: a bar of # in brackets, and reasons that speak of [a list], are no markup
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
        """From now on the live line shows the session's tasks."""
        self._spark = spark

    def _line(self) -> str:
        if not self._spark or not self._step:
            return ""
        from churnwatch.io.session import tasks

        done, known = tasks(self._spark)
        filled = round(20 * done / known) if known else 0
        return f"{self._step} [{'#' * filled}{'.' * (20 - filled)}] tasks {done} of {known}"

    def begin(self, step: Any) -> None:
        """A step starts."""
        self._step = f"{step.job.full_name} {step.day}"

    def tell(self, outcome: Any) -> None:
        """A step ended."""
        self._step = ""
        for line in outcome.lines():
            self._out.print(line)
