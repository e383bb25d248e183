"""``python -m churnwatch.cli <command>``."""

from churnwatch.cli import main

main()
