"""Runs measure_cohorts by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "measure_cohorts", *sys.argv[1:]])
