"""Notice columns that the files of a source have gained since they were last ingested."""

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from churnwatch.events.mapping import SourcePort, file_days
from churnwatch.settings import Source


def note_columns(
    there: Mapping[str, Iterable[date]],
    sources: Mapping[str, Source],
    days: Iterable[date],
    port: SourcePort,
    before: Iterable[str],
) -> dict[str, Any]:
    """Return ``added_columns``, the columns by source that the newest files of ``days`` have and earlier ones had not, and
    ``columns``, all that are known now of these sources. A source that was never looked at has no added columns.

    ``there``: days of the files of each source. ``before``: messages of earlier ingests, oldest first, which hold these notes.
    """
    known, own = _known(before), tuple(days)
    columns, added = {}, {}
    for name, source in sources.items():
        newest = max((f for day in own for f in file_days(source, day) if f in there.get(name, ())), default=None)
        if newest is None:
            continue
        new = set(port.find_columns(source, newest)) - set(known.get(name, ()))
        if every := sorted({*new, *known.get(name, ())}):
            columns[name] = every  # noted by each ingest, so that a later one need not read old messages
        if new and name in known:
            added[name] = sorted(new)
    return {name: found for name, found in (("columns", columns), ("added_columns", added)) if found}


def _known(messages: Iterable[str]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for text in messages:
        if '"columns"' in text:
            known |= json.loads(text[text.index("{") :]).get("columns", {})
    return known
