"""Translate errors of Spark and Delta: the only place that looks at their Java classes and conditions.

Delta's conflicts reach Python as ``Py4JJavaError`` with a Java exception inside, unless ``delta`` was imported; errors of the
analysis reach it as ``PySparkException`` with a condition. The exceptions of Delta share no base class.
"""

from collections.abc import Iterator
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

ERRORS = (PySparkException, Py4JJavaError)  # what a statement may raise
CAUSES = 20  # of one error that are looked at

CONFLICTS = (
    "DELTA_CONCURRENT",
    "DELTA_METADATA_CHANGED",
    "DELTA_PROTOCOL_CHANGED",
    "ConcurrentAppendException",
    "ConcurrentWriteException",
    "ConcurrentDeleteReadException",
    "ConcurrentDeleteDeleteException",
    "ConcurrentTransactionException",
    "DeltaConcurrentModificationException",
    "MetadataChangedException",
    "ProtocolChangedException",
)
MISSING = (
    "DELTA_MISSING_DELTA_TABLE",
    "DELTA_TABLE_NOT_FOUND",
    "TABLE_OR_VIEW_NOT_FOUND",
    "is not a Delta table",
    "DELTA_PATH_DOES_NOT_EXIST",
    "PATH_NOT_FOUND",
)
BROKEN = (
    "DELTA_VIOLATE_CONSTRAINT",
    "DELTA_NOT_NULL_CONSTRAINT",
    "DELTA_REPLACE_WHERE_MISMATCH",
    "CHECK constraint",
    "NOT NULL constraint",
)


def is_conflict(error: Exception) -> bool:
    """Whether another writer was faster: known by the condition of the error, or by the Java class of one of its causes."""
    return any(part.startswith(CONFLICTS) for name in names(error) for part in (name, name.rpartition(".")[2]))


def is_missing(error: Exception) -> bool:
    """Whether the table does not exist."""
    return any(mark in str(error) for mark in MISSING)


def is_broken_rule(error: Exception) -> bool:
    """Whether rows break a rule of their table, or lie outside of what is replaced."""
    return any(mark in str(error) for mark in BROKEN)


def names(error: Exception) -> Iterator[str]:
    """The condition of an error, if it has one, and the Java classes of it and of its causes, outermost first."""
    if isinstance(error, PySparkException) and (condition := error.getCondition()):
        yield condition
    java: Any = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    for _ in range(CAUSES):
        if java is None:
            return
        yield java.getClass().getName()
        java = java.getCause()
