"""Read dates from attributes of users, and count the values that are no date."""

from collections.abc import Mapping
from dataclasses import dataclass

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
    sums = []
    for name in names:
        value = text_of(F.col("attributes")[name])
        unreadable = value.isNotNull() & date_in(value).isNull()
        sums += [F.count(value), F.count_if(unreadable), F.min(F.when(unreadable, value))]
    if not names:
        return {}
    (found,) = rows.agg(*sums).collect()
    return {name: DateCount(*found[3 * n : 3 * n + 3]) for n, name in enumerate(names)}
