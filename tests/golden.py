"""Digests of tables: what a change of a stored number changes, and what another wording or another machine does not."""

import hashlib
from collections.abc import Iterator
from math import isnan
from typing import Any

import world
from churnwatch.runner import Runner

# tables that tell about runs, texts or files, and are never the same
LEFT_OUT = {"job_runs", "report_pages"}
# words for people, at any depth, and what differs between two runs or two versions of the code
PROSE = {"evidence", "message", "body", "subject", "text", "title", "reason", "because", "fall_because", "conditions", "comment"}
PER_RUN = world.VOLATILE | {"model_version", "code_hash", "config_hash", "artifacts_hash", "sha256", "bytes", "seconds"}
RELATIVE_TOLERANCE = 1e-6


def digests(of: Runner) -> dict[str, dict[str, Any]]:
    """By table: ``rows``, and by column a digest: of floats the sum and the sum of absolute values, else 12 digits of SHA-256.

    Values nested in a column have a digest each (``metrics.auc``). Rows are sorted by the table's keys, where keys differ from
    run to run by all that does not.
    """
    made: dict[str, dict[str, Any]] = {}
    for table in of.tables:
        if table.name in LEFT_OUT:
            continue
        keys = [key for key in table.keys if key not in PER_RUN]
        rows = sorted(
            ({name: value for name, value in row.items() if name not in PER_RUN} for row in world.stored(of, table.name)),
            key=lambda row, keys=keys: ([str(row[key]) for key in keys], repr(row)),
        )
        columns: dict[str, Any] = {}
        for row in rows:
            for name, value in row.items():
                for path, leaf in leaves(name, value):
                    if isinstance(leaf, float) and not isnan(leaf):
                        total = columns.setdefault(f"{path} (float)", [0.0, 0.0])
                        total[0] += leaf
                        total[1] += abs(leaf)
                    else:
                        columns.setdefault(path, hashlib.sha256()).update(f"{leaf!r}\n".encode())
        found = {path: c if isinstance(c, list) else c.hexdigest()[:12] for path, c in sorted(columns.items())}
        made[table.name] = {"rows": len(rows), **found}
    return made


def leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values inside ``value`` that are no collections, with their paths; nothing of prose or of what a run is called."""
    if path.rpartition(".")[2] in PROSE | PER_RUN:
        return
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(f"{path}.{name}", part)
    elif isinstance(value, list):
        yield path, f"{len(value)} entries"
        for part in value:
            if isinstance(part, tuple):  # an entry of a map: key and value
                yield from leaves(f"{path}.{part[0]}", part[1])
            else:
                yield from leaves(path, part)
    else:
        yield path, value


def differences(found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> list[str]:
    """Lines that name each table and column whose digest is another; floats may differ by ``RELATIVE_TOLERANCE``."""
    lines = []
    for table in sorted(found.keys() | expected.keys()):
        here, there = found.get(table, {}), expected.get(table, {})
        for column in sorted(here.keys() | there.keys()):
            if not same(here.get(column), there.get(column)):
                lines.append(f"{table}.{column}: {here.get(column)}, expected {there.get(column)}")
    return lines


def same(found: Any, expected: Any) -> bool:
    """Whether two digests are equal; sums of floats within ``RELATIVE_TOLERANCE`` of the sum of absolute values."""
    if isinstance(found, list) and isinstance(expected, list):
        return all(abs(f - e) <= RELATIVE_TOLERANCE * max(expected[1], 1e-9) for f, e in zip(found, expected, strict=True))
    return found == expected
