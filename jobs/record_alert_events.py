"""Runs record_alert_events by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "record_alert_events", *sys.argv[1:]])
