"""Runs write_messages by spark-submit; options as in ``churnwatch run --help``."""

import sys

from churnwatch.cli import main

main(["run", "write_messages", *sys.argv[1:]])
