"""The inbox: commands write lines into files, which jobs without a schedule read as a source."""

import uuid
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from churnwatch.core import ConfigError
from churnwatch.settings import Source


def write_lines(source: Source, day: date, lines: Iterable[str]) -> Path:
    """Write ``lines`` as one new file into the folder of ``day`` of ``source``, whose path has ``{day}``. Return the file.

    A reader sees the whole file or nothing. Raises ConfigError if the folder is not on a file system of this machine.
    """
    place = (source.path or "").replace("{day}", str(day))
    if "://" in place:
        raise ConfigError(
            f"{place} is a URL, but commands can write only to local folders. Hint: set storage.files to a mounted folder."
        )
    folder = Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{uuid.uuid4().hex}.jsonl"
    draft = folder / f".{name}"  # Spark ignores files with a leading dot
    draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return draft.replace(folder / name)
