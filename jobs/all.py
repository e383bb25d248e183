"""Runs the whole flow by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "all", *sys.argv[1:]])
