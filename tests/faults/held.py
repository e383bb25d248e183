"""Runs a ``churnwatch`` command with one fault: dies, or waits, before the n-th write of a table.

Usage: held.py die|wait <n> <seconds> <arguments of churnwatch>
"""

import os
import signal
import sys
import time

from churnwatch.cli import main
from churnwatch.io.store import Store

what, number, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
real, seen = Store.replace, [0]


def replace(self, *args):
    seen[0] += 1
    if seen[0] == number:
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(seconds)
    return real(self, *args)


Store.replace = replace
main(sys.argv[4:])
