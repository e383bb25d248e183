"""Check that a run has what it needs."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from churnwatch.alerts import DELIVERY_DAYS, dead_letters
from churnwatch.runner import Runner
from churnwatch.settings import Settings
from churnwatch.settings.rule_columns import absent_columns, absent_of_route

OLDEST_JAVA = 17  # major version
LETTER_DAYS = 30  # undelivered messages of these days are shown


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
