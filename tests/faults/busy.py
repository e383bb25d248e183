"""Runs ``churnwatch run ingest_events`` in a warehouse where this job begins a Spark job of hours.

Usage: busy.py <folder> <arguments of churnwatch>. It makes the file <folder>/busy just before.
"""

import sys
from pathlib import Path

from test_case_05_06_36_writers import PEOPLE

from churnwatch.cli import common, main
from churnwatch.core import Job
from churnwatch.runner import Runner

folder = Path(sys.argv[1])


def runner_over(settings, **callbacks):
    """A runner whose only job is busy."""
    spark = common.started(settings)

    def build(inputs, days):
        (folder / "busy").touch()
        spark.range(10**15).selectExpr("max(id % 7)").collect()

    return Runner(settings, spark, jobs=(Job("ingest_events", build=build, writes=(PEOPLE,)),), **callbacks)


common.runner_over = runner_over
main(["run", "ingest_events", "--day", "2025-03-10", *sys.argv[2:]])
