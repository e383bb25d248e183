"""Keep a warehouse from growing without end: delete old rows and files, join small files, remove old versions of tables."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

from churnwatch.claims import end_dead, living
from churnwatch.core import ChurnwatchError, Table, first_kept_day, to_ranges
from churnwatch.io.leases import lease_of
from churnwatch.io.ledger import Run
from churnwatch.io.models import Models, is_there
from churnwatch.io.old_files import find_old_files
from churnwatch.io.operator_log import record_action
from churnwatch.io.table_upkeep import TableUpkeep, check_hours
from churnwatch.reading import INGEST
from churnwatch.rights.erasure import verify
from churnwatch.runner import Runner
from churnwatch.versions import half_step_text

HOURS = 24  # of a day
Line = tuple[bool, str]  # whether it went well, and what was done, or would be


def maintain(runner: Runner, dry_run: bool, who: str | None = None) -> Iterator[Line]:
    """Do, or with ``dry_run`` only name, everything that is due; yield (good, text) for each thing.

    What fails, because a run writes the table at this moment for example, is a bad line, and the rest goes on. What was done
    becomes a row of operator_actions, with ``who``. Raises ConfigError, before anything is done, when files would be removed
    that a run may still need.
    """
    done = []
    for good, text in Maintenance(runner, dry_run).lines():
        done += [text] if good else []
        yield good, text
    if done and not dry_run:
        record_action(runner.store, runner.tables.operator_actions, "maintain", "warehouse", "\n".join(done), who)


@dataclass
class Maintenance:
    """One pass of upkeep over the warehouse of ``runner``."""

    runner: Runner
    dry_run: bool

    def __post_init__(self) -> None:
        self._conf = self.runner.settings.maintenance
        self._upkeep = TableUpkeep(self.runner.store)
        self.runner.store.refresh()
        self.runner.ledger.refresh()
        if not self.dry_run:
            end_dead(self.runner.ledger, self.runner.leases)

    def lines(self) -> Iterator[Line]:
        """Yield (good, text) for each thing that is due."""
        hours, longest = self._conf.keep_versions_days * HOURS, self._longest_run_hours()
        check_hours(hours, longest)
        ingested = self.runner.ledger.done_days(INGEST, None)
        stored = [table for table in self.runner.tables if self.runner.store.exists(table)]
        for lines in (
            self._old_rows(stored, max(ingested, default=None), sorted(ingested)),
            self._small_files(stored),
            self._old_versions(stored, hours, longest),
            self._erasures(),
            self._old_files(max(ingested, default=None)),
            self._old_attempts(),
        ):
            yield from lines

    def _live(self) -> list[Run]:
        return living(self.runner.ledger, self.runner.leases)

    def _longest_run_hours(self) -> float:
        """Hours of the longest run that has ended or is under way."""
        runs = self.runner.tables.job_runs
        ended = self.runner.store.read(runs).agg({"seconds": "max"}).collect()[0][0] or 0.0
        under_way = ((datetime.now(UTC) - run.started_at).total_seconds() for run in self._live())
        return max(ended, *under_way, 0.0) / 3600

    def _old_rows(self, stored: list[Table], newest: date | None, ingested: list[date]) -> Iterator[Line]:
        for table in stored if newest else ():
            first = first_kept_day(table, newest or date.max, (day for day in ingested if day.day == 1))
            if first is None or not (rows := self._upkeep.rows_before(table, first)):
                continue
            text = f"{table.name}: {self._did('delete', 'deleted')} {rows:,} rows of days before {first}"
            yield self._done(text, partial(self._upkeep.delete_before, table, first))

    def _small_files(self, stored: list[Table]) -> Iterator[Line]:
        for table in stored:
            small = self._upkeep.small_files(table, self._conf.join_from_files)
            if not small.files:
                continue
            days = f" of {len(small.days)} day(s), {_ranges(small.days)}" if small.days else ""
            text = f"{table.name}: {self._did('join', 'joined')} {small.files:,} files{days}"
            yield self._done(text, partial(self._upkeep.join, table, small.days))

    def _old_versions(self, stored: list[Table], hours: int, longest: float) -> Iterator[Line]:
        for table in stored:
            files = self._upkeep.old_files(table, hours)
            if files == 0:
                continue
            # readers take the version before the step that broke off: its files must stay
            if half := half_step_text(self.runner.ledger, self.runner.store, table):
                yield False, f"{table.name}: old versions are left as they are: {half}"
                continue
            some = "" if files is None else f"up to {files:,} "
            what = f"{some}files that no version of the last {hours // HOURS} days has"
            text = f"{table.name}: {self._did('remove', 'removed')} {what}"
            yield self._done(text, partial(self._upkeep.remove_old_files, table, hours, longest))

    def _erasures(self) -> Iterator[Line]:
        """Prove of erasures that no old file is left, once the files of old versions are removed."""
        store, erasures = self.runner.store, self.runner.tables.erasures
        if self.dry_run or not store.exists(erasures):
            return
        steps = {(row["erasure_id"], row["step"]) for row in store.read(erasures).select("erasure_id", "step").collect()}
        if any((erasure, "gone") not in steps for erasure, _ in steps):
            store.refresh()
            yield from verify(self.runner)

    def _old_files(self, newest: date | None) -> Iterator[Line]:
        live = {lease_of(run.run_id) for run in self._live()}
        for old in find_old_files(self.runner.settings, newest, live):
            text = f"{old.kind}: {self._did('delete', 'deleted')} {len(old.entries):,} old entries ({old.megabytes:,.1f} MB)"
            yield self._done(text, old.delete)

    def _old_attempts(self) -> Iterator[Line]:
        if not is_there(self.runner.settings):
            return
        models = Models(self.runner.spark, self.runner.settings, "maintain")
        days = self._conf.keep_attempts_days
        try:
            found = models.unreleased_attempts(datetime.now(UTC) - timedelta(days=days))
        except ChurnwatchError as error:
            yield False, f"attempts in MLflow: {_first_line(error)}"
            return
        if found:
            what = f"{len(found)} of more than {days} days ago that were not released"
            text = f"attempts in MLflow: {self._did('delete', 'deleted')} {what}"
            yield self._done(text, partial(models.delete_attempts, found))

    def _did(self, infinitive: str, past: str) -> str:
        return f"would {infinitive}" if self.dry_run else past

    def _done(self, text: str, action: Callable[[], object]) -> Line:
        if self.dry_run:
            return True, text
        try:
            action()
        except Exception as error:  # of Delta or the file system; the next run of maintain tries again
            return False, f"{text.split(':')[0]}: left as it is: {_first_line(error)}"
        return True, text


def _ranges(days: tuple[date, ...]) -> str:
    ranges = [str(a) if a == b else f"{a} .. {b}" for a, b in to_ranges(days)]
    return ", ".join(ranges[:3]) + (f" and {len(ranges) - 3} more ranges" if len(ranges) > 3 else "")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
