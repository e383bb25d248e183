"""What a step would read and replace, without writing anything."""

import uuid
from typing import TYPE_CHECKING

from churnwatch.core import DataQualityError, Refused, Skipped
from churnwatch.publishing import replaced
from churnwatch.reading import Step
from churnwatch.staleness import done_around, find_scope
from churnwatch.steps import Outcome

if TYPE_CHECKING:
    from churnwatch.runner import Runner


def expected(runner: "Runner", step: Step) -> Outcome:
    """What the step would read and replace. Rows are counted only for jobs that need no port but sources."""
    step = runner.chooser.with_history(step)
    if not step.days:
        return Outcome(step, "would skip", message="no output day lies in the ingested history")
    job, lines = step.job, []
    for alias, read in job.reads.items():
        first, last = read.span.days(step.days[0], step.days[-1])
        span = f"{first or 'beginning'} .. {min(last, runner.reader.known(step, read))}"
        lines.append(f"reads {alias}: {read.table.name} version {runner.reader.version(read.table)}, {span}")
    rows: dict[str, int | str] = {table.name: "rows not known before it runs" for table in job.writes}
    if set(job.ports) <= {"sources"}:
        rows |= _rows(runner, step)
    for table in job.writes:
        text = f"{rows[table.name]:,} rows" if isinstance(rows[table.name], int) else rows[table.name]
        what = "adds to" if table.kind == "log" else f"replaces {replaced(step, table.name)} of"
        lines.append(f"{what} {table.name}: {text}")
    return Outcome(step, "would run", message="\n".join(lines))


def _rows(runner: "Runner", step: Step) -> dict[str, int | str]:
    lease = uuid.uuid4().hex
    folder = f"{lease}-dry"
    if step.job.stage:
        runner.leases.hold(lease)  # without it, any other run would remove the staged rows
    try:
        runner.reader.stop_on_missing_days(step)
        inputs = {alias: runner.reader.cut(step, read) for alias, read in step.job.reads.items()}
        ports = runner.ports(step.job, "dry", "dry")
        scope, scoped = find_scope(step, inputs, ports, runner.ledger, runner.reader)
        if step.job.stage:
            # staged as in a run, because the files would be read again for each table
            staged = step.job.stage(inputs, scope.days, **ports, **scoped)
            inputs |= {alias: runner.store.stage(folder, alias, frame) for alias, frame in staged.items()}
            ports = {}
        if step.job.narrow:
            scope = step.job.narrow(inputs, scope, done_around(step, runner.ledger)[0])
            scoped = {"scope": scope}
        if step.job.gate:
            step.job.gate(inputs, scope.days, **scoped)
        return {name: frame.count() for name, frame in step.job.build(inputs, scope.days, **ports, **scoped).items()}
    except (Skipped, Refused, DataQualityError) as rightly:
        return {table.name: str(rightly) for table in step.job.writes}
    finally:
        if step.job.stage:
            runner.store.drop_stage(folder)
            runner.leases.release(lease)
