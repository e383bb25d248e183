"""Runs train_model by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "train_model", *sys.argv[1:]])
