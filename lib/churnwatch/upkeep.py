"""Maintain a warehouse: find and rebuild stale days, migrate tables, and check that a run has what it needs."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from pyspark.sql.types import DataType

from churnwatch.alerts import DELIVERY_DAYS, dead_letters
from churnwatch.core import ConfigError, Job, Read, Table, day_range, new_fields, to_ranges
from churnwatch.reading import INGEST
from churnwatch.runner import Order, Outcome, Runner
from churnwatch.settings import Settings
from churnwatch.settings.rule_columns import absent_columns, absent_of_route

OLDEST_JAVA = 17  # major version
RULE = "delta.constraints."  # Delta stores a rule as a table property with this prefix
LETTER_DAYS = 30  # undelivered messages of these days are shown
Ended = Mapping[str, Mapping[date, tuple[datetime, datetime]]]


def stale(runner: Runner) -> list[tuple[Job, tuple[date, ...]]]:
    """Jobs with output days that are older than their inputs, in flow order. A job that reads a stale day is stale too."""
    runner.store.refresh()
    runner.ledger.refresh()
    ended: Ended = {job.full_name: runner.ledger.written_at(job.full_name) for job in runner.jobs}
    found: list[tuple[Job, tuple[date, ...]]] = []
    old: dict[str, set[date]] = {}
    for job in runner.jobs:
        if job.name == INGEST or not job.scheduled:
            continue
        days = old[job.full_name] = set()
        for day, (started, _) in sorted(ended[job.full_name].items()):
            if any(_changed(runner, job, read, day, started, ended, old) for read in job.reads.values()):
                days.add(day)
        if days:
            found.append((job, tuple(sorted(days))))
    return found


def _changed(
    runner: Runner,
    job: Job,
    read: Read,
    day: date,
    started: datetime,
    ended: Ended,
    old: Mapping[str, set[date]],
) -> bool:
    first, last = read.span.days(day, day)
    for producer in runner.jobs:
        # the output of daily jobs, which are decisions, makes no day stale
        if read.table not in producer.writes or producer.mode == "daily":
            continue
        if producer == job:
            # the state of earlier days: later days are built again after them
            if any(d < day and (began > started or d in old[job.full_name]) for d, (began, _) in ended[job.full_name].items()):
                return True
            continue
        # rows that were not known when the day was built do not make it stale
        known = min(last, day + timedelta(days=job.lag_days - producer.lag_days))
        for d, (_, at) in ended[producer.full_name].items():
            within = d == day if read.span.as_of else (first is None or first <= d) and d <= known
            if within and (at > started or d in old.get(producer.full_name, ())):
                return True
    return False


def rebuild_stale(runner: Runner, order: Order) -> list[Outcome]:
    """Rebuild the stale days of range jobs and of the page within the order's days. Decisions are facts: they stay."""
    outcomes = []
    days_of_order = set(day_range(order.first, order.last))
    for job, days in stale(runner):
        wanted = tuple(d for d in days if d in days_of_order)
        if wanted and (job.mode == "range" or job.name == "render_report"):
            outcomes += runner.rebuild(job, wanted, order.dry_run)
    return outcomes


def migrate(runner: Runner, dry_run: bool) -> Iterator[str]:
    """Create missing tables, add new nullable columns, replace changed rules and comments; yield a line for each change.

    Raises ConfigError, before anything is changed, for a change that cannot be made in place: another type of a column, other
    buckets.
    """
    faults: list[str] = []
    plans: list[tuple[Table, dict[str, DataType] | None]] = []
    rules: list[tuple[Table, list[str]]] = []
    for table in runner.tables:
        if not runner.store.exists(table):
            plans.append((table, None))
            continue
        stored = {f.name: f.dataType for f in runner.store.stored_schema(table).fields}
        new: dict[str, DataType] = {}
        for f in table.schema.fields:
            more = new_fields(stored[f.name], f.dataType, f.name) if f.name in stored else {f.name: f.dataType}
            if more is None:
                was = stored[f.name].simpleString()
                faults.append(f"{table.name}.{f.name} is stored as {was}, the contract says {f.dataType.simpleString()}")
            new |= more or {}
        properties = runner.store.properties(table)
        faults += [
            f"{table.name}: {name} is {properties[name]} as stored and {value} in conf; rebuild the table from its first day"
            for name, value in table.properties.items()
            if properties.get(name, value) != value
        ]
        if new:
            plans.append((table, new))
        if changed := _changed_rules(table, properties):
            rules.append((table, changed))
    if faults:
        raise ConfigError("cannot migrate, nothing was changed:\n" + "\n".join(f"  {fault}" for fault in faults))
    lines = chain(_migrated(runner, plans, dry_run), _with_rules(runner, rules, dry_run), _with_comments(runner, dry_run))
    yield next(lines, "every table is as its contract says")
    yield from lines


def _with_rules(runner: Runner, rules: list[tuple[Table, list[str]]], dry_run: bool) -> Iterator[str]:
    for table, changed in rules:
        if not dry_run:
            runner.store.set_rules(table, changed)
        yield f"{table.name}: rules {'would be ' if dry_run else ''}set: {', '.join(changed)}"


