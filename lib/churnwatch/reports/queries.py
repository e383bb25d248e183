"""Collect many small results in one query: counts of groups with one shuffle, and rows without any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

Rows = Sequence[Mapping[str, Any]]
MOST_KEYS = 4
MOST_SUMS = 2


@dataclass(frozen=True)
class Groups:
    """Rows of ``frame`` to be counted per ``day`` and ``keys`` (at most 4, as strings), with sums of at most 2 whole numbers."""

    frame: DataFrame
    keys: Sequence[str] = ()
    sums: Sequence[str] = ()


def count_groups(groups: Mapping[str, Groups]) -> dict[str, list[dict[str, Any]]]:
    """Count the groups of several frames: by name, rows of ``day``, the keys, ``count`` and the sums.

    All frames take one shape before they are grouped, so that they share one shuffle. A sum is None where all its values are.
    """
    keys = [f"key_{n}" for n in range(MOST_KEYS)]
    sums = [f"sum_{n}" for n in range(MOST_SUMS)]
    alike = [
        one.frame.select(
            F.lit(name).alias("name"),
            "day",
            *(_padded(one.keys, n, "string").alias(key) for n, key in enumerate(keys)),
            *(_padded(one.sums, n, "long").alias(total) for n, total in enumerate(sums)),
        )
        for name, one in groups.items()
    ]
    counted = (
        reduce(DataFrame.union, alike)
        .groupBy("name", "day", *keys)
        .agg(F.count("*").alias("count"), *(F.sum(total).alias(total) for total in sums))
    )
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in groups}
    for row in counted.collect():
        one = groups[row["name"]]
        named = {name: row[key] for name, key in zip((*one.keys, *one.sums), (*keys[: len(one.keys)], *sums), strict=False)}
        found[row["name"]].append({"day": row["day"], **named, "count": row["count"]})
    return {name: in_order(rows) for name, rows in found.items()}


def collect_rows(frames: Mapping[str, DataFrame]) -> dict[str, list[dict[str, Any]]]:
    """Collect the rows of several frames as dicts, by name; each row travels as a struct in the column of its frame."""
    wide = [frame.select(F.struct("*").alias(name)) for name, frame in frames.items()]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in frames}
    for row in reduce(partial(DataFrame.unionByName, allowMissingColumns=True), wide).collect():
        name, value = next((name, value) for name, value in zip(row.__fields__, row, strict=True) if value is not None)
        found[name].append(value.asDict(recursive=True))
    return {name: in_order(rows) for name, rows in found.items()}


def in_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in an order of their values, so that nothing depends on partitions."""
    return sorted(rows, key=lambda row: [(value is not None, str(value)) for value in row.values()])


def _padded(names: Sequence[str], place: int, kind: str) -> Any:
    """The column at ``place`` of ``names``, or null where there are fewer."""
    return (F.col(names[place]) if place < len(names) else F.lit(None)).cast(kind)
