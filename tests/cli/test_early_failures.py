"""A run that fails before its first step: its operators hear of it, whatever else fails."""

from datetime import date

import pytest
from pyspark.errors import PySparkRuntimeError

import smallworld
from churnwatch.cli import common
from churnwatch.io import operators
from churnwatch.steps import Order

DAY = date(2025, 6, 30)


def test_operators_hear_that_spark_did_not_start_even_where_the_results_cannot_be_written(monkeypatch, tmp_path):
    def fail(*_):
        raise PySparkRuntimeError("Java gateway process exited before sending its port number")

    sent = []
    monkeypatch.setattr(common, "started", fail)
    monkeypatch.setattr(operators, "message_operators", lambda _, about, day, subject, lines: sent.append([subject, *lines]))
    with pytest.raises(PySparkRuntimeError, match="Java gateway") as failed:
        common.report_order(smallworld.settings(), Order(("all",), DAY, DAY), None, tmp_path / "absent" / "results.json")
    (text,) = sent
    assert "exit code 1" in text[0] and text[1] == "failed: PySparkRuntimeError"
    assert "the results were not written" in failed.value.__notes__[0]
