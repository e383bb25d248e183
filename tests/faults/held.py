"""Runs a ``churnwatch`` command with one fault.

Usage: held.py die|wait|die-after <write> <file> <arguments of churnwatch>

``die`` and ``wait``: the process kills itself, or waits for the file, before the n-th write of a table by days; <write> is n.
``die-after``: it kills itself right after the first commit of <write>, a job and a table: ``build_activity/daily_activity``.
Steps that have ended before are recorded at once, as in a warehouse where each step takes a minute.
"""

import os
import signal
import sys
import time
from pathlib import Path

from churnwatch import runner
from churnwatch.cli import main
from churnwatch.io.store import Store

what, write, go_on = sys.argv[1], sys.argv[2], Path(sys.argv[3])
PATIENCE_SECONDS = 240  # a test that has died never makes the file
replace, commit, seen = Store.replace, Store._commit, [0]


def faulty_replace(self, *args):
    seen[0] += 1
    if seen[0] == int(write):
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not go_on.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
    return replace(self, *args)


def faulty_commit(self, table, frame, stamp, *args):
    written = commit(self, table, frame, stamp, *args)
    if f"{stamp.get('job')}/{table.name}" == write:
        os.kill(os.getpid(), signal.SIGKILL)
    return written


if what == "die-after":
    Store._commit, runner.UNRECORDED_SECONDS = faulty_commit, 0.0
else:
    Store.replace = faulty_replace
main(sys.argv[4:])
