"""Runs render_report by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "render_report", *sys.argv[1:]])
