"""Runs build_first_seen by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "build_first_seen", *sys.argv[1:]])
