"""Drop most distinct values of a user's day before they are collected, so that a bot with millions of them fits in memory.

Only the ``distinct_cap`` smallest hashes of a user-day are stored. Hashes are split into 4 parts by their last two bits.
Once the largest of the 4 running minima is t, a hash above t * 2^15 (for a cap of 200) cannot be among the smallest, except
with a probability of 2^-36. Of n values about 100,000 x log(n) are collected.
"""

from collections.abc import Iterator

from pyspark.sql import Column, DataFrame, WindowSpec
from pyspark.sql import functions as F

from churnwatch.settings import Settings

PARTS = 4
# a value is dropped wrongly when each part has a hash under 2^-SPARE_BITS of the bound and all have fewer hashes than the
# cap: once in 2^(PARTS x SPARE_BITS) = 2^36 user-days with about as many values as the cap, more rarely with fewer
SPARE_BITS = 9
KEPT_BITS = 40  # leading bits of a hash that are compared; the rest of a long holds the day, so that minima restart each day
NOTHING = 1 << 62  # more than any hash on any day


def with_parts(rows: DataFrame, settings: Settings) -> DataFrame:
    """Add the columns that ``only_small_values`` needs. They are stored columns, because computed arguments would make
    Spark plan a second window."""
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
    """Set values of distinct measures to null when more than ``distinct_cap`` smaller ones came earlier on the user's day,
    and drop the columns of ``with_parts``.

    ``order``: a window over all earlier rows of the user, by day. The order within a day decides which rows lose their
    value, but not which values are the smallest.
    """
    cut = {name: _where_small(name, order, settings.activity.distinct_cap) for name in _sets(settings)}
    return rows.withColumns(cut).drop(*(_part(name, n) for name in cut for n in range(PARTS)))


def _where_small(name: str, order: WindowSpec, cap: int) -> Column:
    # above all ranks until every part has a value on this day
    seen = F.greatest(*(F.min(_part(name, n)).over(order) for n in range(PARTS))) + _today()
    return F.when(F.shiftright(_rank(name), bound_bits(cap)) > seen, None).otherwise(F.col(name))


def bound_bits(cap: int) -> int:
    """Return the number of bits from the largest of the running minima up to the bound: those of cap / PARTS, and
    SPARE_BITS.

    >>> bound_bits(1000)
    17
    """
    return (max(cap - 1, 1) // PARTS).bit_length() + SPARE_BITS


def _sets(settings: Settings) -> Iterator[str]:
    return (name for name, measure in settings.measures.measures.items() if measure.kind == "distinct")


def _rank(name: str) -> Column:
    """Return the leading bits of the hash, with the sign flipped so that the smallest hash is 0."""
    return F.shiftrightunsigned(F.col(name).bitwiseXOR(F.lit(-(1 << 63))), 64 - KEPT_BITS)


def _today() -> Column:
    return F.shiftleft(F.unix_date("day").cast("long"), KEPT_BITS)


def _part(name: str, number: int) -> str:
    return f"_{name}_{number}"