def _with_comments(runner: Runner, dry_run: bool) -> Iterator[str]:
    for table in runner.tables:
        if runner.store.exists(table) and (outdated := runner.store.outdated_comments(table)):
            if not dry_run:
                runner.store.set_comments(table, outdated)
            yield f"{table.name}: comments {'would be ' if dry_run else ''}set of {len(outdated)} column(s)"


def _changed_rules(table: Table, properties: Mapping[str, str]) -> list[str]:
    """Names of rules that are stored with another text than the contract's. Blanks are ignored, because Delta changes them."""
    stored = {key.removeprefix(RULE): "".join(text.split()) for key, text in properties.items() if key.startswith(RULE)}
    wanted = {name.lower(): "".join(rule.split()) for name, rule in table.rules.items()}
    return sorted(name for name in stored.keys() | wanted.keys() if stored.get(name) != wanted.get(name))


def _migrated(runner: Runner, plans: list[tuple[Table, dict[str, DataType] | None]], dry_run: bool) -> Iterator[str]:
    for table, new in plans:
        if new is None:
            if not dry_run:
                runner.store.create([table])
            yield f"{table.name}: {'would be ' if dry_run else ''}created"
            continue
        if not dry_run:
            runner.store.add_columns(table, new)
        writers = [job for job in runner.jobs if table in job.writes]
        runner.ledger.refresh()
        days = sorted({d for job in writers for d in runner.ledger.done_days(job.full_name)})
        ranges = ", ".join(f"{a} .. {b}" for a, b in to_ranges(days)) or "none"
        yield f"{table.name}: {'would add' if dry_run else 'added'} {', '.join(new)}; days to rebuild: {ranges}"


def examine(settings: Settings, runner: Callable[[], Runner]) -> Iterator[tuple[bool, str]]:
    """Check each thing that a run needs; yields (good, text)."""
    java = _java()
    yield (
        java >= OLDEST_JAVA,
        f"Java {java or 'not found'}" + ("" if java >= OLDEST_JAVA else f"; install {OLDEST_JAVA} or newer"),
    )
    for jar in filter(None, str(settings.spark.get("spark.jars", "")).split(",")):
        yield Path(jar).exists(), f"JAR {jar}" + ("" if Path(jar).exists() else " is missing; run: make jars")
    targets = {"tables": settings.storage.root, "files": settings.storage.files, "messages": settings.sending.folder}
    for what, folder in targets.items():
        if folder and "://" not in folder:
            good = _writable(Path(folder))
            yield good, f"{what} in {folder}: {'' if good else 'not '}writable"
    for rule in settings.rules.rules:
        if absent := absent_columns(rule, settings):
            yield True, f"rule {rule.id} is off: there is no column {', '.join(absent)}"
    for number, route in enumerate(settings.owners.routing, 1):
        if absent := absent_of_route(route, settings):
            yield True, f"route {number} of owners.yaml is off: there is no column {', '.join(absent)}"
    if java < OLDEST_JAVA:
        return
    made = runner()
    for table in made.tables:
        if made.store.exists(table):
            yield _readable(made, table)
    yield from _dead_letters(made)


def _dead_letters(runner: Runner) -> Iterator[tuple[bool, str]]:
    """Messages of the last LETTER_DAYS days that could not be delivered; bounded by days and destinations."""
    notifications, deliveries = (runner.tables.notifications, runner.tables.deliveries)
    if not (runner.store.exists(notifications) and runner.store.exists(deliveries)):
        return
    newest = runner.store.read(notifications).agg({"day": "max"}).collect()[0][0]
    if newest is None:
        return
    since = f"day >= DATE'{newest - timedelta(days=LETTER_DAYS)}'"
    frames = runner.store.read(notifications, since), runner.store.read(deliveries, since)
    tried_since = newest - timedelta(days=DELIVERY_DAYS)
    dead = dead_letters(*frames, runner.settings.sending, tried_since)
    for row in dead.orderBy("day", "destination", "kind").collect():
        what = f"{row['messages']} {row['kind']} message(s) of {row['day']} to {row['destination']} were not sent"
        yield False, f"{what}: {row['detail']}"


def _java() -> int:
    """Major version of the Java on the path; 0 when there is none."""
    java = shutil.which("java")
    printed = subprocess.run([java, "-version"], capture_output=True, text=True).stderr if java else ""
    found = re.search(r'version "(?:1\.)?(\d+)', printed)
    return int(found[1]) if found else 0


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError:
        return False
    return True


def _readable(runner: Runner, table: Any) -> tuple[bool, str]:
    try:
        differences = runner.store.differences(table)
        runner.store.read(table).limit(1).collect()
    except Exception as error:  # a broken snapshot can fail in many ways, and each is a finding
        return False, f"{table.name}: cannot be read: {str(error).splitlines()[0]}"
    if differences:
        return False, f"{table.name}: {'; '.join(differences)}; run: churnwatch migrate"
    return True, f"{table.name} version {runner.store.version(table)}"
