"""Runs classify_losses by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "classify_losses", *sys.argv[1:]])
