"""The data dictionary as Markdown, written from the contracts and the flow."""

from pathlib import Path

from churnwatch.core import Table
from churnwatch.flow import flow
from churnwatch.results import schema_text
from churnwatch.settings import Settings
from churnwatch.settings.reference import editor_schemas, markdown
from churnwatch.tables import tables

INTRODUCTION = """# Tables (domain {domain})

Written by `churnwatch docs` from the contracts; columns of measures, windows, segments and definitions depend on the domain.

- Every table has the column `day`: a business day in `clock.time_zone`. For tables of a job it is the job's output day O.
- Instants are UTC, money is in cents, durations are in milliseconds, shares are 0 .. 1.
- **Replaced by** names the columns whose values a run replaces as a whole, so that a run can be repeated. A **log** is only
  added to, and its newest row counts.
- **Rules** are conditions that no row breaks: a write with a row for which one is false is refused as a whole.

| table | a row is | written by | read by |
| --- | --- | --- | --- |"""


def dictionary(settings: Settings) -> str:
    """Describe every table: what a row is, keys, who writes and reads it, and each column with type and meaning."""
    written, read = _by_table(settings)
    parts = [INTRODUCTION.format(domain=settings.domain)]
    for table in tables(settings):
        parts.append(f"| [{table.name}](#{table.name}) | {_cell(table.comment)} | {written[table.name]} | {read[table.name]} |")
    for table in tables(settings):
        parts += ["", *_section(table, written[table.name], read[table.name])]
    return "\n".join(parts)


def write_documents(settings: Settings, conf: Path, out: Path) -> list[Path]:
    """Write tables.md, configuration.md and the schema of ``run --json`` into ``out``, schemas for editors into ``conf``/schema.

    Returns their paths.
    """
    texts = {out / "tables.md": dictionary(settings), out / "configuration.md": markdown(conf)}
    texts |= {out / "run_result.schema.json": schema_text()}
    texts |= {conf / "schema" / f"{name}.json": text for name, text in editor_schemas().items()}
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return list(texts)


def _by_table(settings: Settings) -> tuple[dict[str, str], dict[str, str]]:
    """Jobs that write and jobs that read each table, in the order of the flow."""
    jobs, contracts = flow(settings), tables(settings)
    written, read = {}, {}
    for table in contracts:
        writers = dict.fromkeys(job.name for job in jobs if table in job.writes)
        readers = dict.fromkeys(job.name for job in jobs if any(one.table == table for one in job.reads.values()))
        nobody = "the runner" if table == contracts.job_runs else "no job of this domain"
        written[table.name], read[table.name] = ", ".join(writers) or nobody, ", ".join(readers) or "people"
    return written, read


def _section(table: Table, writers: str, readers: str) -> list[str]:
    kind = "Log: rows are only added" if table.kind == "log" else f"Replaced by: {', '.join(table.replace_key)}"
    lines = [
        f"## {table.name}",
        "",
        f"{table.comment[0].upper()}{table.comment[1:]}.",
        "",
        f"- Key: {', '.join(table.keys)}. {kind}."
        + (f" Partitioned by: {', '.join(table.partitions)}." if table.partitions else ""),
        f"- Written by: {writers}. Read by: {readers}.",
    ]
    lines += ["- Rules: " + "; ".join(f"{name}: `{rule}`" for name, rule in table.rules.items()) + "."] if table.rules else []
    lines += ["", "| column | type | null | meaning |", "| --- | --- | --- | --- |"]
    for field in table.schema.fields:
        null = "yes" if field.nullable else "no"
        lines.append(f"| {field.name} | {field.dataType.simpleString()} | {null} | {_cell(field.metadata['comment'])} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
