"""Runs import_experiment by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "import_experiment", *sys.argv[1:]])
