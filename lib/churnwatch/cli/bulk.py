"""Actions on warnings from a file: CSV with a header, or JSON lines."""

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from churnwatch.alerts import event_line
from churnwatch.core import DataQualityError

COLUMNS = ("alert_id", "action", "who", "note", "outcome", "lesson", "at")
NEEDED = ("alert_id", "action", "who")
LISTED = 20  # bad lines that a message lists


def lines_of(path: Path, now: datetime) -> list[str]:
    """Lines for the inbox, one per row of ``path``. ``at`` is an instant (ISO 8601, UTC where it has no zone); default: ``now``.

    Raises DataQualityError, which lists bad lines by file and line; then nothing is recorded.
    """
    made, faults = [], []
    for number, row in _rows(path):
        place = f"{path.name}:{number}"
        try:
            made.append(_line(row, now, place))
        except ValueError as error:
            faults.append(f"{place}: {error}")
    if faults or not made:
        more = [f"and {len(faults) - LISTED} more"] if len(faults) > LISTED else []
        told = [*faults[:LISTED], *more] or [f"{path.name}: has no line"]
        raise DataQualityError(f"{len(faults)} bad line(s), nothing was recorded:\n  " + "\n  ".join(told))
    return made


def _line(row: Any, now: datetime, place: str) -> str:
    if isinstance(row, ValueError):
        raise row
    if unknown := sorted(str(name) for name in set(row) - set(COLUMNS)):
        raise ValueError(f"unknown column {', '.join(unknown)}; a line has {', '.join(COLUMNS)}")
    given = {name: str(value).strip() for name, value in row.items() if value not in (None, "")}
    if missing := [name for name in NEEDED if not given.get(name)]:
        raise ValueError(f"lacks {', '.join(missing)}")
    at = now
    if when := given.get("at"):
        at = datetime.fromisoformat(when)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return event_line(
        *(given["alert_id"], at, given["who"], given["action"], given.get("note", "")),
        outcome=given.get("outcome"),
        lesson=given.get("lesson"),
        place=place,
    )


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Line number, and the row as a mapping or the ValueError that says what is wrong with it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                reader = csv.DictReader(file)
                for row in reader:
                    # DictReader puts surplus fields under None
                    yield reader.line_num, ValueError("has more fields than the header") if None in row else row
                return
            for number, text in enumerate(file, 1):
                if text.strip():
                    yield number, _parsed(text)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataQualityError(f"{path}: cannot be read, nothing was recorded: {error}") from error


def _parsed(text: str) -> Any:
    try:
        row = json.loads(text)
    except ValueError:
        return ValueError(f"is not JSON: {text.strip()[:80]}")
    return row if isinstance(row, dict) else ValueError("is not a JSON object")
