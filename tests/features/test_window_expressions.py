"""Configured ratios over windows."""

import pytest

from churnwatch.features.expressions import over_window

VALUES = {
    "a / b": 1.5,
    "a / zero": None,
    "a / (b / zero)": None,
    "a / b / b": 0.75,
    "1 - a / (a + b)": 0.4,
    "a % zero": None,
    "a div b": 1.0,
    "a / nothing": None,
    "coalesce(a / zero, 7)": 7.0,
    "sqrt(0 - a)": None,
    "a * huge": 3e19,
    "a": 3.0,
}


def test_values(spark):
    columns = "3L a_7d, 2L b_7d, 0L zero_7d, CAST(NULL AS BIGINT) nothing_7d, 10000000000000000000D huge_7d"
    frame = spark.sql(f"SELECT {columns}").select(*(over_window(text, 7).alias(text) for text in VALUES))
    assert {kind for _, kind in frame.dtypes} == {"double"}
    assert frame.first().asDict() == pytest.approx(VALUES)
