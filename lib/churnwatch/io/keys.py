"""The key of hashed user ids: ids that leave the tables are keyed hashes, so that nobody can try ids out against them."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame

from churnwatch.core import ConfigError
from churnwatch.settings import Settings

SHORTEST_KEY = 16  # bytes; a shorter key could be guessed


def id_key(settings: Settings) -> bytes:
    """The key of ``privacy.id_key``; a file that is absent is made, readable by its owner alone.

    Raises ConfigError where the environment variable or both places are missing, or the key is shorter than 16 bytes.
    """
    place = settings.privacy.id_key
    if place.env:
        key, where = os.environ.get(place.env, "").encode(), f"environment variable {place.env}"
    elif place.file:
        key, where = _from_file(Path(place.file)), place.file
    else:
        raise ConfigError("privacy.id_key names neither a file nor an environment variable (env)")
    if len(key) < SHORTEST_KEY:
        raise ConfigError(f"privacy.id_key: {where} holds {len(key)} bytes, at least {SHORTEST_KEY} are needed")
    return key


def _from_file(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    made.touch(mode=0o600)
    made.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
    try:
        os.link(made, path)  # never over a key that another process made meanwhile, never half a key
    except FileExistsError:
        pass
    except OSError:  # a store without links
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    return path.read_bytes().strip()


def keyed_id(user_id: str, key: bytes) -> str:
    """HMAC-SHA-256 of a user id, 64 hexadecimal digits; source: RFC 2104."""
    return hmac.new(key, user_id.encode(), hashlib.sha256).hexdigest()


def keyed(frame: DataFrame, column: str, key: bytes) -> DataFrame:
    """Replaces the text ``column`` by its keyed hash, null stays null; same grain and columns.

    The key travels inside the function alone: a literal would stand in every plan and in Spark's event log.
    """

    def _hashed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        fresh = hmac.new(key, digestmod="sha256")

        def _of(value: str) -> str:
            one = fresh.copy()  # a third of the time of a new one
            one.update(value.encode())
            return one.hexdigest()

        for batch in batches:
            index = batch.schema.get_field_index(column)
            field = batch.schema.field(index)
            values = [None if value is None else _of(value) for value in batch.column(index).to_pylist()]
            yield batch.set_column(index, field, pa.array(values, field.type))

    return frame.mapInArrow(_hashed, frame.schema)
