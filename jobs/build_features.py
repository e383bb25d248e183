"""Runs build_features by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "build_features", *sys.argv[1:]])
