"""Writes five days of the table of ``test_case_05_06_36_writers``, twice each, in five threads of this process.

Usage: writer.py <folder> <number of the first day>
"""

import sys
import threading
from datetime import timedelta
from types import SimpleNamespace

from test_case_05_06_36_writers import D, settings, write

from churnwatch.io.session import session
from churnwatch.io.store import Store
from sparkconf import SHORT_LIVED, TEST_SPARK

folder, first = sys.argv[1], int(sys.argv[2])
spark, given, failed = session(SimpleNamespace(spark=TEST_SPARK | SHORT_LIVED)), settings(folder), []


def writer(day):
    """Write one day twice."""
    try:
        for number in range(2):
            write(Store(spark, given), day, f"run {number} of {day}")
    except Exception as error:
        failed.append(error)


threads = [threading.Thread(target=writer, args=(D + timedelta(days=first + n),)) for n in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit("\n".join(map(str, failed)) or 0)
