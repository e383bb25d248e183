"""Runs send_notifications by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "send_notifications", *sys.argv[1:]])
