"""Runs score_users by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "score_users", *sys.argv[1:]])
