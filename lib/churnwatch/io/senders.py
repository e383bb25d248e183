"""The senders port: the only network sends."""

import os
from collections.abc import Callable, Iterator
from itertools import chain

import pyarrow as pa
from pyspark import cloudpickle
from pyspark.sql import DataFrame, SparkSession

from churnwatch.io import delivery, keys
from churnwatch.settings import Settings

# workers get the module's code with the function: they need not have the package
cloudpickle.register_pickle_by_value(delivery)

MESSAGE = ("day", "message_id", "kind", "destination", "channel", "subject", "body", "earliest_send_at", "expires_at", "attempts")
ATTEMPT = "message_id string, attempt int, at timestamp, outcome string, detail string"
ATTEMPT_ARROW = pa.schema(
    [
        ("message_id", pa.string()),
        ("attempt", pa.int32()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("outcome", pa.string()),
        ("detail", pa.string()),
    ]
)
BATCH = 500  # attempts that a worker keeps before it hands them on


class Senders:
    """Hands messages to files or a mail server, partition by partition; nothing comes to the driver."""

    def __init__(self, spark: SparkSession, settings: Settings, run_id: str, pause_seconds: float = 1.0) -> None:
        self._spark, self._settings, self._run_id, self._pause = spark, settings, run_id, pause_seconds
        self._calls = 0
        self._key: bytes | None = None

    def keyed(self, frame: DataFrame, column: str) -> DataFrame:
        """Replaces the user ids of ``column`` by their keyed hashes; same grain."""
        if self._key is None:
            self._key = keys.id_key(self._settings)
        return keys.keyed(frame, column, self._key)

    def send(self, messages: DataFrame) -> DataFrame:
        """Sends now and returns one row an attempt: message_id, attempt, at, outcome, detail.

        ``messages``: the columns ``MESSAGE``, one row a message; ``attempts`` were made before. The rows are kept in a
        file of the run and read from there, so that evaluating them twice never sends twice.
        """
        office, most, pause = self._office(), self._settings.sending.max_attempts, self._pause
        self._calls += 1
        # under the run's staging folder, which later runs sweep
        place = f"{_absolute(self._settings.storage.files)}/staging/{self._run_id}/sent-{self._calls}"
        sent = messages.select(*MESSAGE).mapInArrow(_sending(office, most, pause), ATTEMPT)
        sent.write.mode("overwrite").parquet(place)
        return self._spark.read.schema(ATTEMPT).parquet(place)

    def _office(self) -> delivery.Office:
        sending = self._settings.sending
        smtp = sending.smtp
        server = None
        if smtp is not None:
            server = delivery.Server(
                smtp.host, smtp.port, smtp.starttls, smtp.user, smtp.password, smtp.sender, smtp.timeout_seconds
            )
        return delivery.Office(sending.kind, _absolute(sending.folder), server, dict(sending.destinations))


def _absolute(folder: str) -> str:
    """A relative folder would be another one in a worker of a cluster."""
    return folder if "://" in folder else os.path.abspath(folder)


def _sending(office: delivery.Office, most: int, pause: float) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def _sent(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        sender = office.sender()
        kept: list[dict] = []
        try:
            rows = chain.from_iterable(batch.to_pylist() for batch in batches)
            for row in delivery.attempts(rows, sender, most, pause):
                kept.append(row)
                if len(kept) >= BATCH:
                    yield pa.RecordBatch.from_pylist(kept, ATTEMPT_ARROW)
                    kept = []
            yield pa.RecordBatch.from_pylist(kept, ATTEMPT_ARROW)
        finally:
            sender.close()

    return _sent
