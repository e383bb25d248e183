"""Runs plan_retention by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "plan_retention", *sys.argv[1:]])
