"""The data dictionary as Markdown, printed from the contracts."""

from churnwatch.core import Table
from churnwatch.flow import flow
from churnwatch.settings import Settings
from churnwatch.tables import tables


def markdown(settings: Settings) -> str:
    """Every table: what a row is, keys, kind, who writes and who reads it, columns with types and comments."""
    jobs = flow(settings)
    writers = {t.name: [] for t in tables(settings)}  # type: dict[str, list[str]]
    readers = {t.name: [] for t in tables(settings)}  # type: dict[str, list[str]]
    for job in jobs:
        for table in job.writes:
            writers[table.name] += [job.name] * (job.name not in writers[table.name])
        for read in job.reads.values():
            readers[read.table.name] += [job.name] * (job.name not in readers[read.table.name])
    parts = [
        f"# Tables (domain {settings.domain})",
        "",
        "Printed by `churnwatch tables`; instants are UTC, money is in cents.",
    ]
    for table in tables(settings):
        parts += ["", *_section(table, writers[table.name], readers[table.name])]
    return "\n".join(parts)


def _section(table: Table, writers: list[str], readers: list[str]) -> list[str]:
    kind = "log, insert-only" if table.kind == "log" else f"replaced by ({', '.join(table.replace_key)})"
    lines = [
        f"## {table.name}",
        "",
        f"{table.comment[0].upper()}{table.comment[1:]}.",
        "",
        f"Key: ({', '.join(table.keys)}). Kind: {kind}."
        + (f" Partitions: {', '.join(table.partitions)}." if table.partitions else "")
        + f" Written by: {', '.join(writers) or 'the runner'}. Read by: {', '.join(readers) or 'people'}.",
        "",
        "| column | type | null | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for field in table.schema.fields:
        comment, null = field.metadata["comment"].replace("|", "/"), "yes" if field.nullable else "no"
        lines.append(f"| {field.name} | {field.dataType.simpleString()} | {null} | {comment} |")
    if table.rules:
        lines += ["", "Rules: " + "; ".join(f"{name}: `{rule}`" for name, rule in table.rules.items()) + "."]
    return lines
