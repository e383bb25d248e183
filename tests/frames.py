"""Frames of a test's rows: handed to Spark as Arrow tables, which start no Python worker and no Spark job."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_type
from pyspark.sql.types import ArrayType, DataType, MapType, StructField, StructType


def frame(spark: SparkSession, given: Iterable[Mapping[str, Any] | tuple], schema: StructType | str) -> DataFrame:
    """A frame of the rows ``given`` under ``schema``, a type or DDL text (``"user_id string, n long"``).

    A row is a dictionary (columns that it leaves out are null) or a tuple (all columns, in the schema's order). Within a
    column, values of a struct are all tuples or all dictionaries. Timestamps without a zone are UTC. Columns are nullable.
    """
    made = _nullable(StructType.fromDDL(schema) if isinstance(schema, str) else schema)
    rows = [row if isinstance(row, tuple) else tuple(map(row.get, made.names)) for row in given]
    columns = [pa.array([row[n] for row in rows], to_arrow_type(field.dataType, timezone="UTC")) for n, field in enumerate(made)]
    return spark.createDataFrame(pa.Table.from_arrays(columns, names=made.names), made)


def _nullable(kind: DataType) -> DataType:
    """The type without NOT NULL, at any depth, and without comments."""
    if isinstance(kind, StructType):
        return StructType([StructField(field.name, _nullable(field.dataType)) for field in kind])
    if isinstance(kind, ArrayType):
        return ArrayType(_nullable(kind.elementType))
    if isinstance(kind, MapType):
        return MapType(kind.keyType, _nullable(kind.valueType))
    return kind
