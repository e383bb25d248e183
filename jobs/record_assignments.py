"""Runs record_assignments by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "record_assignments", *sys.argv[1:]])
