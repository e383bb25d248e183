"""Log lines: as text for people or as JSON for programs, on stderr or in a file."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from churnwatch.core import ConfigError
from churnwatch.settings.environment import Logs


class Lines(logging.Formatter):
    """A log record as text for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


class JsonLines(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; ``error`` holds the trace of an exception."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "source": f"{record.filename}:{record.lineno}",
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Stderr(logging.StreamHandler[TextIO]):
    """Writes to what is stderr at the moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """The stderr of this process."""
        return sys.stderr


def write_logs(logs: Logs, verbose: bool) -> None:
    """Write log lines as ``logs`` says, in place of where an earlier call sent them; ``verbose``: at least those from info on.

    Raises ConfigError when the file cannot be written.
    """
    root, handler = logging.getLogger(), _handler(logs)
    for earlier in [one for one in root.handlers if isinstance(one.formatter, JsonLines | Lines)]:
        root.removeHandler(earlier)
        earlier.close()
    handler.setFormatter(JsonLines() if logs.format == "json" else Lines())
    level = logging.getLevelNamesMapping()[logs.level.upper()]
    handler.setLevel(min(level, logging.INFO) if verbose else level)
    root.addHandler(handler)
    root.setLevel(handler.level)


def _handler(logs: Logs) -> logging.Handler:
    try:
        return logging.FileHandler(logs.file, encoding="utf-8") if logs.file else Stderr()
    except OSError as error:
        raise ConfigError(f"logs.file {logs.file} cannot be written: {error.strerror}. Hint: name another file") from error
