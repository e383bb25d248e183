"""Overtakes the runs of ``test_case_05_06_36_writers``: writes another day by the same job while they write.

Usage: rival.py <folder>. Runs each job for its day of RIVAL_DAYS, once the other run has begun to write.
"""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

from test_case_05_06_36_writers import PATIENCE_SECONDS, RIVAL_DAYS, jobs

from churnwatch.io.session import session
from churnwatch.runner import Order, Runner
from churnwatch.settings import load
from sparkconf import SHORT_LIVED, TEST_SPARK

folder = Path(sys.argv[1])
spark = session(SimpleNamespace(spark=TEST_SPARK | SHORT_LIVED))
# the folders of the catalog's tables
given = load("conf/local.yaml", [f"storage.root={folder}/tables", f"storage.files={folder}/f"])
for name, day in RIVAL_DAYS.items():
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (folder / f"{name} begun").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    Runner(given, spark, jobs=jobs()).run(Order((name,), day, day))
    (folder / f"{name} overtaken").touch()
