"""Versions of tables that runs have recorded in job_runs: which ones a reader takes, and which output days are out of date."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from churnwatch.core import ConfigError, Job, Read, Table
from churnwatch.io.ledger import Ledger, Run
from churnwatch.io.store import Store
from churnwatch.settings.terms import ALL, DONE

Days = Mapping[date, Run]


class History:
    """Runs by job and output day: the newest one, and the newest one that was done."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.newest: dict[str, dict[date, Run]] = {}
        self.done: dict[str, dict[date, Run]] = {}
        self.first: dict[str, dict[date, Run]] = {}  # the first run that was done
        for run in sorted(runs, key=lambda r: r.started_at):
            self.newest.setdefault(run.full_name, {}).update(dict.fromkeys(run.days, run))
            if run.status == DONE:
                self.done.setdefault(run.full_name, {}).update(dict.fromkeys(run.days, run))
                self.first[run.full_name] = {**dict.fromkeys(run.days, run), **self.first.get(run.full_name, {})}

    def is_kept(self, job: Job, day: date, jobs: Sequence[Job]) -> bool:
        """Whether ``--resume`` leaves the output day as it is: it is current, or was decided, on whatever data was known then.

        What was decided before the decisions of its day that it follows were first made, such as offers of a day whose scoring
        had been refused, is decided now.
        """
        run = self.newest.get(job.full_name, {}).get(day)
        if run is None or run.status != DONE or not job.decides:
            return self.is_current(job, day, jobs)
        firsts = (self.first.get(other.full_name, {}).get(day) for other in _decided_before(job, jobs))
        return all(first is None or first.started_at <= run.started_at for first in firsts)

    def is_current(self, job: Job, day: date, jobs: Sequence[Job]) -> bool:
        """Whether the newest run of the output day was done, and read what the jobs that it reads have written since.

        Jobs that only a command runs are left out: an acknowledgement makes no output day out of date. Versions are compared and
        not instants, because clocks of machines differ.
        """
        run = self.newest.get(job.full_name, {}).get(day)
        if run is None or run.status != DONE:
            return False
        for read in job.reads.values():
            for producer in jobs:
                if producer.scheduled and read.table in producer.writes and self._is_newer(producer, read, job, day, run):
                    return False
        return True

    def _is_newer(self, producer: Job, read: Read, job: Job, day: date, run: Run) -> bool:
        """Whether ``producer`` has written days of the span, as they were known on the run day, after ``run`` read the table."""
        first, last = read.span.days(day, day)
        last = min(last, day + timedelta(days=job.lag_days - producer.lag_days))
        if producer == job:
            last = min(last, day - timedelta(days=1))  # its own rows of the day are what the run wrote
        seen = run.read.get(read.table.name, -1)
        return any(
            (first is None or first <= d)
            and d <= last
            and other.run_id != run.run_id
            # a run that read no stored table has recorded no version: it is older than any
            and other.wrote.get(read.table.name, -1) > seen
            for d, other in self.done.get(producer.full_name, {}).items()
        )


def _decided_before(job: Job, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that decide and whose tables ``job`` reads, directly or through such jobs. A log holds what was decided before."""
    found: list[Job] = []
    for one in jobs[: jobs.index(job)][::-1]:
        read = {read.table.name for later in (job, *found) for read in later.reads.values() if read.table.kind != "log"}
        if one.decides and any(table.name in read for table in one.writes):
            found.append(one)
    return found


def complete_version(ledger: Ledger, store: Store, table: Table, newest: int) -> int:
    """The newest version of ``table``, at most ``newest``, that holds no commit of a step which has not ended as done.

    A step writes several tables in several commits. While it runs, and when it broke off or failed after one of them, readers
    take the version before its first commit. Commits that no step made, such as OPTIMIZE, are taken with the rest. A log is
    read at its newest version, because each of its rows is a fact: a message that was sent stays sent.
    """
    half = half_step(ledger, store, table, newest)
    return newest if half is None else max(half[0] - 1, 0)


def half_step(ledger: Ledger, store: Store, table: Table, newest: int) -> tuple[int, str] | None:
    """The first commit of ``table``, up to version ``newest``, of a step that has not ended as done: version and run_id."""
    recorded = ledger.recorded(table.name)
    if table.kind == "log" or recorded == newest:
        return None
    first = 0 if recorded is None or recorded > newest else recorded + 1
    half = None
    for version, stamp in reversed(store.commits_from(table, first)):
        run_id = stamp.get("run_id")
        if version > newest or not run_id:
            continue
        if ledger.is_done(run_id, date.fromisoformat(stamp["day"]) if "day" in stamp else None):
            break  # a newer run than those that the ledger knew: what was committed before it is whole, or was written again
        half = version, run_id
    return half


def half_step_text(ledger: Ledger, store: Store, table: Table) -> str | None:
    """Say which step broke off after it had written ``table``, and how to end it; null when readers take the newest version."""
    newest = store.newest(table)
    if newest is None or (half := half_step(ledger, store, table, newest)) is None:
        return None
    version, run_id = half
    run = next((run for run in ledger.runs(None) if run.run_id == run_id), None)
    text = f"{table.name}: version {version} was written by run {run_id}, which has not ended as done"
    if run is None:
        return f"{text}. Hint: build the newest day of the table again"
    command = f"all --day {run.day} --resume" if "-" in run_id else f"{run.full_name} --day {run.day}"
    return f"{text}. Hint: churnwatch run {command}"


def of_run(ledger: Ledger, run_id: str) -> dict[str, int]:
    """Version of each table in the row ``all`` of the run. Raises ConfigError when there is no such run, or when it failed."""
    whole = [run for run in sorted(ledger.runs(None), key=lambda r: r.at) if run.job == ALL]
    runs = [run for run in whole if run.run_id == run_id]
    if not runs or runs[0].status != DONE or not runs[0].wrote:
        known = [run.run_id for run in whole if run.status == DONE and run.wrote]
        found = f"ended as {runs[0].status}" if runs else "is not in job_runs"
        raise ConfigError(
            f"--as-of-run {run_id}: such a run of the whole flow {found}. Hint: name one that was done, such as "
            f"{', '.join(known[-3:]) or 'the run_id that `churnwatch run all` prints; there is none yet'}"
        )
    return dict(runs[0].wrote)


def current_versions(ledger: Ledger, store: Store, jobs: Iterable[Job]) -> dict[str, int]:
    """The version that a reader takes now, of each stored table that ``jobs`` write."""
    written = {table.name: table for job in jobs for table in job.writes}
    newest = {name: store.version(table) for name, table in written.items()}
    return {
        name: complete_version(ledger, store, written[name], version) for name, version in newest.items() if version is not None
    }
