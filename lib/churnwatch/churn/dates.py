"""Check the dates that a definition of churn reads from attributes of users."""

from collections.abc import Mapping, Sequence
from datetime import date

from churnwatch.core import DataQualityError
from churnwatch.core.job import Frames
from churnwatch.events.dates import count_dates, date_faults
from churnwatch.settings import Settings


def check_dates(inputs: Frames, days: Sequence[date], settings: Settings, definition: str) -> Mapping[str, object]:
    """Count the dates of ``users`` in force on ``days`` that cannot be read; return the count by attribute.

    Raises DataQualityError when their share is above ``quality.max_unreadable_share``: their users would be eligible on no
    day, and nobody would notice. Ingest makes the same check on new rows; this one also finds rows that were stored before
    the definition was configured.
    """
    attribute = settings.churn.definitions[definition].attribute
    counts = count_dates(inputs["users"], [attribute] if attribute else [])
    if faults := date_faults(counts, settings):
        head = f"label_churn:{definition} {days[0]} .. {days[-1]}: users hold dates that cannot be read, nothing was written:"
        raise DataQualityError("\n  ".join([head, *faults]))
    return {f"unreadable_{name}": count.unreadable for name, count in counts.items()}
