"""Runs send_messages by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "send_messages", *sys.argv[1:]])
