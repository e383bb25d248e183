"""Apply configured expressions over measures to a window, with safe division."""

import sqlglot
from pyspark.sql import Column
from pyspark.sql import functions as F
from sqlglot import expressions as exp

from churnwatch.settings.names import window_column

SAFE = {exp.Div: "try_divide", exp.IntDiv: "try_divide", exp.Mod: "try_mod"}


def over_window(text: str, days: int) -> Column:
    """Evaluate ``text``, such as ``cancels / orders``, over the measures' windows of ``days`` days, as a double.

    Null on division by zero, and when the result is not finite.
    """
    value = F.expr(window_sql(text, days)).cast("double")
    # NaN is larger than infinity in Spark, so one comparison excludes both
    return F.when(F.abs(value) < F.lit(float("inf")), value)


def window_sql(text: str, days: int) -> str:
    """Replace every measure of ``text`` by its window column and every division by a safe one; return Spark SQL.

    >>> window_sql("cancels / (orders + 1)", 7)
    'TRY_DIVIDE(CAST(cancels_7d AS DOUBLE), (CAST(orders_7d AS DOUBLE) + 1))'
    """
    tree = sqlglot.parse_one(text, dialect="spark")
    for name in list(tree.find_all(exp.Column)):
        tree = _replaced(tree, name, exp.cast(exp.column(window_column(name.name, days)), "double"))
    while division := tree.find(*SAFE):
        parts = [division.this.copy(), division.expression.copy()]
        safe: exp.Expr = exp.Anonymous(this=SAFE[type(division)], expressions=parts)
        tree = _replaced(tree, division, exp.cast(safe, "bigint") if isinstance(division, exp.IntDiv) else safe)
    return tree.sql(dialect="spark")


def _replaced(tree: exp.Expr, old: exp.Expr, new: exp.Expr) -> exp.Expr:
    if old is tree:
        return new
    old.replace(new)
    return tree
