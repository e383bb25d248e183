"""Runs judge_alerts by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "judge_alerts", *sys.argv[1:]])
