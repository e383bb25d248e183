"""Send what runs read and wrote to a lineage server, as events of OpenLineage."""

import logging
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from churnwatch.core import JobFailed
from churnwatch.io.ledger import Run
from churnwatch.settings.terms import DONE, FAILED

LOG = logging.getLogger(__name__)
PRODUCER = "churnwatch"


def send_lineage(namespace: str, run_id: str, runs: Sequence[Run], client: Any = None) -> int:
    """Send two events, start and end, of each run that was done or failed; return the number of events.

    ``namespace``: that of jobs and tables. ``run_id``: the call of ``churnwatch run`` to which the runs belong. The receiver is
    what openlineage-python finds: OPENLINEAGE_URL, or a file openlineage.yml. A receiver that is down is logged, and stops
    nothing. Raises JobFailed where the package is not installed.
    """
    try:
        from openlineage.client import OpenLineageClient
    except ImportError as error:
        raise JobFailed(
            "lineage.namespace is set, and openlineage-python is missing: pip install 'churnwatch[lineage]'"
        ) from error
    client, sent = client or OpenLineageClient(), 0
    try:
        for event in (event for run in runs for event in _events(namespace, run_id, run)):
            client.emit(event)
            sent += 1
    except Exception as error:  # the receiver may be down in many ways, and the run has ended well without it
        LOG.warning("lineage: %d events were sent, then the receiver failed: %s", sent, error)
    return sent


def _events(namespace: str, parent: str, run: Run) -> Iterable[Any]:
    from openlineage.client.event_v2 import Job, RunEvent, RunState
    from openlineage.client.event_v2 import Run as LineageRun
    from openlineage.client.facet_v2 import error_message_run, parent_run

    if run.status not in (DONE, FAILED):
        return
    facets: dict[str, Any] = {
        "parent": parent_run.ParentRunFacet(
            run=parent_run.Run(_uuid(parent)), job=parent_run.Job(namespace, "churnwatch_run"), producer=PRODUCER
        )
    }
    if run.status == FAILED:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(run.message, "python", producer=PRODUCER)
    of = LineageRun(_uuid(run.run_id), facets)
    job = Job(namespace, run.full_name)
    end = RunState.COMPLETE if run.status == DONE else RunState.FAIL
    for state, at in ((RunState.START, run.started_at), (end, run.at)):
        yield RunEvent(
            eventType=state,
            eventTime=at.isoformat(),
            run=of,
            job=job,
            producer=PRODUCER,
            inputs=[_input(namespace, table, version) for table, version in run.read.items()],
            outputs=[_output(namespace, table, run) for table in run.wrote] if state == RunState.COMPLETE else [],
        )


def _uuid(run_id: str) -> str:
    """The id of a run as OpenLineage wants it: the same for the same ``run_id``."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, run_id))


def _input(namespace: str, table: str, version: int) -> Any:
    from openlineage.client.event_v2 import InputDataset

    return InputDataset(namespace, table, facets=_version(version))


def _output(namespace: str, table: str, run: Run) -> Any:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset

    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=run.rows[table], producer=PRODUCER)
    return OutputDataset(namespace, table, {"outputStatistics": statistics}, facets=_version(run.wrote[table]))


def _version(version: int) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset

    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(str(version), producer=PRODUCER)}
