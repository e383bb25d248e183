"""Runs build_months by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "build_months", *sys.argv[1:]])
