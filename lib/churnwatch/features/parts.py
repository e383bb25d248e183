"""What a family of features adds to each of the steps from rows of activity to one row a user."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.names import measure_names, summed_measures

Kinds = dict[str, str]


@dataclass(frozen=True)
class Part:
    """Columns of a family. ``narrow``: aggregates over the rows of a (user, snapshot, ring), which see ``age`` and, of
    daily_activity, every measure; ``wide``: aggregates over the user's few rings; ``ready``: what ``final`` needs more
    than once, by name, each from the ones before; ``final``: the columns that leave."""

    narrow: Sequence[Column] = ()
    wide: Sequence[Column] = ()
    ready: Sequence[tuple[str, Column]] = ()
    final: Sequence[Column] = ()


def joined(parts: Iterable[Part]) -> Part:
    """All ``parts`` as one."""
    parts = list(parts)
    return Part(
        narrow=[one for part in parts for one in part.narrow],
        wide=[one for part in parts for one in part.wide],
        ready=[one for part in parts for one in part.ready],
        final=[one for part in parts for one in part.final],
    )


def measure_kinds(settings: Settings) -> Kinds:
    """Measure -> how its days become a window: sum, min, max, last or distinct; ``events`` and ``sessions`` first."""
    summed, measures = summed_measures(settings), settings.measures.measures
    names = ["events", "sessions", *measure_names(settings)]
    return {name: "sum" if name in summed else measures[name].kind for name in names}


def combined(name: str, kind: str, where: Column, age: Column) -> Column:
    """The measure over the rows for which ``where`` holds; ``age``: of kind last the row's age, the youngest gives the value.

    A user has one row a day, so no two rows with a value are of one age. Null where there is no row, but 0 for sums.
    """
    value = F.when(where, F.col(name))
    if kind == "last":
        return F.max_by(value, F.when(value.isNotNull(), -age))
    if kind == "sum":
        return F.coalesce(F.sum(value), F.lit(0).cast("long"))
    return F.min(value) if kind == "min" else F.max(value)
