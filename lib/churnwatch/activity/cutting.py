"""Distinct values of a user's day, cut before they are collected: a bot with millions of them fills no task's memory.

Of a day the ``distinct_cap`` smallest hashes are stored. Hashes are spread by chance: over the numbers, and over parts by
their last bits. When every part has shown a hash of t or less, there are several hashes up to t, and thousands of times
as many, far more than the cap, up to t times some thousands: what lies above that is none of the smallest. So running
minima, a few numbers a row, tell what need not be collected; of n values as many as some 100,000 x log(n) are.
"""

from collections.abc import Iterator

from pyspark.sql import Column, DataFrame, WindowSpec
from pyspark.sql import functions as F

from churnwatch.settings import Settings

PARTS = 4
# a value is dropped wrongly where each part has one under 2^-SPARE of the bound and all together have fewer than the cap:
# once in 2^(PARTS x SPARE) = 2^36 user-days that hold about as many values as the cap, and more rarely with fewer
SPARE_BITS = 9
KEPT_BITS = 40  # of a hash; the rest of a long holds the day, so that a newer day's minimum begins anew
NOTHING = 1 << 62  # more than any hash on any day


def with_parts(rows: DataFrame, settings: Settings) -> DataFrame:
    """Adds to rows with distinct values what ``only_small_values`` looks at: columns of their own, because arguments of a
    window that must be computed would ask for a second one."""
    return rows.withColumns(
        {
            _part(name, n): F.when(F.col(name).bitwiseAND(F.lit(PARTS - 1)) == n, _rank(name) - _today()).otherwise(
                F.lit(NOTHING)
            )
            for name in _sets(settings)
            for n in range(PARTS)
        }
    )


def only_small_values(rows: DataFrame, order: WindowSpec, settings: Settings) -> DataFrame:
    """Values of distinct measures become null where more than ``distinct_cap`` smaller ones came earlier on the user's day;
    takes away what ``with_parts`` added.

    ``order``: all rows of a user before the row, by day. Which rows lose their value depends on the order of rows within
    a day; which values are the smallest does not.
    """
    cut = {name: _where_small(name, order, settings.activity.distinct_cap) for name in _sets(settings)}
    return rows.withColumns(cut).drop(*(_part(name, n) for name in cut for n in range(PARTS)))


def _where_small(name: str, order: WindowSpec, cap: int) -> Column:
    # beyond all ranks as long as a part has shown no value on this day
    seen = F.greatest(*(F.min(_part(name, n)).over(order) for n in range(PARTS))) + _today()
    return F.when(F.shiftright(_rank(name), bound_bits(cap)) > seen, None).otherwise(F.col(name))


def bound_bits(cap: int) -> int:
    """By how many bits the bound lies above what all parts have shown: cap / PARTS of a part, and what is to spare.

    >>> bound_bits(1000)
    17
    """
    return (max(cap - 1, 1) // PARTS).bit_length() + SPARE_BITS


def _sets(settings: Settings) -> Iterator[str]:
    return (name for name, measure in settings.measures.measures.items() if measure.kind == "distinct")


def _rank(name: str) -> Column:
    """The hash's first bits with the sign turned, so that the smallest is 0."""
    return F.shiftrightunsigned(F.col(name).bitwiseXOR(F.lit(-(1 << 63))), 64 - KEPT_BITS)


def _today() -> Column:
    return F.shiftleft(F.unix_date("day").cast("long"), KEPT_BITS)


def _part(name: str, number: int) -> str:
    return f"_{name}_{number}"
