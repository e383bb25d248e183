"""Runs measure_lift by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "measure_lift", *sys.argv[1:]])
