"""Ingest as the runner does it, over files of a test, with stored tables as plain rows."""

import json
from datetime import date, timedelta

import smallworld
from churnwatch import events
from churnwatch.io.sources import Sources
from churnwatch.tables import tables

MAP = {name: name for name in ("user_id", "event_time", "event_type", "amount", "duration_s", "item_id", "session_id", "channel")}
UNDATED = date(1970, 1, 1)
NO_GATE = {"max_rejected_share": 1.0, "max_nobody_share": 1.0, "max_identical_across_files_share": 1.0}
STATE = ("users", "consents", "context")


def json_source(folder, name="log", **changes):
    """A source of JSON lines, a file per day."""
    return {"name": name, "format": "json", "path": f"{folder}/{name}_{{day}}.jsonl", "map": MAP} | changes


def settings(*sources, **changes):
    """Settings with event ``sources``; ``users``, ``consents``, ``context`` and other parts by name."""
    state = {kind: changes.pop(kind, None) for kind in STATE}
    changes.setdefault("quality", NO_GATE)
    return smallworld.settings(sources={"events": list(sources), **state}, **changes)


def write_lines(path, lines):
    """Writes lines, JSON objects where they are dictionaries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))


class Ingest:
    """Stored tables as lists of rows; ``run`` ingests days into them and returns the gate's counts."""

    def __init__(self, spark, conf):
        self.spark, self.conf, self.contracts = spark, conf, tables(conf)
        self.stored = {name: [] for name in ("rejected_events", "source_days", *STATE, "events", "ingested_files")}
        self.done, self.messages = set(), []

    def run(self, *own, with_history=False):
        """Ingests the days ``own`` in one pass, and what came late for others; ``with_history``: counts by source and day are
        kept, and read by the gate."""
        self.done -= set(own)
        earlier = sorted(d for d in self.done if own[0] - timedelta(days=28) <= d < own[0])
        later = sorted(d for d in self.done if d > own[0])
        since = own[0] - timedelta(days=29)
        inputs = {kind: smallworld.as_of(self.spark, self.contracts[kind], self.stored[kind], (since, *own)) for kind in STATE}
        for kind in STATE if later else ():
            rows = [row for row in self.stored[kind] if row["day"] in later]
            inputs[f"{kind}_later"] = smallworld.rows(self.spark, self.contracts[kind], rows)
        known = [row for row in self.stored["ingested_files"] if since < row["day"] <= own[-1]]
        inputs["ingested"] = smallworld.rows(self.spark, self.contracts.ingested_files, known)
        if with_history:
            stored = [row for row in self.stored["source_days"] if row["day"] < own[0]]
            inputs["source_days"] = smallworld.rows(self.spark, self.contracts.source_days, stored)
        sources = Sources(self.spark, self.conf)
        scope = events.find_intake(inputs, own, sources, self.conf, earlier, later, self.messages)
        days = scope.days
        staged = events.classify_rows(inputs, days, sources, self.conf, scope)
        # a local copy, as the runner stages rows in files: later queries do not see the plan that made them
        inputs |= {name: self.spark.createDataFrame(frame.toArrow(), frame.schema) for name, frame in staged.items()}
        scope = self.scope = events.narrow_intake(inputs, scope, earlier, self.conf)
        days = scope.days
        counts = events.gate(inputs, days, self.conf, scope)
        self.done |= set(days)
        for name, frame in events.build_tables(inputs, days, self.conf, scope).items():
            assert sorted(frame.columns) == sorted(self.contracts[name].schema.names)
            if name in STATE and not getattr(self.conf.sources, name) or (name == "source_days" and not with_history):
                continue  # a kind without a source has no rows; saves seconds
            if name == "rejected_events" and not any(count["rejected"] for count in counts.values()):
                frame = frame.limit(0)  # as the gate has counted
            new = [row.asDict(recursive=True) for row in frame.collect()]
            kept = [row for row in self.stored[name] if not self.is_replaced(name, row)]
            assert all(self.is_replaced(name, row) for row in new), name
            self.stored[name] = sorted(kept + new, key=repr)
        self.messages.append(json.dumps({**counts, **scope.note}))
        return counts

    def is_replaced(self, name, row):
        """Whether the newest run writes the row's day anew."""
        kinds = {getattr(self.conf.sources, kind).name: kind for kind in STATE if getattr(self.conf.sources, kind)}
        kind = name if name in STATE else kinds.get(row.get("source"))
        if name in ("rejected_events", "source_days", "ingested_files"):
            if row["day"] == UNDATED or (row["day"], row["source"], row.get("file_day")) in self.scope.taken:
                return True
        elif kind is None:
            return row["day"] in self.scope.days
        return row["day"] in (self.scope.written.get(kind, self.scope.days) if kind else self.scope.days)

    def __getattr__(self, name):
        return self.stored[name]
