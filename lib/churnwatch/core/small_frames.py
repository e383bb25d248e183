"""Collect small frames: several with one query."""

from collections.abc import Mapping
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def collect_together(frames: Mapping[str, DataFrame]) -> dict[str, pa.Table]:
    """Return the rows of each frame, in no particular order, with one Spark query for all of them.

    All rows come to the driver: no frame may grow with users or events.
    """
    tagged = [
        frame.select(F.lit(name).alias("frame"), *(F.col(column).alias(f"{name} {column}") for column in frame.columns))
        for name, frame in frames.items()
    ]
    rows = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), tagged).toArrow()
    found = {}
    for name, frame in frames.items():
        own = rows.filter(pc.equal(rows["frame"], name)).select([f"{name} {column}" for column in frame.columns])
        found[name] = own.rename_columns(frame.columns)
    return found
