"""Runs measure_activity by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "measure_activity", *sys.argv[1:]])
