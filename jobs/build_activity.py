"""Runs build_activity by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "build_activity", *sys.argv[1:]])
