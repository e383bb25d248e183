"""The senders port: the only code that sends over the network, besides the model registry."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from urllib.parse import urlparse
from zoneinfo import ZoneInfo

import pyarrow as pa
from filelock import FileLock, Timeout
from pyspark import cloudpickle
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, IntegerType, StructField, StructType

from churnwatch.core import WriteConflict
from churnwatch.io import delivery, formats, keys, posting, send_times
from churnwatch.settings import Settings
from churnwatch.settings.terms import EXPIRED, HISTORY, SUPPRESSED

# the modules' code is pickled with the function, because workers may not have the package
for module in (delivery, formats, posting, send_times):
    cloudpickle.register_pickle_by_value(module)

MESSAGE = ("day", "message_id", "kind", "destination", "channel", "subject", "body", "earliest_send_at", "expires_at", "attempts")
TRY = StructType().add("attempt", "integer").add("at", "timestamp").add("outcome", "string").add("detail", "string")
TRY_ARROW = [
    ("attempt", pa.int32()),
    ("at", pa.timestamp("us", tz="UTC")),
    ("outcome", pa.string()),
    ("detail", pa.string()),
]
SENT = StructType().add("day", "date").add("message_id", "string").add("tries", ArrayType(TRY))
SENT = SENT.add("down", "string").add("why", "string")  # receiver that was found to be down, and its answer; null: none
SENT_ARROW = pa.schema(
    [
        ("day", pa.date32()),
        ("message_id", pa.string()),
        ("tries", pa.list_(pa.struct(TRY_ARROW))),
        ("down", pa.string()),
        ("why", pa.string()),
    ]
)
LOG = logging.getLogger(__name__)
KINDS = ("task", "urgent", "escalation", "digest", "offer")  # in the order in which they are sent


class Senders:
    """Sends messages by mail, by HTTP or into files, and hashes user ids with the key.

    ``check`` is called before each slice of messages; it raises when another run has taken over, so that nothing more is sent.
    """

    def __init__(self, spark: SparkSession, settings: Settings, run_id: str, check: Callable[[], None] = lambda: None) -> None:
        self._spark, self._settings, self._run_id = spark, settings, run_id
        self._check = check
        self._key: bytes | None = None

    def keyed(self, frame: DataFrame, column: str) -> DataFrame:
        """Replace the user ids of ``column`` by their keyed hashes; same grain."""
        return keys.keyed(frame, column, self._id_key())

    def fixed(self, frame: DataFrame, column: str) -> DataFrame:
        """As ``keyed``, by the key that never changes: ids of messages stay when ``keys rotate`` gives pages another key."""
        return keys.keyed(frame, column, keys.table_key(self._settings))

    def keyed_id(self, user_id: str) -> str:
        """Return the keyed hash of a user id."""
        return keys.keyed_id(user_id, self._id_key())

    def _id_key(self) -> bytes:
        if self._key is None:
            self._key = keys.id_key(self._settings)
        return self._key

    def send(self, messages: DataFrame, day: date) -> Iterator[DataFrame]:
        """Send the messages slice by slice; yield the attempts of each slice: day, message_id, attempt, at, outcome, detail.

        ``messages`` have the columns MESSAGE, ``time_zone`` (of the user) and ``withheld`` (why it may not be sent; null: it
        may); ``attempts`` is the number of earlier attempts. A slice is sent when its frame is taken from the iterator, so that
        the attempts of a slice can be committed before the next one is sent. Each frame is staged: evaluating it again sends
        nothing. What is not sent because it is withheld or history comes first, before anything is sent. With files, the end
        of ``day`` counts as now: they are no history, and expire as of that day. Raises WriteConflict when another run is
        sending, whatever its day: both would send what is left of earlier days.
        """
        lock = FileLock(f"{self._files()}/sending.lock", timeout=0)
        try:
            with lock:
                yield from self._slices(messages, day)
        except Timeout as error:
            raise WriteConflict(
                f"send_messages {day}: another run is sending messages ({lock.lock_file} is locked); nothing was sent. "
                "Hint: run it again when the other has ended"
            ) from error

    def _slices(self, messages: DataFrame, day: date) -> Iterator[DataFrame]:
        waiting = self.stage("outbox", messages.withColumn("fate", self._fate()))
        counts = {(r["fate"], r["kind"]): r["count"] for r in waiting.groupBy("fate", "kind").count().collect()}  # few
        if any(fate for fate, _ in counts):
            yield self.stage("not_sent", waiting.where(F.col("fate").isNotNull()).select("day", "message_id", *self._not_sent()))
        to_send = {kind: count for (fate, kind), count in counts.items() if fate is None}
        if not to_send:
            return
        number = slice_numbers(to_send, self._settings.sending.slice_messages)
        folder, schema = self._folder("slices"), waiting.schema
        sliced = waiting.where(F.col("fate").isNull()).withColumn("slice", number).repartition("slice")
        sliced.write.mode("overwrite").partitionBy("slice").parquet(folder)
        slices = self._spark.read.schema(StructType([*schema.fields, StructField("slice", IntegerType())])).parquet(folder)
        down: dict[str, str] = {}
        held = expired = 0
        for row in slices.select("slice").distinct().orderBy("slice").collect():
            self._check()
            one = self._spark.read.schema(schema).parquet(f"{folder}/slice={row['slice']}")
            sent = self.stage(f"sent_{row['slice']}", self._sent(one, down, day))
            is_down = F.when(F.col("down").isNotNull(), F.struct("down", "why"))
            found = sent.agg(
                F.count_if(F.size("tries") == 0).alias("held"),
                F.count_if(F.exists("tries", lambda one: one["outcome"] == EXPIRED)).alias("expired"),
                F.collect_list(is_down).alias("down"),
            ).collect()[0]
            down |= dict(found["down"])  # bounded by destinations
            held, expired = held + found["held"], expired + found["expired"]
            yield sent.select("day", "message_id", F.explode("tries").alias("try")).select("day", "message_id", "try.*")
        if expired:
            LOG.warning("%d messages expired before they could be sent, see the details in deliveries", expired)
        if held:
            LOG.warning("%d offers wait for the end of quiet hours: run send_messages again after it", held)

    def _fate(self) -> Column:
        """Why a message is not sent at all: history or suppressed; null: it is to be sent."""
        sending, fate = self._settings.sending, F.when(F.col("withheld").isNotNull(), SUPPRESSED)
        if sending.kind == "file" or sending.history_after_days is None:
            return fate
        today = datetime.now(ZoneInfo(self._settings.clock.time_zone)).date()
        too_old = F.col("day") < F.lit(today - timedelta(days=sending.history_after_days))
        return F.when(too_old & (F.col("attempts") == 0), HISTORY).otherwise(fate)

    def _not_sent(self) -> list[Column]:
        limit = self._settings.sending.history_after_days
        history = f"not sent: history, the decision is more than {limit} days old. Hint: --send-history sends it"
        return [
            (F.col("attempts") + 1).alias("attempt"),
            F.timestamp_micros(F.lit(int(datetime.now(UTC).timestamp() * 1_000_000))).alias("at"),
            F.col("fate").alias("outcome"),
            F.when(F.col("fate") == HISTORY, history).otherwise(F.concat(F.lit("not sent: "), "withheld")).alias("detail"),
        ]

    def _sent(self, messages: DataFrame, down: Mapping[str, str], day: date) -> DataFrame:
        """Send the messages of a slice in one task, so that they keep their order and speculation sends nothing twice."""
        sending = self._settings.sending
        policy = delivery.RetryPolicy(sending.tries_a_run, sending.max_attempts, sending.pause_seconds)
        # a slow receiver of digests or offers must not hold up urgent messages
        ordered = messages.coalesce(1).sortWithinPartitions(F.array_position(F.lit(list(KINDS)), F.col("kind")))
        return ordered.mapInArrow(_sending(delivery_config(self._settings, day), policy, dict(down)), SENT)

    def stage(self, name: str, frame: DataFrame) -> DataFrame:
        """Write ``frame`` into the staging folder of the run, and read it back: it is computed once."""
        folder = self._folder(name)
        frame.write.mode("overwrite").parquet(folder)
        return self._spark.read.schema(frame.schema).parquet(folder)

    def _folder(self, name: str) -> str:
        return f"{_absolute(self._settings.storage.files)}/staging/{self._run_id}/{name}"

    def _files(self) -> Path:
        """The folder ``storage.files`` of this machine."""
        folder = Path(urlparse(_absolute(self._settings.storage.files)).path)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def slice_numbers(counts: Mapping[str, int], slice_messages: int) -> Column:
    """Return the column of a message's slice: kinds in the order in which they are sent, about ``slice_messages`` each.

    ``counts``: number of messages by kind. Kinds that fit into one slice together share it; the messages of a kind that needs
    several are spread by their ids.
    """
    number: Column = F.lit(0)
    first, room = -1, 0  # the newest slice, and how many more messages fit into it
    for kind in sorted(counts, key=KINDS.index):
        needed = -(-counts[kind] // slice_messages)
        if counts[kind] <= room:
            start, needed, room = first, 1, room - counts[kind]
        else:
            start, room = first + 1, slice_messages - counts[kind] if needed == 1 else 0
        first = start + needed - 1
        spread = F.lit(start) + F.pmod(F.xxhash64("message_id"), F.lit(needed)).cast("int")
        number = F.when(F.col("kind") == kind, spread).otherwise(number)
    return number


def delivery_config(settings: Settings, day: date) -> delivery.DeliveryConfig:
    """Return what a sender needs: destinations, gateways, times. Files are written as of the end of ``day``."""
    sending, zone = settings.sending, settings.clock.time_zone
    smtp, only_files = sending.smtp, sending.kind == "file"
    server = None
    if smtp is not None:
        server = delivery.MailServer(
            smtp.host, smtp.port, smtp.starttls, smtp.user, smtp.password, smtp.sender, smtp.timeout_seconds
        )
    targets = {
        name: delivery.Target(one.kind, one.address, one.url, one.token, one.secret, one.to, dict(one.body), one.keeps_offers)
        for name, one in sending.destinations.items()
    }
    day_end = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone)).astimezone(UTC)
    return delivery.DeliveryConfig(
        _absolute(settings.outbox_folder),
        only_files,
        server,
        targets,
        dict(sending.gateways),
        sending.timeout_seconds,
        sending.allow_loopback,
        send_times.SendTimes(settings.offers.quiet_hours, zone, day_end if only_files else None),
    )


def _absolute(folder: str) -> str:
    """Return the folder as an absolute path, because workers have another working directory; URLs stay."""
    return folder if "://" in folder else os.path.abspath(folder)


def _sending(
    config: delivery.DeliveryConfig, policy: delivery.RetryPolicy, down: dict[str, str]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def _send(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        sender, found = config.make_sender(), dict(down)
        try:
            for batch in batches:
                messages = zip(batch.select(list(MESSAGE)).to_pylist(), batch.column("time_zone").to_pylist(), strict=True)
                rows = []
                for message, time_zone in messages:
                    known = len(found)
                    tries = delivery.send_message(message, sender, policy, found, config.times, time_zone)
                    newest = list(found.items())[-1] if len(found) > known else (None, None)
                    rows.append({"day": message["day"], "message_id": message["message_id"], "tries": tries})
                    rows[-1] |= {"down": newest[0], "why": newest[1]}
                yield pa.RecordBatch.from_pylist(rows, SENT_ARROW)
        finally:
            sender.close()

    return _send
