"""The inbox: files of lines that commands write and jobs without a schedule read as a source."""

import os
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from churnwatch.settings import Source


def put(source: Source, day: date, lines: Iterable[str]) -> Path:
    """Adds ``lines`` to the file of ``day`` of ``source`` (its path holds ``{day}``) in one write; returns the file."""
    path = Path((source.path or "").replace("{day}", str(day)))
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    # one write to a file opened for appending: lines of two commands at once do not mix
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)
    return path
