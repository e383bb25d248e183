"""Bring a frame into the form of its table's contract, and texts into that of SQL."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import ContractError, Table


def conformed(table: Table, frame: DataFrame) -> DataFrame:
    """Select the contract's columns, in its order, and cast them to its types.

    Raises ContractError that names columns which are missing, or which the contract lacks.
    """
    have, want = set(frame.columns), table.schema.names
    if missing := [n for n in want if n not in have]:
        raise ContractError(f"{table.name}: the frame lacks columns {missing}, nothing was written")
    if extra := sorted(have - set(want)):
        raise ContractError(f"{table.name}: the frame has columns that the contract lacks: {extra}, nothing was written")
    # compare types as text, because Delta does not store whether an array may hold nulls
    types = {f.name: f.dataType.simpleString() for f in frame.schema.fields}
    if list(types.items()) == [(f.name, f.dataType.simpleString()) for f in table.schema.fields]:
        return frame
    return frame.select(
        *(
            F.col(f.name) if types[f.name] == f.dataType.simpleString() else F.col(f.name).cast(f.dataType).alias(f.name)
            for f in table.schema.fields
        )
    )


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + str(text).replace("\\", "\\\\").replace("'", "\\'") + "'"
