"""What Spark's event log (one plain file) tells of the tasks of a span of time."""

import json
from dataclasses import dataclass
from pathlib import Path

ENDED = '"Event":"SparkListenerTaskEnd"'


@dataclass(frozen=True)
class Tasks:
    """Sums and peaks over tasks, in bytes: written to shuffles, spilled, execution memory of a task, JVM (heap and not)."""

    shuffle_bytes: int
    spilled_bytes: int
    peak_execution_bytes: int
    peak_jvm_bytes: int


def settings(folder: Path) -> dict[str, str]:
    """Spark settings that write the log of a session into ``folder``."""
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file:{folder}",
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
    }


def tasks(log: Path, first: float, last: float) -> Tasks:
    """The tasks launched between two instants (seconds since 1970) of a session that has ended."""
    shuffled, spilled, execution, jvm = [0], [0], [0], [0]
    with log.open(encoding="utf-8") as lines:
        for event in (json.loads(line) for line in lines if ENDED in line):
            if not first * 1000 <= event["Task Info"]["Launch Time"] <= last * 1000:
                continue
            metrics, executor = event["Task Metrics"], event.get("Task Executor Metrics", {})
            shuffled.append(metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"])
            spilled.append(metrics["Disk Bytes Spilled"])
            execution.append(metrics["Peak Execution Memory"])
            jvm.append(executor.get("JVMHeapMemory", 0) + executor.get("JVMOffHeapMemory", 0))
    return Tasks(sum(shuffled), sum(spilled), max(execution), max(jvm))
