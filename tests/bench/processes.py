"""CPU of a tree of processes, from /proc: the JVM and Python workers count, and children that have already ended."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# fields of /proc/<pid>/stat after the name: parent, and user and system time, own and of children that were waited for
PARENT, TIMES = 1, slice(11, 15)


def cpu_seconds() -> float:
    """CPU seconds so far of this process and all its descendants; the difference of two calls is what lay between."""
    stats = dict(_stats())
    family = [os.getpid()]
    for pid in family:
        family += [child for child, fields in stats.items() if int(fields[PARENT]) == pid]
    return sum(sum(map(int, stats[pid][TIMES])) for pid in family if pid in stats) / TICKS


def _stats():
    # no glob over the files in it: it stumbles over processes that end meanwhile
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            # a name may hold blanks and brackets: what counts starts after the last one
            yield int(pid), Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
