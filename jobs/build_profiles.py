"""Runs build_profiles by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "build_profiles", *sys.argv[1:]])
