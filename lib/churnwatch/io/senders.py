"""The senders port: the only code that sends over the network, besides the model registry."""

import os
from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark import cloudpickle
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StructType

from churnwatch.io import delivery, formats, keys, posting
from churnwatch.settings import Settings

# the modules' code is pickled with the function, because workers may not have the package
for module in (delivery, formats, posting):
    cloudpickle.register_pickle_by_value(module)

MESSAGE = ("day", "message_id", "kind", "destination", "channel", "subject", "body", "earliest_send_at", "expires_at", "attempts")
TRY = StructType().add("attempt", "integer").add("at", "timestamp").add("outcome", "string").add("detail", "string")
TRY_ARROW = [
    ("attempt", pa.int32()),
    ("at", pa.timestamp("us", tz="UTC")),
    ("outcome", pa.string()),
    ("detail", pa.string()),
]
TRIES_ARROW = pa.field("tries", pa.list_(pa.struct(TRY_ARROW)))
KINDS = ("task", "urgent", "escalation", "digest", "offer")  # in the order in which they are sent


class Senders:
    """Sends messages by mail, by HTTP or into files, and hashes user ids with the key."""

    def __init__(self, spark: SparkSession, settings: Settings, run_id: str) -> None:
        self._spark, self._settings, self._run_id = spark, settings, run_id
        self._key: bytes | None = None

    def keyed(self, frame: DataFrame, column: str) -> DataFrame:
        """Replace the user ids of ``column`` by their keyed hashes; same grain."""
        return keys.keyed(frame, column, self._id_key())

    def keyed_id(self, user_id: str) -> str:
        """Return the keyed hash of a user id."""
        return keys.keyed_id(user_id, self._id_key())

    def _id_key(self) -> bytes:
        if self._key is None:
            self._key = keys.id_key(self._settings)
        return self._key

    def send(self, messages: DataFrame) -> DataFrame:
        """Send the messages with ``due`` now, and return all of them with ``tries``; same grain.

        ``tries``: the attempts of this call, structs of attempt, at, outcome and detail; empty if not due. ``messages`` have
        the columns MESSAGE and ``due``; ``attempts`` is the number of earlier attempts. The result is staged, so that
        evaluating it again sends nothing.
        """
        sending = self._settings.sending
        policy = delivery.RetryPolicy(sending.tries_a_run, sending.max_attempts, sending.pause_seconds)
        # a slow receiver of digests or offers must not hold up urgent messages
        ordered = messages.sortWithinPartitions(F.array_position(F.lit(list(KINDS)), F.col("kind")))
        schema = StructType(list(messages.schema.fields)).add("tries", ArrayType(TRY))
        return self.stage("sent", ordered.mapInArrow(_sending(self._config(), policy), schema))

    def stage(self, name: str, frame: DataFrame) -> DataFrame:
        """Write ``frame`` into the staging folder of the run, and read it back: it is computed once."""
        folder = f"{_absolute(self._settings.storage.files)}/staging/{self._run_id}/{name}"
        frame.write.mode("overwrite").parquet(folder)
        return self._spark.read.schema(frame.schema).parquet(folder)

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
    """Return the folder as an absolute path, because workers have another working directory; URLs stay."""
    return folder if "://" in folder else os.path.abspath(folder)


def _sending(
    config: delivery.DeliveryConfig, policy: delivery.RetryPolicy
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def _send(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        sender = config.make_sender()
        down: dict[str, str] = {}
        try:
            for batch in batches:
                messages = zip(batch.select(list(MESSAGE)).to_pylist(), batch.column("due").to_pylist(), strict=True)
                tries = [delivery.send_message(message, sender, policy, down) if due else [] for message, due in messages]
                yield batch.append_column(TRIES_ARROW, pa.array(tries, TRIES_ARROW.type))
        finally:
            sender.close()

    return _send
