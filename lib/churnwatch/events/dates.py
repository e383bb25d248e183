"""Read dates from attributes of users, and count the values that are no date."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.events.instants import SHAPE, text_of
from churnwatch.settings import Settings


@dataclass(frozen=True)
class DateCount:
    """Values of an attribute that holds dates: ``stated`` (not blank), ``unreadable`` (no date) and an ``example`` of them."""

    stated: int
    unreadable: int
    example: str | None

    def __add__(self, other: "DateCount") -> "DateCount":
        examples = [one.example for one in (self, other) if one.example is not None]
        return DateCount(self.stated + other.stated, self.unreadable + other.unreadable, min(examples, default=None))

    def fault(self, attribute: str, limit: float) -> str | None:
        """What is wrong when the share of unreadable values is above ``limit``, else None."""
        share = self.unreadable / self.stated if self.stated else 0.0
        if share <= limit:
            return None
        return (
            f"attribute {attribute}: {self.unreadable:,} of {self.stated:,} values ({share:.1%}) are no date, such as "
            f"{self.example!r}; quality.max_unreadable_share allows {limit:.1%}. Hint: map it to a date in sources.yaml, "
            f"such as to_date({attribute}, 'dd.MM.yyyy')"
        )


def date_in(value: Column) -> Column:
    """Return the text ``value``, ``2025-12-31`` or a time that begins so, as a date; null when it is not a date."""
    text = text_of(value)
    # without the shape Spark would read '2025' as 1 January
    return F.when(text.rlike(SHAPE), text.try_cast("date"))


def date_attributes(settings: Settings) -> list[str]:
    """Return the attributes of users that a churn definition reads as a date, sorted."""
    return sorted({definition.attribute for definition in settings.churn.definitions.values() if definition.attribute})


def date_faults(counts: Mapping[str, DateCount], settings: Settings) -> list[str]:
    """Return what is wrong with attributes whose share of unreadable dates is above ``quality.max_unreadable_share``."""
    limit = settings.quality.max_unreadable_share
    return [fault for name, count in counts.items() if (fault := count.fault(name, limit))]


def count_dates(rows: DataFrame, names: list[str]) -> Mapping[str, DateCount]:
    """Count the values of the attributes ``names`` in ``rows``, which have a map ``attributes``. One query for all names."""
    if not names:
        return {}
    (found,) = rows.agg(*_sums(names)).collect()
    return _date_counts(found, names)


def count_dates_by_day(rows: DataFrame, names: list[str]) -> dict[date, Mapping[str, DateCount]]:
    """Count as ``count_dates`` does, for each ``day`` of ``rows``."""
    return {found[0]: _date_counts(found[1:], names) for found in rows.groupBy("day").agg(*_sums(names)).collect()}


def _sums(names: list[str]) -> list[Column]:
    sums = []
    for name in names:
        value = text_of(F.col("attributes")[name])
        unreadable = value.isNotNull() & date_in(value).isNull()
        sums += [F.count(value), F.count_if(unreadable), F.min(F.when(unreadable, value))]
    return sums


def _date_counts(found: Sequence[Any], names: list[str]) -> dict[str, DateCount]:
    return {name: DateCount(*found[3 * n : 3 * n + 3]) for n, name in enumerate(names)}
