"""Runs a ``churnwatch`` command with one fault: dies, or waits for a file, before the n-th write of a table.

Usage: held.py die|wait <n> <file> <arguments of churnwatch>
"""

import os
import signal
import sys
import time
from pathlib import Path

from churnwatch.cli import main
from churnwatch.io.store import Store

what, number, go_on = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
PATIENCE_SECONDS = 240  # a test that has died never makes the file
real, seen = Store.replace, [0]


def replace(self, *args):
    seen[0] += 1
    if seen[0] == number:
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not go_on.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
    return real(self, *args)


Store.replace = replace
main(sys.argv[4:])
