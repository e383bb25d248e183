"""Draw random numbers by hashing seed, salt and keys, so that no row depends on order, partitions or cores."""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

STEPS = float(2**53)  # a double holds 53 bits exactly
PLACES = 1000  # of a table of names


@dataclass(frozen=True)
class Draws:
    """The draws of one seed. Each salt is a stream of its own; equal keys draw the same number again.

    xxhash64 instead of the MD5 of ``core.share_of``: a world of a billion events makes ten billion draws.
    """

    seed: int

    def mixed(self, salt: str, *keys: Column) -> Column:
        """A 64-bit hash of seed, salt and keys (bigint)."""
        return F.xxhash64(F.lit(self._start(salt)), *keys)

    def uniform(self, salt: str, *keys: Column) -> Column:
        """A number in the open interval (0, 1), uniform over keys."""
        return (F.shiftrightunsigned(self.mixed(salt, *keys), 11).cast("double") + 0.5) * F.lit(1 / STEPS)

    def _start(self, salt: str) -> int:
        digest = hashlib.sha256(f"{self.seed}:{salt}".encode()).digest()
        return int(struct.unpack(">q", digest[:8])[0])


def exponential(share: Column, mean: Column | float) -> Column:
    """An exponentially distributed number with ``mean``, by inversion of the uniform ``share``."""
    return -F.log(share) * mean


def pick(share: Column, weights: Mapping[str, float]) -> Column:
    """One of the names by weight, to the thousandth, by inversion of the uniform ``share``."""
    return entry(table(weights), place(share))


def table(weights: Mapping[str, float], places: int = PLACES) -> list[str]:
    """Lay the names out over ``places`` places, each in proportion to its weight."""
    total, below = sum(weights.values()), 0.0
    names: list[str] = []
    for name, weight in weights.items():
        below += weight / total
        names += [name] * (round(below * places) - len(names))
    return names


def place(share: Column, places: int = PLACES) -> Column:
    """The place 1 .. ``places`` that the uniform ``share`` points to."""
    return (F.floor(share * places) + 1).cast("int")


def entry(names: Sequence[str], position: Column) -> Column:
    """The name at ``position``, from 1; null where that is null.

    The list is one constant for Spark. A chain of CASE WHEN per event makes methods that the JVM refuses to compile
    (over 8,000 bytes of bytecode): worlds took five times as long. ``element_at`` of a null position is the last entry.
    """
    return F.get(F.split(F.lit(",".join(names)), ","), position - 1)


def number_at(numbers: Sequence[float], position: Column) -> Column:
    """The number at ``position``, from 1; null where that is null."""
    constant = F.split(F.lit(",".join(map(repr, numbers))), ",").cast("array<double>")
    return F.get(constant, position - 1)


def again(share: Column, salt: float = 7919.0) -> Column:
    """Return a second number in [0, 1) from the low digits of the first. Saves a hash where weak independence is enough."""
    larger = share * F.lit(salt)
    return larger - F.floor(larger)
