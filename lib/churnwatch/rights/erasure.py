"""Erase users: from every table and file, with a scan that proves it, and a list that keeps them out of later ingests."""

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch import claims
from churnwatch.core import ConfigError, JobFailed, Table, WriteConflict
from churnwatch.events.instants import BLANKS
from churnwatch.io.clock import now
from churnwatch.io.erasing import Match, TableRows
from churnwatch.io.keys import SHOWN_DIGITS, display_keys, keyed, keyed_id, lasting_table_key, table_key
from churnwatch.io.operator_log import record_action
from churnwatch.io.personal_files import LONG, TOKENS_AT_ONCE, PersonalFiles, Tokens
from churnwatch.io.store import Written
from churnwatch.runner import Runner
from churnwatch.settings.terms import DONE, ERASE
from churnwatch.versions import half_step_text

USER_COLUMNS = ("user_id", "unit")
# texts that may name a user among others: the name is replaced, the row stays
FREE_TEXTS = {
    "notifications": ("body",),
    "deliveries": ("detail",),
    "job_runs": ("message",),
    "alert_events": ("note", "lesson"),
}
LOG = logging.getLogger(__name__)


def read_requests(file: Path) -> tuple[str, ...]:
    """Return the user ids of a file: one a line, without blanks around them; a first line ``user_id`` is a heading.

    Raises ConfigError when the file cannot be read or names nobody.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as a text in UTF-8: {error}") from error
    ids = list(dict.fromkeys(one for line in lines if (one := line.strip(BLANKS).strip('"'))))
    if ids[:1] == ["user_id"]:
        ids = ids[1:]
    if not ids:
        raise ConfigError(f"{file}: names nobody. Hint: write one user id a line, as the source gives it")
    return tuple(ids)


@dataclass
class Found:
    """What is stored about the users of a request: rows by table, and files."""

    rows: dict[str, int] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    copies: int = 0

    def lines(self) -> Iterator[str]:
        """The findings for people."""
        for table, rows in self.rows.items():
            if rows:
                yield f"{table:<20} {rows:>12,} rows"
        if self.copies:
            yield f"{'copies':<20} {self.copies:>12,} folders of staged rows and drills"
        for file in self.files:
            yield str(file)

    @property
    def nothing(self) -> bool:
        """Whether nothing is left."""
        return not any(self.rows.values()) and not self.files and not self.copies


class Erasure:
    """The erasure of the users ``ids``, as the sources spell them, from one warehouse."""

    def __init__(self, runner: Runner, ids: Sequence[str]) -> None:
        self._runner, self._settings = runner, runner.settings
        self._store, self._tables = runner.store, runner.tables
        self._rows = TableRows(runner.spark, runner.store)
        self._files = PersonalFiles(runner.settings)
        key = lasting_table_key(self._settings)
        folds = any(source.ids.fold_case for source in self._settings.sources.events)
        spelled = list(dict.fromkeys([*ids, *(one.lower() for one in ids if folds)]))
        hashes = {one: keyed_id(one, key) for one in spelled}
        self._hashes = sorted(hashes.values())
        self.ids = sorted(hashes.values() if self._settings.privacy.pseudonymise else spelled)
        shown = [keyed_id(one, display) for display in display_keys(self._settings) for one in self.ids]
        self._shown = sorted(shown)
        self._tokens = Tokens(tuple(self.ids), tuple(one[:SHOWN_DIGITS] for one in self._shown))

    def find(self, tokens: Tokens | None = None) -> Found:
        """Look through every table and file; nothing is changed. ``tokens``: in place of those that the tables name now."""
        self._store.refresh()
        found = Found(copies=len(self._files.copies()), files=self._files.find(tokens or self._all_tokens()))
        for table, matches in [*self._own_rows(), *self._free_texts()]:
            found.rows[table.name] = found.rows.get(table.name, 0) + self._rows.count(table, matches)
        return found

    def run(self, who: str) -> tuple[str, Found]:
        """Erase; return the id of the erasure, and what was erased.

        The list of erased users comes first: an ingest that runs after a crash of this command brings nobody back. A second
        run completes the first. No other run starts meanwhile. Raises WriteConflict while other runs are live, and when a step
        broke off after it had written one of the tables; JobFailed with what the scan at the end found.
        """
        self._store.create([self._tables.job_runs, self._tables.suppressions, self._tables.erasures])
        erasure, ledger, leases = uuid.uuid4().hex, self._runner.ledger, self._runner.leases
        today = now().date()
        claims.take(ledger, leases, claims.Claim(erasure, ERASE, "", today, (today,), ()))
        try:
            found, written = self._erase(erasure, who)
            # recorded as a step does, so that readers take the versions without these users
            ledger.write(erasure, ERASE, "", today, DONE, (), outputs=written)
        except BaseException as error:
            # without the error's text, which may name users
            ledger.write(erasure, ERASE, "", today, claims.ending(error), (), message=type(error).__name__)
            raise
        finally:
            claims.close(self._store, ledger, leases)
        return erasure, found

    def _erase(self, erasure: str, who: str) -> tuple[Found, list[Written]]:
        """Erase; return what was found, and the versions of the tables that changed."""
        self._store.refresh()
        tokens, at = self._all_tokens(), now()
        found = self.find(tokens)
        self._refuse_half_steps()
        self._suppress(erasure, at)
        # files first: the tables say which warnings were about the users, also after a crash between the two
        files = self._files.erase(tokens)
        changed: dict[str, int] = {}
        for table, matches in list(self._own_rows()):
            if found.rows[table.name]:
                changed[table.name] = self._rows.delete(table, matches)
                LOG.info("erased %s rows of %s", changed[table.name], table.name)
        for table, matches in self._free_texts():
            if masked := self._rows.mask(table, matches):
                changed[table.name] = changed.get(table.name, 0) + masked
        versions = {name: self._store.newest(self._tables[name]) for name in changed}
        outputs = [{"table": name, "version": versions[name], "rows": rows} for name, rows in changed.items()]
        left = self.find(tokens)
        if not left.nothing:
            raise JobFailed(
                "users of the request are still named after the erasure:\n"
                + "\n".join(f"  {line}" for line in left.lines())
                + "\nHint: remove these files by hand, or wait for other runs to end; then run the command again"
            )
        row = {"day": at.date(), "erasure_id": erasure, "step": "erased", "at": now(), "who": who}
        row |= {"users": len(self._hashes), "tables": outputs, "files": files, "physically_gone_on": None}
        self._store.append_rows(self._tables.erasures, [row], {"erasure": erasure})
        self._store.create([self._tables.operator_actions])
        record_action(self._store, self._tables.operator_actions, "erase", erasure, f"{len(self._hashes)} user(s)", who)
        return found, [Written(name, version, 0) for name, version in versions.items() if version is not None]

    def _all_tokens(self) -> Tokens:
        """What stands for the users in files: besides ids and hashes the ids of warnings about them, by which people answer."""
        return Tokens((*self._tokens.ids, *self._alert_ids()), self._tokens.hashes)

    def _alert_ids(self) -> tuple[str, ...]:
        alerts = self._tables.risk_alerts
        if not self._store.exists(alerts):
            return ()
        return self._rows.values(alerts, [Match("user_id", tuple(self.ids))], "alert_id")

    def _suppress(self, erasure: str, at: datetime) -> None:
        """Add the users to the list of erased ones, those that are not on it."""
        known = self._rows.values(self._tables.suppressions, [Match("user_hash", tuple(self._hashes))], "user_hash")
        rows: list[Mapping[str, Any]] = [
            {"day": at.date(), "user_hash": one, "erasure_id": erasure, "at": at} for one in self._hashes if one not in known
        ]
        if rows:
            self._store.append_rows(self._tables.suppressions, rows, {"erasure": erasure})

    def _refuse_half_steps(self) -> None:
        """Raise WriteConflict for tables of which readers take an older version than the newest one, which is erased."""
        ledger, tables = self._runner.ledger, {table.name: table for table, _ in self._own_rows()}
        if faults := [text for table in tables.values() if (text := half_step_text(ledger, self._store, table))]:
            listed = "\n".join(f"  {fault}" for fault in faults)
            raise WriteConflict(f"steps broke off, and readers take older versions of their tables; nothing was erased\n{listed}")

    def _own_rows(self) -> Iterator[tuple[Table, list[Match]]]:
        """Yield each stored table that has rows about these users alone, and how they are found.

        Tables whose rows are found through others come first, because the others are deleted too.
        """
        ids, shown = tuple(self.ids), tuple(self._shown)
        stored = {table.name: table for table in self._tables if self._store.exists(table)}
        if (messages := stored.get("notifications")) is not None:
            own = [Match("destination", shown), Match("user_id", ids)]
            if "deliveries" in stored:
                yield stored["deliveries"], [Match("message_id", self._rows.values(messages, own, "message_id"))]
            yield messages, own
        if "risk_alerts" in stored and "alert_events" in stored:
            yield stored["alert_events"], [Match("alert_id", self._alert_ids())]
        if "rejected_events" in stored:
            yield stored["rejected_events"], [Match("raw", _words(ids), within=True)]
        for table in stored.values():
            for name in USER_COLUMNS:
                if name in table.schema.names and table.name != "notifications":
                    yield table, [Match(name, ids)]

    def _free_texts(self) -> Iterator[tuple[Table, list[Match]]]:
        """Yield each stored table with texts that may name these users among others; short ids are left out, because they may
        be any number or word."""
        words = _words([*(one for one in self.ids if len(one) >= LONG), *self._tokens.hashes])
        for name, columns in FREE_TEXTS.items():
            table = self._tables[name]
            if self._store.exists(table):
                yield table, [Match(one, words, within=True) for one in columns if one in table.schema.names]


def _words(texts: Sequence[str]) -> tuple[str, ...]:
    """Return regular expressions of Java that find one of ``texts``, not as a part of a longer word."""
    quoted = ["\\Q" + text.replace("\\E", "\\E\\\\E\\Q") + "\\E" for text in texts]
    parts = ["|".join(quoted[start : start + TOKENS_AT_ONCE]) for start in range(0, len(quoted), TOKENS_AT_ONCE)]
    return tuple(rf"(?<![\w-])(?:{part})(?![\w-])" for part in parts)


def verify(runner: Runner) -> Iterator[tuple[bool, str]]:
    """Yield, for each erasure, whether it still holds and what was found; a row ``gone`` is added once no old file is left.

    - no table holds a user of the list of erased ones,
    - the data files that the erasure replaced do not exist any more.
    """
    store, contracts = runner.store, runner.tables
    if not store.exists(contracts.erasures):
        yield True, "nobody was erased"
        return
    erased = store.read(contracts.suppressions).select(F.col("user_hash").alias("hash")).distinct()
    for table in contracts:
        column = next((name for name in USER_COLUMNS if name in table.schema.names), None)
        if column and store.exists(table):
            back = _erased_rows(store.read(table).select(F.col(column).alias("hash")), erased, runner).count()
            if back:
                yield False, f"{table.name}: {back:,} users of the list of erased ones. Hint: erase them again"
    for line in _old_files(runner):
        yield True, line


def _old_files(runner: Runner) -> Iterator[str]:
    """Say for each erasure which old files with its rows are left; add a row ``gone`` once there are none."""
    store, contracts = runner.store, runner.tables
    rows, stored = TableRows(runner.spark, store), store.read(contracts.erasures).collect()
    gone = {row["erasure_id"] for row in stored if row["step"] == "gone"}
    for row in sorted((row for row in stored if row["step"] == "erased"), key=lambda row: row["at"]):
        left = {t["table"]: rows.old_files(contracts[t["table"]], t["version"]) for t in row["tables"]}
        about = f"{row['erasure_id']} of {row['day']}: rows are deleted"
        if any(left.values()):
            kept = ", ".join(f"{name} ({files} files)" for name, files in left.items() if files)
            yield f"{about}; old files are kept for now: {kept}. Hint: churnwatch maintain removes them when they are old"
        elif None in left.values():
            yield f"{about}; whether old files are left cannot be looked at from here. Hint: VACUUM removes them"
        else:
            if row["erasure_id"] not in gone:
                store.append_rows(contracts.erasures, [_gone(row.asDict(recursive=True), now())], {"erasure": row["erasure_id"]})
            yield f"{about}, and no file with them is left"


def _gone(row: Mapping[str, Any], at: datetime) -> Mapping[str, Any]:
    today: date = at.date()
    return {**row, "day": today, "step": "gone", "at": at, "physically_gone_on": today}


def _erased_rows(rows: DataFrame, erased: DataFrame, runner: Runner) -> DataFrame:
    users = rows.where("hash IS NOT NULL").distinct()
    hashed = users if runner.settings.privacy.pseudonymise else keyed(users, "hash", table_key(runner.settings))
    return hashed.join(F.broadcast(erased), "hash", "left_semi")
