"""Runs explain_churn by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "explain_churn", *sys.argv[1:]])
