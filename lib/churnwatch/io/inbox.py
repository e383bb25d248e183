"""The inbox: files of lines that commands write and jobs without a schedule read as a source."""

import uuid
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from churnwatch.core import ConfigError
from churnwatch.settings import Source


def write_lines(source: Source, day: date, lines: Iterable[str]) -> Path:
    """Writes ``lines`` as one new file into the folder of ``day`` of ``source`` (its path holds ``{day}``); returns it.

    A reader sees the whole file or nothing of it. Raises ConfigError where the folder is on no file system of this machine.
    """
    place = (source.path or "").replace("{day}", str(day))
    if "://" in place:
        raise ConfigError(f"{place}: commands write their lines where storage.files is a folder of this machine (a mount)")
    folder = Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{uuid.uuid4().hex}.jsonl"
    draft = folder / f".{name}"  # Spark passes over files with a leading dot
    draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return draft.replace(folder / name)
