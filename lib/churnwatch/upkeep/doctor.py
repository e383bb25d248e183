"""Check that a run has what it needs: programs, keys, folders, stores, servers, and a warehouse that is whole."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlparse

from churnwatch.alerts import DELIVERY_DAYS, dead_letters
from churnwatch.core import Table, day_range
from churnwatch.io import probes
from churnwatch.io.commits import is_local
from churnwatch.io.keys import key_finding, table_key_finding
from churnwatch.io.leases import Leases
from churnwatch.io.probes import Finding
from churnwatch.io.table_health import damage
from churnwatch.reading import INGEST, Step, span_list
from churnwatch.runner import Runner
from churnwatch.settings import Settings
from churnwatch.settings.rule_columns import absent_columns, absent_of_route

OLDEST_JAVA = 17  # major version
LETTER_DAYS = 30  # undelivered messages of these days are shown
RUNBOOK = 'Hint: docs/runbook.md, "A damaged table"'


def examine(settings: Settings, runner: Callable[[], Runner]) -> Iterator[Finding]:
    """Check each thing that a run needs; yields (good, text)."""
    java = _java()
    yield (
        java >= OLDEST_JAVA,
        f"Java {java or 'not found'}" + ("" if java >= OLDEST_JAVA else f"; install {OLDEST_JAVA} or newer"),
    )
    for jar in filter(None, str(settings.spark.get("spark.jars", "")).split(",")):
        yield Path(jar).exists(), f"JAR {jar}" + ("" if Path(jar).exists() else " is missing; run: make jars")
    yield key_finding(settings)
    yield table_key_finding(settings)
    folders = _folders(settings)
    yield from (probes.writable(what, folder) for what, folder in folders.items())
    yield from probes.free_space(folders.values())
    yield from _rules(settings)
    yield from (*probes.mail_server(settings), *probes.destinations(settings))
    if java < OLDEST_JAVA:
        return
    made = runner()
    yield from probes.versions(made.spark, settings)
    yield probes.log_store(settings)
    yield from probes.tables_writable(made.store, settings)
    yield from probes.spark_and_python(made.store, settings)
    yield probes.mlflow_server(made.spark, settings)
    for table in made.tables:
        if made.store.exists(table):
            yield readable(made, table)
    yield from _days(made)
    yield from dead_runs(settings)
    yield from unsent_messages(made)


def check_outputs(runner: Runner, steps: Iterable[Step]) -> Iterator[Finding]:
    """Check each thing that ``steps`` write to, or reach through a port; yields (good, text)."""
    settings, steps = runner.settings, list(steps)
    ports = {port for step in steps for port in step.job.ports}
    folders = _folders(settings)
    root = settings.storage.root
    if root and is_local(root):
        for name in dict.fromkeys(table.name for step in steps for table in step.job.writes):
            place = Path(urlparse(root).path) / name
            folders[f"table {name}"] = str(place)
            if (place / "_delta_log").exists():  # Delta writes data beside the log, and each commit into it
                folders[f"log of {name}"] = f"{place}/_delta_log"
    if "senders" not in ports:
        folders.pop("messages", None)
    yield from (probes.writable(what, folder) for what, folder in folders.items())
    yield from probes.free_space(folders.values())
    yield from probes.tables_writable(runner.store, settings)
    yield from probes.spark_and_python(runner.store, settings)
    if "senders" in ports:
        yield key_finding(settings)
        yield table_key_finding(settings)
        yield from (*probes.mail_server(settings), *probes.destinations(settings))
    if "models" in ports:
        yield probes.mlflow_server(runner.spark, settings)


def _folders(settings: Settings) -> dict[str, str]:
    """What is written into folders of this machine -> the folder."""
    outbox = settings.outbox_folder if settings.sending.kind == "file" else None
    places = {"tables": settings.storage.root, "files": settings.storage.files, "messages": outbox}
    return {what: urlparse(place).path for what, place in places.items() if place and is_local(place)}


def _rules(settings: Settings) -> Iterator[Finding]:
    for rule in settings.rules.rules:
        if absent := absent_columns(rule, settings):
            yield True, f"rule {rule.id} is off: there is no column {', '.join(absent)}"
    for number, route in enumerate(settings.owners.routing, 1):
        if absent := absent_of_route(route, settings):
            yield True, f"route {number} of owners.yaml is off: there is no column {', '.join(absent)}"


def readable(runner: Runner, table: Table) -> Finding:
    """Whether a stored table is whole, as its contract says, and laid out as configured."""
    store = runner.store
    try:
        path, version = store.path(table), store.version(table)
        if path and version is not None and is_local(path) and (faults := list(damage(path, version))):
            return False, f"{table.name}: cannot be read: {'; '.join(faults)}. {RUNBOOK}"
        differences = store.differences(table)
        store.read(table).limit(1).collect()
        stored = store.properties(table)
    except Exception as error:  # a broken snapshot can fail in many ways, and each is a finding
        return False, f"{table.name}: cannot be read: {str(error).splitlines()[0]}. {RUNBOOK}"
    if differences:
        return False, f"{table.name}: {'; '.join(differences)}; run: churnwatch migrate"
    for name, value in table.properties.items():
        if stored.get(name, value) != value:
            return False, f"{table.name}: {name} is {stored[name]} as stored and {value} in conf; rebuild it from its first day"
    return True, f"{table.name} version {version}"


def _days(runner: Runner) -> Iterator[Finding]:
    """Days that were never ingested or built between the first and the newest ingested one."""
    runner.ledger.refresh()
    ingested = runner.ledger.done_days(INGEST, None)
    if not ingested:
        yield True, "no day is ingested yet"
        return
    first, newest = min(ingested), max(ingested)
    lost = sorted(set(day_range(first, newest)) - ingested)
    hint = f"; {len(lost)} day(s) are missing: {span_list(lost)}. Hint: churnwatch run ingest_events" if lost else ""
    yield not lost, f"ingested: {first} .. {newest}{hint}"
    for job in runner.jobs:
        if any(table.complete for table in job.writes) and job.name != INGEST and job.scheduled:
            unbuilt = sorted(ingested - runner.ledger.done_days(job.full_name, None))
            if unbuilt:
                yield False, f"{job.full_name}: {span_list(unbuilt)} not built. Hint: churnwatch run {job.full_name}"


def dead_runs(settings: Settings) -> Iterator[Finding]:
    """Runs whose process has died, as far as this machine can tell at once."""
    if is_local(settings.storage.files):
        for lease in Leases(settings).dead():
            yield False, f"run {lease}: its process has died. Hint: run its days again, the new run takes the work over"


def unsent_messages(runner: Runner) -> Iterator[Finding]:
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
