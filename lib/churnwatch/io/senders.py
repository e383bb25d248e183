"""The senders port: the only network sends."""

import os
from collections.abc import Callable, Iterator
from itertools import chain

import pyarrow as pa
from pyspark import cloudpickle
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from churnwatch.io import delivery, formats, keys, posting
from churnwatch.settings import Settings

# workers get the modules' code with the function: they need not have the package
for module in (delivery, formats, posting):
    cloudpickle.register_pickle_by_value(module)

MESSAGE = ("day", "message_id", "kind", "destination", "channel", "subject", "body", "earliest_send_at", "expires_at", "attempts")
ATTEMPT = "day date, message_id string, attempt int, at timestamp, outcome string, detail string"
ATTEMPT_ARROW = pa.schema(
    [
        ("day", pa.date32()),
        ("message_id", pa.string()),
        ("attempt", pa.int32()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("outcome", pa.string()),
        ("detail", pa.string()),
    ]
)
KINDS = ("task", "urgent", "escalation", "digest", "offer")  # in the order in which they are sent
BATCH = 500  # attempts that a worker keeps before it hands them on


class Senders:
    """Hands messages to files, a mail server and webhooks, partition by partition; nothing comes to the driver."""

    def __init__(self, spark: SparkSession, settings: Settings, run_id: str) -> None:
        self._spark, self._settings, self._run_id = spark, settings, run_id
        self._calls = 0
        self._key: bytes | None = None

    def keyed(self, frame: DataFrame, column: str) -> DataFrame:
        """Replaces the user ids of ``column`` by their keyed hashes; same grain."""
        if self._key is None:
            self._key = keys.id_key(self._settings)
        return keys.keyed(frame, column, self._key)

    def send(self, messages: DataFrame) -> DataFrame:
        """Sends now and returns one row an attempt: day, message_id, attempt, at, outcome, detail.

        ``messages``: the columns ``MESSAGE``, one row a message; ``attempts`` were made before. The rows are kept in a
        file of the run and read from there, so that evaluating them twice never sends twice.
        """
        sending = self._settings.sending
        policy = delivery.RetryPolicy(sending.tries_a_run, sending.max_attempts, sending.pause_seconds)
        self._calls += 1
        # under the run's staging folder, which later runs sweep
        place = f"{_absolute(self._settings.storage.files)}/staging/{self._run_id}/sent-{self._calls}"
        # urgent ones before digests, and both before offers: a slow receiver must not hold them up
        ordered = messages.sortWithinPartitions(F.array_position(F.lit(list(KINDS)), F.col("kind"))).select(*MESSAGE)
        sent = ordered.mapInArrow(_sending(self._config(), policy), ATTEMPT)
        sent.write.mode("overwrite").parquet(place)
        return self._spark.read.schema(ATTEMPT).parquet(place)

    def _config(self) -> delivery.DeliveryConfig:
        sending = self._settings.sending
        smtp = sending.smtp
        server = None
        if smtp is not None:
            server = delivery.MailServer(
                smtp.host, smtp.port, smtp.starttls, smtp.user, smtp.password, smtp.sender, smtp.timeout_seconds
            )
        targets = {
            name: delivery.Target(one.kind, one.address, one.url, one.token, one.secret, one.to, dict(one.body))
            for name, one in sending.destinations.items()
        }
        return delivery.DeliveryConfig(
            _absolute(sending.folder),
            sending.kind == "file",
            server,
            targets,
            dict(sending.gateways),
            sending.timeout_seconds,
            sending.allow_loopback,
        )


def _absolute(folder: str) -> str:
    """A relative folder would be another one in a worker of a cluster."""
    return folder if "://" in folder else os.path.abspath(folder)


def _sending(
    config: delivery.DeliveryConfig, policy: delivery.RetryPolicy
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def _sent(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        sender = config.make_sender()
        kept: list[dict] = []
        try:
            rows = chain.from_iterable(batch.to_pylist() for batch in batches)
            for row in delivery.send_messages(rows, sender, policy):
                kept.append(row)
                if len(kept) >= BATCH:
                    yield pa.RecordBatch.from_pylist(kept, ATTEMPT_ARROW)
                    kept = []
            yield pa.RecordBatch.from_pylist(kept, ATTEMPT_ARROW)
        finally:
            sender.close()

    return _sent
