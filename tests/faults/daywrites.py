"""The writes of a day: the commits of its steps, read from Delta's logs."""

import json
from dataclasses import dataclass

from deltalake import DeltaTable

import world

DAY = world.WORLD.day(62)


@dataclass(frozen=True)
class Commit:
    """A commit of a step: its instant (milliseconds), its run, job and table, and the table's version."""

    at: int
    run_id: str
    job: str
    table: str
    version: int

    @property
    def write(self):
        """The job and the table: ``build_activity/daily_activity``."""
        return f"{self.job}/{self.table}"


def versions(of):
    """The newest version of each stored table."""
    of.store.refresh()
    return {table.name: version for table in of.tables if (version := of.store.newest(table)) is not None}


def commits_behind(of, before):
    """The commits of steps that are newer than the versions ``before``, in the order in which they were made."""
    found = []
    for name in versions(of):
        for entry in DeltaTable(of.store.path(of.tables[name])).history():
            stamp = json.loads(entry.get("userMetadata") or "{}")
            if entry["version"] > before.get(name, -1) and "job" in stamp:
                found.append(Commit(entry["timestamp"], stamp["run_id"], stamp["job"], name, entry["version"]))
    return sorted(found, key=lambda commit: commit.at)


def writes_of_the_day(before, after):
    """The writes, in their order, of the day that the runner ``after`` knows and the runner ``before`` does not."""
    made = {commit.write: commit for commit in commits_behind(after, versions(before))}
    return list(made.values())
