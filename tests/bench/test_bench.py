"""What the benchmark measures with: CPU of children, tasks of a span of time, bars."""

import json
import subprocess
import sys

import eventlog
from processes import cpu_seconds
from rows import Row


def test_children_that_ended_count():
    before = cpu_seconds()
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert cpu_seconds() - before > 0.4  # ticks are hundredths


def test_only_tasks_of_the_span_count(tmp_path):
    def ended(launched, written, execution, heap):
        return {
            "Event": "SparkListenerTaskEnd",
            "Task Info": {"Launch Time": launched},
            "Task Metrics": {
                "Shuffle Write Metrics": {"Shuffle Bytes Written": written},
                "Disk Bytes Spilled": 0,
                "Peak Execution Memory": execution,
            },
            "Task Executor Metrics": {"JVMHeapMemory": heap, "JVMOffHeapMemory": 1},
        }

    events = [{"Event": "SparkListenerJobEnd"}, ended(999, 500, 90, 90), ended(1000, 5, 7, 20), ended(1500, 6, 3, 10)]
    log = tmp_path / "log"
    log.write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events))
    assert eventlog.tasks(log, 1.0, 1.5) == eventlog.Tasks(11, 0, 7, 21)


def test_bars_are_reached_from_their_own_side_and_small_worlds_are_not_judged():
    assert [Row("s", "w", value, "x", at_least=0.3).met for value in (0.29, 0.3)] == [False, True]
    assert [Row("s", "w", value, "x", at_most=8).met for value in (8, 8.1)] == [True, False]
    assert Row("s", "w", 9, "x", at_most=8, judged=False).met is None
